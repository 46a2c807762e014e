"""Clients that push over the fast simulator, each a process of its own, and the servers that they push to."""
