"""SQLite file of erasures: what is under way, sealed, and the proofs of what was done."""
