"""A small dispatcher for the tests of channels: sends until every delivery has its last outcome."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from core.delivery import Delivery
from core.ports import Channel
from core.reaction import FINAL_KINDS, Outcome


class Courier:
    """core.ports.Sink that sends again, at once, whatever may be sent again; bounded by max_attempts in all."""

    def __init__(self, make_channel: Callable[[Courier], Channel], max_attempts: int = 20_000) -> None:
        self.final: dict[str, Outcome] = {}
        self.attempts: Counter[str] = Counter()
        self.passing: Counter[str] = Counter()
        self.answered = asyncio.Event()
        self.channel = make_channel(self)
        self._waiting: list[Delivery] = []
        self._under_way = 0
        self._done = asyncio.Event()
        self._left = max_attempts

    async def deliver(self, deliveries: list[Delivery]) -> None:
        """Send these and wait until all are settled."""
        self._done.clear()
        self._waiting += deliveries
        self._pump()
        await self._done.wait()

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        self.answered.set()
        self._under_way -= len(deliveries)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if outcome.kind in FINAL_KINDS:
                assert delivery.token not in self.final
                self.final[delivery.token] = outcome
            else:
                self.passing[outcome.reason] += 1
                self._waiting.append(delivery)
        self._pump()

    def on_capacity(self, route: int) -> None:
        self._pump()

    def _pump(self) -> None:
        batch = self._waiting[: self._left]
        taken = self.channel.submit(batch, time.time_ns() // 1_000_000) if batch else 0
        self.attempts.update(delivery.token for delivery in batch[:taken])
        self._left -= taken
        self._under_way += taken
        self._waiting = self._waiting[taken:]
        if not self._waiting and not self._under_way:
            self._done.set()
        elif not self._left:
            raise RuntimeError("too many attempts")
