"""SQLite file of the audit log, its lines chained by their hashes."""
