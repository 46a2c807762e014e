"""What the gates call and others implement."""

from __future__ import annotations

from array import array
from typing import Protocol, TypeAlias

Ints: TypeAlias = "array[int] | memoryview[int]"


class CapCounters(Protocol):
    """Counts of what users were sent; core.frequency.FrequencyCounters, whose docstrings tell shapes and meanings."""

    def assign_filters(self, hashes: list[int], now_s: int) -> list[int]:
        """Return the bit of each filter, the same for all workers."""

    def reserve_many(
        self, users: Ints, tags: Ints, masks: Ints, bits: Ints, limits: Ints, since_s: Ints, until_s: Ints, now_s: int,
        granted: Ints, blocking: Ints, retry_at_s: Ints, peek: bool = False,
    ) -> int:  # fmt: skip
        """Count each message against all its rules at once, or not at all; return how many were granted."""

    def commit_many(self, users: Ints, tags: Ints, masks: Ints, now_s: int) -> int:
        """Count what was sent."""

    def release_many(self, users: Ints, tags: Ints) -> int:
        """Un-count what was not sent."""
