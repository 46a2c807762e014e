"""Deliveries that wait for their next attempt, kept in coarse slots of time."""

from __future__ import annotations

from core.delivery import Delivery

TICK_NS = 50_000_000


class RetryWheel:
    """Due deliveries by ticks of 50 ms: adding is one dict hit, and a tick's deliveries come out together."""

    def __init__(self) -> None:
        self._ticks: dict[int, list[Delivery]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, delivery: Delivery, due_ns: int) -> None:
        """Keep a delivery until due_ns, rounded up to the next tick."""
        self._ticks.setdefault(-(-due_ns // TICK_NS), []).append(delivery)
        self._count += 1

    def take_due(self, now_ns: int) -> list[Delivery]:
        """Remove and return what is due."""
        tick = now_ns // TICK_NS
        due: list[Delivery] = []
        for at in sorted(t for t in self._ticks if t <= tick):
            due += self._ticks.pop(at)
        self._count -= len(due)
        return due

    def next_ns(self) -> int:
        """When take_due has something next; 0 if nothing waits."""
        return min(self._ticks) * TICK_NS if self._ticks else 0
