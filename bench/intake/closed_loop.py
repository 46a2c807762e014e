"""A closed loop: so many callers, each of which makes its next call when the last one was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.cpu import Spent, Watch
from bench.open_loop import Call
from bench.received import Received
from bench.stand import Stand


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """One run. answered_s: until the last call was answered; spent: until the provider had everything.

    times_s: of each call, sorted.
    """

    count: int
    answered_s: float
    times_s: Sequence[float]
    spent: Spent

    @property
    def per_s(self) -> float:
        """Notifications accepted a second."""
        return self.count / self.answered_s

    @property
    def calls_per_s(self) -> float:
        """Calls answered a second."""
        return len(self.times_s) / self.answered_s

    @property
    def server_us(self) -> float:
        """CPU of the worker a notification, the whole way to the provider's answer."""
        return self.spent.gateway_s / self.count * 1e6

    @property
    def caller_us(self) -> float:
        """CPU of the callers' process a notification."""
        return self.spent.caller_s / self.count * 1e6

    def time_ms(self, share: float) -> float:
        """Return the time of a call that this share of them did not exceed."""
        return self.times_s[min(len(self.times_s) - 1, int(len(self.times_s) * share))] * 1e3


async def run_closed(place: Stand, calls: Sequence[Call], callers: int, count: int, received: Received) -> ClosedRun:
    """Make all calls, which carry `count` notifications to a device each, and wait until the provider has them."""
    waiting = iter(calls)
    times_s: list[float] = []

    async def caller() -> None:
        for call in waiting:
            began_s = time.perf_counter()
            await call()
            times_s.append(time.perf_counter() - began_s)

    await received.begin()
    watch = Watch(place.workers(), (place.supervisor, place.simulators))
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    answered_s = time.perf_counter() - began_s
    await received.reach(count)
    return ClosedRun(count, answered_s, sorted(times_s), watch.spent())
