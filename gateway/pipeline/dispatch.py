"""Moves batches from the lanes onto the channels: when there is capacity, within the limits, highest class first."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable
from typing import Protocol

from core.delivery import Delivery, fill_buckets, mark_submitted, take_live
from core.fanout import NEVER
from core.model import NotificationClass
from core.token_buckets import TokenBuckets
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.queue import MAX_BATCH, DeliveryQueue
from gateway.pipeline.routes import Route, Routes
from gateway.pipeline.settle import Settler

_LOWEST = int(max(NotificationClass))
_SWEEP_S = 0.25
_SWEEP_SLOTS = 50_000
_LOOK_AGAIN_NS = 50_000_000


class Sieve(Protocol):
    """Who knows what has to be decided anew before it is sent; gateway.pipeline.recheck.Rechecker."""

    def sift(self, batch: list[Delivery], now_unix_ms: int) -> list[Delivery]:
        """Return what may be sent; the rest is the sieve's, which queues or ends it."""


class Dispatcher:
    """Pumps each route on the event loop; every wake-up is a callback, nothing awaits.

    A tenth of a route's streams is kept from marketing, so that a payment finds one free in the middle of a campaign,
    and marketing has no more in flight than the way to the provider carries without a queue.
    """

    def __init__(
        self, *, routes: Routes, queue: DeliveryQueue, settler: Settler, buckets: TokenBuckets,
        metrics: Metrics, clock: Clock, batch_size: int,
    ) -> None:  # fmt: skip
        self._routes = routes
        self._queue = queue
        self._settler = settler
        self._buckets = buckets
        self._metrics = metrics
        self._clock = clock
        self._batch_size = min(batch_size, MAX_BATCH)
        self._awake: set[int] = set()
        self._stopped = False
        self._sieve: Sieve | None = None
        self._keys = memoryview(array("Q", bytes(8 * 4 * MAX_BATCH)))
        self._rules = memoryview(array("H", bytes(2 * 4 * MAX_BATCH)))
        self._granted = memoryview(array("B", bytes(MAX_BATCH)))
        self._retry_at = memoryview(array("q", bytes(8 * MAX_BATCH)))

    def set_sieve(self, sieve: Sieve) -> None:
        """Ask this one from now on about everything that leaves the lanes."""
        self._sieve = sieve

    def wake(self, route: Route) -> None:
        """Pump a route at the loop's next turn; further calls until then change nothing."""
        if route.number not in self._awake:
            self._awake.add(route.number)
            asyncio.get_running_loop().call_soon(self._pump, route)

    def wake_all(self, numbers: Iterable[int]) -> None:
        """Wake several routes by number."""
        for number in numbers:
            self.wake(self._routes[number])

    def give_back(self, deliveries: list[Delivery]) -> None:
        """Queue deliveries that keep their slots ahead of what waits in their flows."""
        self._queue.give_back(deliveries)
        self.wake_all({delivery.route for delivery in deliveries})

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Queue deliveries whose wait before the next attempt is over."""
        self._queue.requeue(deliveries, self._clock.monotonic_ns())
        self.wake_all({delivery.route for delivery in deliveries})

    @property
    def stopped(self) -> bool:
        """Tell whether nothing more goes on the wire."""
        return self._stopped

    def stop(self) -> None:
        """Put nothing more on the wire; what waits, for a stream or for room in the queue, stays for the journal."""
        self._stopped = True
        self._queue.close()

    async def sweep(self) -> None:
        """Until cancelled, end what expires or is cancelled while it waits behind a closed route."""
        while not self._stopped:
            await asyncio.sleep(_SWEEP_S)
            ended = self._queue.sweep(_SWEEP_SLOTS, self._clock.unix_ms())
            if ended:
                self._settler.end_queued(ended)

    def _pump(self, route: Route) -> None:
        self._awake.discard(route.number)
        if self._stopped:
            return
        now_ns = self._clock.monotonic_ns()
        room = self._room(route, now_ns)
        if not room:
            return
        batch = self._next_batch(route, room, now_ns)
        pulled = len(batch)
        now_unix_ms = self._clock.unix_ms()
        gone = take_live(batch, now_unix_ms)
        if gone:
            self._settler.end_queued(gone)
        if self._sieve is not None:
            batch = self._sieve.sift(batch, now_unix_ms)
        batch = self._within_limits(route, batch, now_ns)
        taken = self._submit(route, batch, now_ns) if batch else 0
        route.breaker.give_back(room - taken)
        route.throttle.give_back(room - taken)
        if pulled:
            self.wake(route)

    def _room(self, route: Route, now_ns: int) -> int:
        """Return how many deliveries may leave now, as far as streams, pauses and the breaker go."""
        capacity = route.channel.capacity
        if capacity <= 0:
            return 0
        if now_ns < route.throttle.paused_until_ns:
            self._wake_at(route, route.throttle.paused_until_ns, now_ns)
            return 0
        ready_ns = self._queue.ready_ns(route.number, now_ns)
        if ready_ns > now_ns:
            self._wake_at(route, ready_ns, now_ns)
            return 0
        wanted = min(capacity, self._batch_size, self._queue.waiting(route.number))
        room = route.breaker.permit(wanted, now_ns)
        if room == 0:
            # While probes are on the wire it is their answers that wake the route, not a timer of the past.
            self._wake_at(route, max(route.breaker.open_until_ns, now_ns + _LOOK_AGAIN_NS), now_ns)
            return 0
        granted = route.throttle.permit(room, now_ns)
        route.breaker.give_back(room - granted)
        return granted

    def _next_batch(self, route: Route, room: int, now_ns: int) -> list[Delivery]:
        capacity = route.channel.capacity
        spare = min(capacity - (capacity + route.in_flight) // 10, route.window.limit - route.in_flight)
        batch = self._queue.pull(route.number, min(room, spare), now_ns, _LOWEST) if spare > 0 else []
        if len(batch) < room and spare < room:
            batch += self._queue.pull(route.number, room - len(batch), now_ns, NotificationClass.SERVICE)
        return batch

    def _within_limits(self, route: Route, batch: list[Delivery], now_ns: int) -> list[Delivery]:
        if not batch or not fill_buckets(batch, self._keys, self._rules):
            return batch
        n = len(batch)
        granted = self._buckets.acquire_many(
            self._keys[: 4 * n], self._rules[: 4 * n], now_ns, self._granted[:n], self._retry_at[:n]
        )
        if granted == n:
            return batch
        passed = [delivery for delivery, ok in zip(batch, self._granted, strict=False) if ok]
        denied = [delivery for delivery, ok in zip(batch, self._granted, strict=False) if not ok]
        waits = [until for until, ok in zip(self._retry_at[:n], self._granted, strict=False) if not ok]
        self._queue.give_back(denied)
        for delivery, until_ns in zip(denied, waits, strict=True):
            self._queue.pause_flow(delivery, until_ns)
        self._metrics.limited(route.label, route.app, len(denied))
        return passed

    def _submit(self, route: Route, batch: list[Delivery], now_ns: int) -> int:
        taken = route.channel.submit(batch, self._clock.unix_ms())
        mark_submitted(batch, taken, now_ns)
        route.in_flight += taken
        if taken:
            self._metrics.sent(route.label, route.app, taken)
            self._metrics.stage_seconds("queue", (now_ns - batch[0].queued_ns) / 1e9, taken)
        if taken < len(batch):
            self._queue.give_back(batch[taken:])
        return taken

    def _wake_at(self, route: Route, due_ns: int, now_ns: int) -> None:
        if due_ns >= NEVER:
            return
        if route.timer is not None:
            if route.timer_due_ns <= due_ns:
                return
            route.timer.cancel()
        route.timer_due_ns = due_ns
        wait_s = max(0.001, (due_ns - now_ns) / 1e9)
        route.timer = asyncio.get_running_loop().call_later(wait_s, self._on_time, route)

    def _on_time(self, route: Route) -> None:
        # A timer may fire a little early; with the old one forgotten the pump can ask for another.
        route.timer = None
        self.wake(route)
