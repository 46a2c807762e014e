"""The hot state of one host: what its workers share in memory."""
