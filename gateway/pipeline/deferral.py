"""Users whom a gate told to wait: kept until they are due, then taken through all gates again."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress

from core.delivery import Notification
from core.policy.people import UserDevice
from gateway.pipeline.clock import Clock

_MAX_WAIT_S = 3_600.0


class Deferred:
    """One user of a notification that waits. device: only this one of the user's waits; None for all.

    total: how many messages it stands for, as a summary of a backlog.
    """

    __slots__ = ("device", "due_s", "gone", "notification", "total", "user_id")

    def __init__(
        self, notification: Notification, user_id: str, due_s: int, device: UserDevice | None, total: int = 1
    ) -> None:
        self.notification = notification
        self.user_id = user_id
        self.due_s = due_s
        self.device = device
        self.gone = False
        self.total = total

    @property
    def whose(self) -> str:
        """The user, or where nobody is known the device, so that strangers are not taken for one user."""
        return self.user_id or _nobodys("" if self.device is None else self.device.target.token)


OnDue = Callable[[list[Deferred]], Awaitable[None]]


class Deferrals:
    """By the second they are due, and by user, so that what waits for one user can be collapsed together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slices: dict[int, list[Deferred]] = {}
        self._order: list[int] = []
        self._by_user: dict[tuple[str, str], list[Deferred]] = {}
        self._changed = asyncio.Event()
        self._waiting: dict[Notification, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waits(self, notification: Notification) -> bool:
        """Tell whether anyone waits for a notification, which must then keep its content."""
        return notification in self._waiting

    def add(self, entry: Deferred) -> None:
        """Keep a user until due_s."""
        members = self._slices.get(entry.due_s)
        if members is None:
            members = self._slices[entry.due_s] = []
            heapq.heappush(self._order, entry.due_s)
            self._changed.set()
        members.append(entry)
        self._by_user.setdefault((entry.notification.app, entry.whose), []).append(entry)
        self._waiting[entry.notification] = self._waiting.get(entry.notification, 0) + 1
        self._count += 1

    def take_others(self, entry: Deferred, until_s: int) -> list[Deferred]:
        """Take out what else waits for the same user and is due by until_s."""
        others = self._by_user.get((entry.notification.app, entry.whose), ())
        taken = [one for one in others if one is not entry and one.due_s <= until_s]
        for one in taken:
            self._forget(one)
        return taken

    def take_notification(self, notification: Notification) -> list[Deferred]:
        """Take out everyone who waits for a notification, because it was cancelled."""
        taken = [one for one in self._all() if one.notification is notification]
        for one in taken:
            self._forget(one)
        return taken

    def take_user(self, app: str, user_id: str) -> list[Deferred]:
        """Take out all that waits for a user, because they are erased."""
        taken = list(self._by_user.get((app, user_id), ()))
        for one in taken:
            self._forget(one)
        return taken

    def take_devices(self, app: str, tokens: Iterable[str]) -> list[Deferred]:
        """Take out the devices that wait as nobody's, because somebody whose they are is erased."""
        taken = [one for token in tokens for one in self._by_user.get((app, _nobodys(token)), ())]
        for one in taken:
            self._forget(one)
        return taken

    async def run(self, on_due: OnDue) -> None:
        """Until cancelled, hand out what is due. A step of the wall clock is followed within an hour."""
        while True:
            self._changed.clear()
            now_s = self._clock.unix_ms() // 1_000
            if self._order and self._order[0] <= now_s:
                members = self._slices.pop(heapq.heappop(self._order))
                due = [one for one in members if not one.gone]
                for one in due:
                    self._forget(one)
                await on_due(due)
                continue
            wait_s = _MAX_WAIT_S
            if self._order:
                wait_s = min(wait_s, self._order[0] - self._clock.unix_ms() / 1_000 + 0.001)
            # Not wait_for: when the event comes in the same turn as a cancellation, that one swallows the cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _all(self) -> Iterator[Deferred]:
        for members in self._slices.values():
            yield from (one for one in members if not one.gone)

    def _forget(self, entry: Deferred) -> None:
        """Take an entry out of its user's list; its slice drops it when that is due."""
        if entry.gone:
            return
        entry.gone = True
        self._count -= 1
        key = (entry.notification.app, entry.whose)
        members = self._by_user.get(key, [])
        members.remove(entry)
        if not members:
            self._by_user.pop(key, None)
        left = self._waiting[entry.notification] - 1
        if left:
            self._waiting[entry.notification] = left
        else:
            del self._waiting[entry.notification]


def _nobodys(token: str) -> str:
    # No user's id holds a control character.
    return f"\0{token}"
