"""A journal, a registry and channels that a test steers by hand."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

from adapters.line import render_each
from core.delivery import Delivery, Notification
from core.errors import ContentRefused, PushError, Unavailable, UnknownNotification
from core.model import Device, NotificationState, Provider, Receipt, Target
from core.ports import Rendered, Sink
from core.reaction import DELIVERED, Outcome
from core.receipts import unpack_events
from core.storage import Segment, SegmentUpdate

REFUSED = "refuse me"
BROKEN = "break me"


class FakeJournal:
    """core.storage.Journal in memory. refusal: what append raises at once; failure: what its awaitable fails with."""

    number = 0
    backlog_bytes = 0

    def __init__(self) -> None:
        self.segments: dict[int, Segment] = {}
        self.updates: list[SegmentUpdate] = []
        self.refusal: PushError | None = None
        self.failure: PushError | None = None
        self.unreadable = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._last = 0

    def next_segment(self) -> int:
        self._last += 1
        return self._last

    async def _write(self, segment: Segment) -> None:
        await self.gate.wait()
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        self.segments[segment.seq] = segment

    def append(self, segment: Segment) -> asyncio.Future[None]:
        if self.refusal is not None:
            raise self.refusal
        return asyncio.ensure_future(self._write(segment))

    async def record(self, updates: list[SegmentUpdate]) -> None:
        self.updates += updates

    async def load(self, segment: int, indexes: Sequence[int]) -> list[bytes]:
        await asyncio.sleep(0)
        if self.unreadable:
            self.unreadable -= 1
            raise Unavailable("cannot be read")
        closed = {index for seq, index, _ in self.closings() if seq == segment}
        if segment not in self.segments or closed & set(indexes):
            raise UnknownNotification
        return [self.segments[segment].frames[index] for index in indexes]

    async def close(self) -> None:
        pass

    def closings(self) -> list[tuple[int, int, NotificationState]]:
        """Every mark that closes a notification: segment, index, state."""
        return [
            (update.segment, mark >> 8, NotificationState(mark & 0xFF))
            for update in self.updates
            for mark in array("I", update.closed)
        ]

    def receipts(self) -> list[Receipt]:
        """All receipts, in the order they were recorded."""
        found: list[Receipt] = []
        for update in self.updates:
            accepted = self.segments[update.segment].accepted_unix_ms
            found += unpack_events(update.events, self.number, update.segment, accepted)
        return found

    def accepted(self) -> list[tuple[int, int]]:
        """The places of everything that was accepted."""
        return [
            (seq, index)
            for seq, segment in self.segments.items()
            for index, frame in enumerate(segment.frames)
            if frame
        ]


class FakeRegistry:
    """core.storage.DeviceRegistry and DeviceRetirement in memory; while failing, everything raises Unavailable."""

    def __init__(self) -> None:
        self.devices: dict[tuple[str, str], list[Target]] = {}
        self.failing = False
        self.lookups = 0
        self.retired: list[tuple[str, Provider, str, int]] = []

    async def devices_of(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[Target]]:
        self._look()
        self.lookups += 1
        return {user: self.devices[app, user] for user in user_ids if (app, user) in self.devices}

    async def retire(self, app: str, gone: Sequence[tuple[Provider, str, int]]) -> int:
        await asyncio.sleep(0.001)
        self._look()
        self.retired += [(app, *one) for one in gone]
        return len(gone)

    async def count(self, app: str, provider: Provider) -> int:
        return len(self.devices)

    async def register(self, devices: Sequence[Device]) -> None:
        raise NotImplementedError

    async def unregister(self, app: str, provider: Provider, tokens: Sequence[str]) -> int:
        raise NotImplementedError

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        raise NotImplementedError

    def _look(self) -> None:
        if self.failing:
            raise Unavailable("the registry cannot be read")


class FakeChannel:
    """core.ports.Channel whose answers a test gives.

    streams: how many requests it takes at a time. answers_by_itself: the outcome of everything, 1 ms after submit.
    """

    def __init__(self, number: int, sink: Sink, streams: int = 1_000) -> None:
        self.number = number
        self.streams = streams
        self.in_flight: list[Delivery] = []
        self.batches: list[list[Delivery]] = []
        self.sent: Counter[bytes] = Counter()
        self.answers_by_itself: Outcome | None = None
        self._sink = sink

    @property
    def capacity(self) -> int:
        return self.streams - len(self.in_flight)

    def render(self, notification: Notification) -> tuple[bytes, object]:
        title = notification.content.title if notification.content else ""
        if title == REFUSED:
            raise ContentRefused("PayloadTooLarge", "as asked")
        if title == BROKEN:
            raise ZeroDivisionError("as asked")
        return title.encode(), None

    def render_many(self, notifications: list[Notification]) -> list[Rendered]:
        return render_each(self.render, notifications)

    def submit(self, deliveries: Sequence[Delivery], now_unix_ms: int) -> int:
        taken = list(deliveries[: max(0, self.capacity)])
        self.in_flight += taken
        if taken:
            self.batches.append(taken)
        self.sent.update(delivery.notification.id for delivery in taken)
        if self.answers_by_itself is not None and taken:
            asyncio.get_running_loop().call_later(0.001, self.answer, self.answers_by_itself, taken)
        return len(taken)

    def answer(self, outcome: Outcome = DELIVERED, deliveries: Sequence[Delivery] | None = None) -> None:
        """Answer what is in flight, or these of it, all alike."""
        chosen = list(self.in_flight if deliveries is None else deliveries)
        self.answer_each(chosen, [outcome] * len(chosen))

    def answer_each(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Answer each for itself."""
        gone = {id(delivery) for delivery in deliveries}
        self.in_flight = [delivery for delivery in self.in_flight if id(delivery) not in gone]
        if deliveries:
            self._sink.on_outcomes(deliveries, outcomes)

    def open(self, streams: int) -> None:
        """Take so many requests from now on."""
        self.streams = streams
        self._sink.on_capacity(self.number)

    async def start(self) -> None:
        pass

    async def close(self, drain_s: float) -> None:
        pass
