"""Notifications that wait for their send_at: only their places in the journal are kept in memory."""

from __future__ import annotations

import asyncio
import heapq
from array import array
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeAlias

from core.delivery import Notification
from core.model import NotificationClass
from gateway.pipeline.clock import Clock

_SLICE_MS = 100
_MAX_WAIT_S = 3_600.0
# (segment, index) pairs, flat; an array costs 16 bytes a notification where tuples would cost 120.
Places: TypeAlias = "array[int]"
OnDue = Callable[[dict[int, list[int]]], Awaitable[None]]


class Schedule:
    """Due places by slices of 100 ms: what is urgent apart from all else, which may wait long for room once due."""

    def __init__(self, clock: Clock) -> None:
        self._urgent, self._waves = _Course(clock), _Course(clock)

    def cancel(self, notification: Notification) -> bool:
        """Hand this place out no more; False if it was handed out, or cancelled, already."""
        return self._course_of(notification).cancel(notification)

    def add(self, notifications: Iterable[Notification]) -> None:
        """Keep the places of notifications until their send_at, rounded up to the next slice."""
        for notification in notifications:
            self._course_of(notification).add(notification)

    async def run(self, on_due: OnDue) -> None:
        """Until cancelled, hand out what falls due. A step of the wall clock is followed within an hour.

        on_due: awaited with the indexes that are due, by segment; twice at a time at most.
        """
        async with asyncio.TaskGroup() as tasks:
            for course in (self._urgent, self._waves):
                tasks.create_task(course.run(on_due))

    def _course_of(self, notification: Notification) -> _Course:
        return self._urgent if notification.klass <= NotificationClass.TRANSACTIONAL else self._waves


class _Course:
    """Places that are handed out one slice after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slices: dict[int, Places] = {}
        self._order: list[int] = []
        self._changed = asyncio.Event()
        self._cancelled: set[tuple[int, int]] = set()

    def cancel(self, notification: Notification) -> bool:
        place = (notification.segment, notification.index)
        if place in self._cancelled or _slice_of(notification) not in self._slices:
            return False
        self._cancelled.add(place)
        return True

    def add(self, notification: Notification) -> None:
        due = _slice_of(notification)
        places = self._slices.get(due)
        if places is None:
            places = self._slices[due] = array("q")
            heapq.heappush(self._order, due)
        places.extend((notification.segment, notification.index))
        self._changed.set()

    async def run(self, on_due: OnDue) -> None:
        while True:
            self._changed.clear()
            now_slice = self._clock.unix_ms() // _SLICE_MS
            if self._order and self._order[0] <= now_slice:
                await on_due(self._by_segment(self._slices.pop(heapq.heappop(self._order))))
                continue
            wait_s = _MAX_WAIT_S
            if self._order:
                wait_s = min(wait_s, (self._order[0] * _SLICE_MS - self._clock.unix_ms()) / 1_000 + 0.001)
            # Not wait_for: when the event comes in the same turn as a cancellation, that one swallows the cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _by_segment(self, places: Places) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for place in zip(places[::2], places[1::2], strict=True):
            if place in self._cancelled:
                self._cancelled.discard(place)
                continue
            groups.setdefault(place[0], []).append(place[1])
        return groups


def _slice_of(notification: Notification) -> int:
    return -(-notification.send_at_unix_ms // _SLICE_MS)
