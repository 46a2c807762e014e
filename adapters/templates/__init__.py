"""SQLite store of templates and their versions."""
