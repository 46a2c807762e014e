"""What is not counted as it happens but looked at once a second: depths, connections, breakers, credentials."""

from __future__ import annotations

import asyncio

from core.breaker import BreakerState
from gateway.metrics import BREAKER_STATES
from gateway.parts import Parts
from gateway.pipeline.routes import Route

_INTERVAL_S = 1.0


class Observer:
    """Keeps the gauges of one worker true, and turns running totals of the adapters into counters."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._breakers: dict[int, BreakerState] = {}
        self._totals: dict[tuple[str, str, str], int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL_S)

    def look(self) -> None:
        """Bring every figure up to date."""
        parts = self._parts
        now_ns = parts.clock.monotonic_ns()
        self._metrics.pending(parts.queue.in_use + parts.intake.taking)
        self._look_at_stores()
        for route in parts.routes:
            self._look_at(route, now_ns)
        for (label, app), (good, bad) in parts.channels.credentials().items():
            self._metrics.token_refresh(label, app, "ok", self._grown((label, app, "token ok"), good))
            self._metrics.token_refresh(label, app, "failed", self._grown((label, app, "token failed"), bad))

    def _look_at_stores(self) -> None:
        parts, metrics = self._parts, self._metrics
        journal = parts.journal
        metrics.journal(journal.live_bytes, journal.max_bytes, journal.backlog_bytes, journal.failing)
        metrics.journal_failures(self._grown(("journal", "", "failures"), journal.failures))
        metrics.dedup(parts.dedup.used, parts.dedup.capacity)
        held = parts.retirer.held()
        for app in {route.app for route in parts.routes}:
            metrics.on_hold(app, held.get(app, 0))

    def _look_at(self, route: Route, now_ns: int) -> None:
        queue, metrics = self._parts.queue, self._metrics
        for klass in range(4):
            oldest_ns = queue.oldest_ns(route.number, klass)
            age_s = (now_ns - oldest_ns) / 1e9 if oldest_ns else 0.0
            metrics.queue(route.label, route.app, klass, queue.depth(route.number, klass), age_s)
        pool = self._parts.channels.pools.get(route.number)
        if pool is not None:
            stats = pool.stats()
            metrics.connections(route.label, route.app, stats.ready, stats.in_flight)
            for event, total in (("opened", stats.opened), ("lost", stats.lost), ("refused", stats.failures)):
                grown = self._grown((route.label, route.app, event), total)
                metrics.connection_event(route.label, route.app, event, grown)
        if route.number not in self._breakers:
            metrics.show_route(route.label, route.app)
        state = route.breaker.state
        if self._breakers.get(route.number) is not state:
            self._breakers[route.number] = state
            metrics.breaker(route.label, route.app, BREAKER_STATES[state])

    def _grown(self, name: tuple[str, str, str], total: int) -> int:
        before = self._totals.get(name, 0)
        self._totals[name] = total
        # A renewed pool begins at zero again.
        return total - before if total >= before else total
