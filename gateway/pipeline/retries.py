"""Deliveries that wait for their next attempt, kept in coarse ticks of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.delivery import Delivery
from gateway.pipeline.clock import Clock

TICK_NS = 50_000_000


class RetryWheel:
    """Due deliveries by ticks of 50 ms: adding is one dict hit, and a tick's deliveries come out together.

    Bounded by the queue, whose slots the deliveries keep. on_due: called on the loop with what is due.
    """

    def __init__(self, clock: Clock, on_due: Callable[[list[Delivery]], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._ticks: dict[int, list[Delivery]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_tick = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, delivery: Delivery, due_ns: int) -> None:
        """Keep a delivery until due_ns (monotonic), rounded up to the next tick."""
        tick = -(-due_ns // TICK_NS)
        self._ticks.setdefault(tick, []).append(delivery)
        self._count += 1
        if self._timer is None or tick < self._armed_tick:
            self._arm()

    def take_out(self, delivery: Delivery) -> bool:
        """Let a delivery wait no longer; False if it does not wait here."""
        for members in self._ticks.values():
            for place, one in enumerate(members):
                if one is delivery:
                    del members[place]
                    self._count -= 1
                    return True
        return False

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ticks:
            self._armed_tick = min(self._ticks)
            wait_s = max(0.001, (self._armed_tick * TICK_NS - self._clock.monotonic_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._fire)

    def _fire(self) -> None:
        now = self._clock.monotonic_ns() // TICK_NS
        due: list[Delivery] = []
        for tick in sorted(t for t in self._ticks if t <= now):
            due += self._ticks.pop(tick)
        self._count -= len(due)
        self._timer = None
        self._arm()
        if due:
            self._on_due(due)
