"""Removes what is older than its retention, in short steps with pauses, so that nothing else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core.errors import Failure
from core.privacy import Purged
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock

DAY_MS = 86_400_000
# Rows of a step: the writers of the stores are held for a few milliseconds by each.
ROWS = 500
PAUSE_S = 0.05
# After a start the workers have other things to do.
FIRST_S = 60.0

# (now_unix_ms, before_unix_ms, most rows) -> what was removed.
Step = Callable[[int, int, int], Awaitable[Purged]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is removed when it is older than so many days, and the step that removes some of it; 0: never."""

    table: str
    days: int
    step: Step


class Retention:
    """Runs in one worker of the host."""

    def __init__(self, rules: Sequence[Rule], metrics: Metrics, clock: Clock, interval_s: float) -> None:
        self._rules = [rule for rule in rules if rule.days]
        self._metrics = metrics
        self._clock = clock
        self._interval_s = interval_s
        self._logger = get_logger("retention")

    async def run(self) -> None:
        """Sweep until cancelled: soon after the start, then at each interval."""
        for rule in self._rules:
            self._metrics.purged(rule.table, 0)
        await asyncio.sleep(min(FIRST_S, self._interval_s))
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> None:
        """Remove all that is too old now; what fails is told, and tried again at the next sweep."""
        for rule in self._rules:
            try:
                rows = await self._swept(rule)
            except Failure as failure:
                self._metrics.task_failure("retention")
                self._logger.warning("purge_failed", table=rule.table, why=str(failure))
            else:
                self._logger.info("purged", table=rule.table, rows=rows, older_than_days=rule.days)

    async def _swept(self, rule: Rule) -> int:
        total, more = 0, True
        while more:
            now_unix_ms = self._clock.unix_ms()
            rows, more = await rule.step(now_unix_ms, now_unix_ms - rule.days * DAY_MS, ROWS)
            self._metrics.purged(rule.table, rows)
            total += rows
            if more:
                await asyncio.sleep(PAUSE_S)
        return total
