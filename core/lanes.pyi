"""Lanes of flows of slots: the memory, lists and rings under the fan-out."""

class Lanes:
    """What Fanout is made of; it has no use of its own in Python."""
