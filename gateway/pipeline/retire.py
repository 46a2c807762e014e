"""Takes dead tokens out of the registry, in batches, unless unlikely many die at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple

from core.errors import Unavailable
from core.mass_death import MassDeath, MassDeathGuard, MassDeathSettings
from core.model import Provider
from core.storage import DeviceRetirement
from gateway.logs import get_logger
from gateway.metrics import Metrics, route_label
from gateway.pipeline.clock import Clock

_LINGER_S = 0.05
_RETRY_S = 1.0
_HELD_S = 30.0
_MAX_WAITING = 200_000


class Retirement(NamedTuple):
    """A token that its provider called dead, valid for registrations older than gone_since_unix_ms."""

    provider: Provider
    token: str
    gone_since_unix_ms: int


class Retirer:
    """Collects retirements and carries them out; while the guard holds an app, its tokens stay."""

    def __init__(
        self, registry: DeviceRetirement, settings: MassDeathSettings, metrics: Metrics, clock: Clock
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._guard: MassDeathGuard[Retirement] = MassDeathGuard(settings, self._alarm)
        self._waiting: dict[tuple[str, Provider], list[Retirement]] = {}
        self._count = 0
        self._pending = asyncio.Event()
        self._logger = get_logger("retire")

    def saw_alive(self, app: str, count: int, now_ns: int) -> None:
        """Count tokens that were answered as alive."""
        if count:
            self._guard.answered(app, count, now_ns)

    def add(self, app: str, retirement: Retirement, now_ns: int) -> None:
        """Take one dead token, to be removed soon; dropped (and counted) when the registry cannot keep up."""
        admitted = self._guard.admit(app, [retirement], now_ns)
        if not admitted:
            self._metrics.retire_held(route_label(retirement.provider), app, 1)
            return
        if self._count >= _MAX_WAITING:
            # The token's next push reports it dead again.
            self._metrics.queue_full("retirements")
            return
        self._keep(app, admitted)
        self._pending.set()

    def held(self) -> dict[str, int]:
        """Return how many retirements the guard holds back, by app."""
        return self._guard.held()

    def release(self, app: str) -> None:
        """End a hold because the deaths are real: its tokens are removed."""
        found = self._guard.release(app)
        self._logger.info("hold_released", app=app, tokens=len(found))
        self._keep(app, found)
        self._pending.set()

    def forget(self, app: str) -> None:
        """End a hold because the deaths were a fault of ours: its tokens stay."""
        self._logger.info("hold_forgotten", app=app, tokens=self._guard.forget(app))

    async def run(self) -> None:
        """Until cancelled, remove what was collected."""
        while True:
            # Also without new ones, since what the guard held may fall due.
            with suppress(TimeoutError):
                async with asyncio.timeout(_HELD_S):
                    await self._pending.wait()
            await asyncio.sleep(_LINGER_S)
            try:
                await self.flush()
            except Unavailable as error:
                self._logger.warning("retire_postponed", why=str(error))
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> None:
        """Remove what was collected so far. Raises Unavailable, having kept what could not be removed."""
        self._pending.clear()
        for app, held in self._guard.expire(self._clock.monotonic_ns()).items():
            self._keep(app, held)
        for app, provider in list(self._waiting):
            batch = self._waiting.pop((app, provider))
            try:
                removed = await self._registry.retire(app, batch)
            except Unavailable:
                self._waiting[app, provider] = batch + self._waiting.get((app, provider), [])
                self._pending.set()
                raise
            self._count -= len(batch)
            self._metrics.retired(route_label(provider), app, removed)

    def _keep(self, app: str, retirements: list[Retirement]) -> None:
        for retirement in retirements:
            self._waiting.setdefault((app, retirement.provider), []).append(retirement)
        self._count += len(retirements)

    def _alarm(self, death: MassDeath) -> None:
        self._logger.error("mass_death", app=death.app, deaths=death.deaths, answered=death.answered)
