"""What waits to be sent: the fan-out's lanes over slots, and the deliveries that the slots stand for."""

from __future__ import annotations

import asyncio
from array import array

from core.delivery import Delivery, fill_lanes, find_ended, pick_many, place_many, slots_of, vacate_many
from core.errors import Unavailable
from core.fanout import Fanout

MAX_BATCH = 1_024


class DeliveryQueue:
    """A bounded queue of deliveries; a delivery keeps its slot from push until free, also while it is on the wire."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._slab: list[Delivery | None] = []
        self._out = memoryview(array("I", bytes(4 * MAX_BATCH)))
        self._slots = memoryview(array("I", bytes(4 * MAX_BATCH)))
        self._routes = memoryview(array("H", bytes(2 * MAX_BATCH)))
        self._priorities = memoryview(array("B", bytes(MAX_BATCH)))
        self._flows = memoryview(array("Q", bytes(8 * MAX_BATCH)))
        self._swept = 0
        self._freed = asyncio.Event()
        self._closed = False

    @property
    def in_use(self) -> int:
        """How many deliveries hold a slot: waiting, on the wire or between attempts."""
        return self._fanout.in_use

    @property
    def capacity(self) -> int:
        """How many deliveries may hold a slot."""
        return self._fanout.capacity

    @property
    def room(self) -> int:
        """How many more deliveries push would take."""
        return self._fanout.capacity - self._fanout.in_use

    def push(self, deliveries: list[Delivery], now_ns: int) -> None:
        """Give each new delivery a slot and queue it. Raises FanoutFull, having queued none of the refused chunk."""
        for start in range(0, len(deliveries), MAX_BATCH):
            chunk = deliveries[start : start + MAX_BATCH]
            self._fanout.allocate_many(len(chunk), self._slots)
            place_many(self._slab, chunk, self._slots)
            self._enqueue(chunk, now_ns)

    def requeue(self, deliveries: list[Delivery], now_ns: int) -> None:
        """Queue deliveries again that kept their slots, behind what waits in their flow."""
        for start in range(0, len(deliveries), MAX_BATCH):
            self._enqueue(deliveries[start : start + MAX_BATCH], now_ns)

    def pull(self, route: int, room: int, now_ns: int, max_priority: int) -> list[Delivery]:
        """Take the next batch of a route, at most min(room, MAX_BATCH), of classes up to max_priority."""
        count = self._fanout.pull(route, min(room, MAX_BATCH), now_ns, self._out, max_priority)
        return pick_many(self._slab, self._out[:count])

    def give_back(self, deliveries: list[Delivery]) -> None:
        """Return pulled deliveries to the heads of their flows, in their order."""
        for delivery in deliveries:
            delivery.queued = True
        # The last chunk first: each goes before what is there already.
        for start in range((len(deliveries) - 1) // MAX_BATCH * MAX_BATCH, -1, -MAX_BATCH):
            chunk = deliveries[start : start + MAX_BATCH]
            slots_of(chunk, self._slots)
            self._fanout.give_back_many(self._slots[: len(chunk)])

    def pause_flow(self, delivery: Delivery, until_ns: int) -> None:
        """Skip the delivery's flow on its route until then."""
        self._fanout.pause_flow(delivery.route, delivery.notification.klass, delivery.flow.key, until_ns)

    async def wait_for_room(self) -> None:
        """Return when slots have been freed since the call. Raises Unavailable once the queue is closed."""
        self._freed.clear()
        if not self._closed:
            await self._freed.wait()
        if self._closed:
            raise Unavailable("draining: what finds no room stays in the journal")

    def close(self) -> None:
        """Let nobody wait for room any longer."""
        self._closed = True
        self._freed.set()

    def free(self, deliveries: list[Delivery]) -> None:
        """Give the slots of ended deliveries back."""
        self._freed.set()
        vacate_many(self._slab, deliveries)
        for start in range(0, len(deliveries), MAX_BATCH):
            chunk = deliveries[start : start + MAX_BATCH]
            slots_of(chunk, self._slots)
            self._fanout.free_many(self._slots[: len(chunk)])

    def sweep(self, limit: int, now_unix_ms: int) -> list[Delivery]:
        """Look at the next `limit` slots; take out of the queue, and return, what expired or was cancelled waiting."""
        if self._swept >= len(self._slab):
            self._swept = 0
        ended = find_ended(self._slab, self._swept, self._swept + limit, now_unix_ms)
        self._swept += limit
        return [delivery for delivery in ended if self._take_out(delivery)]

    @property
    def slots(self) -> int:
        """How many slots `find` has to look at."""
        return len(self._slab)

    def find(self, app: str, tokens: frozenset[str], start: int, count: int) -> list[Delivery]:
        """Return what an app sends to these tokens from `count` slots: waiting, on the wire or between attempts."""
        return [
            delivery for delivery in self._slab[start : start + count]
            if delivery is not None and delivery.token in tokens and delivery.notification.app == app
        ]  # fmt: skip

    def take_out(self, delivery: Delivery) -> bool:
        """Take a delivery out of its lane, which keeps its slot until free; False if it does not wait in one."""
        return delivery.queued and self._take_out(delivery)

    def depth(self, route: int, priority: int) -> int:
        """How many deliveries wait in a lane."""
        return self._fanout.depth(route, priority)

    def waiting(self, route: int) -> int:
        """How many deliveries wait on a route, in all its lanes."""
        return sum(self._fanout.depth(route, priority) for priority in range(4))

    def oldest_ns(self, route: int, priority: int) -> int:
        """Since when the head of a lane waits; 0 for an empty one."""
        return self._fanout.oldest_ns(route, priority)

    def ready_ns(self, route: int, now_ns: int) -> int:
        """When pull will yield something at the earliest."""
        return self._fanout.ready_ns(route, now_ns)

    def _enqueue(self, chunk: list[Delivery], now_ns: int) -> None:
        fill_lanes(chunk, self._slots, self._routes, self._priorities, self._flows, now_ns)
        n = len(chunk)
        self._fanout.push_many(self._slots[:n], self._routes[:n], self._priorities[:n], self._flows[:n], now_ns)

    def _take_out(self, delivery: Delivery) -> bool:
        if not self._fanout.remove(delivery.slot):
            return False
        delivery.queued = False
        return True
