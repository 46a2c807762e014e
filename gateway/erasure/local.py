"""Erasing a user from one worker: its memory, its lanes, its journal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from core.delivery import Delivery, Flow, Notification
from core.errors import StoreFailure
from core.hashing import SipHash
from core.model import DeliveryState, NotificationState
from core.storage import EmptiedMessage, JournalErasing
from gateway.erasure.subject import ERASED, Subject
from gateway.pipeline.clock import Clock
from gateway.pipeline.deferral import Deferrals, Deferred
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.revival import Reviver
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway

# What is on the wire ends by itself; a provider that answers later than this has heard it before the erasure.
_PATIENCE_NS = 10_000_000_000
_LOOK_AGAIN_S = 0.05
# Looking at one takes some 0.1 us.
_STRIDE = 10_000
_NOWHERE = Flow(0, (), ())
# How many traces are left in the gaps of a file that is too large to be copied at once: 0 but by a rare chance.
LEFTOVERS = "journal.leftovers"


class Releasing(Protocol):
    """Who lets go of contents that nobody waits for; gateway.pipeline.gated.GatedPlanner."""

    def release(self, notifications: Iterable[Notification]) -> None:
        """Let go of the contents that nobody waits for any more."""


class LocalErasure:
    """What one worker does of an erasure; every step may be repeated. hasher: receipts have their device keys from."""

    def __init__(
        self, *, journal: JournalErasing, underway: Underway, schedule: Schedule, reviver: Reviver, settler: Settler,
        queue: DeliveryQueue, retries: RetryWheel, deferrals: Deferrals, gates: Releasing, hasher: SipHash,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._underway = underway
        self._schedule = schedule
        self._reviver = reviver
        self._settler = settler
        self._queue = queue
        self._retries = retries
        self._deferrals = deferrals
        self._gates = gates
        self._hasher = hasher
        self._clock = clock
        # One walk through the journal at a time.
        self._turn = asyncio.Lock()

    async def erase(self, subject: Subject) -> Mapping[str, int]:
        """Cancel what waits for a user and take them out of the journal; return counts. Raises Unavailable."""
        async with self._turn:
            # What is on its way from the journal into memory is in neither place to be found.
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_NS / 1e9):
                    await self._reviver.replayed.wait()
            counts = Counter({"deliveries": 0, "journal.payloads": 0, "journal.receipts": 0})
            counts["deliveries"] += await self._drain(subject)
            await self._settler.flush()
            traces = subject.traces(self._hasher)
            emptied: list[EmptiedMessage] | None = None
            while emptied is None or emptied:
                frames, emptied = await self._journal.erase_frames(traces)
                counts["journal.payloads"] += frames
                counts["deliveries"] += self._end_scheduled(emptied)
            # Once more: what was read from the journal just before is in the lanes by now.
            counts["deliveries"] += await self._drain(subject)
            await self._settler.flush()
            counts["journal.receipts"] += await self._journal.unlink_receipts(traces)
            counts[LEFTOVERS] = await self._journal.forget_deleted(traces)
            return counts

    async def _drain(self, subject: Subject) -> int:
        """End all that waits for a user, until nothing of it is left or patience is; return how many deliveries."""
        until_ns = self._clock.monotonic_ns() + _PATIENCE_NS
        count = 0
        while True:
            count += self._end_deferred(subject)
            ended, on_the_wire = await self._end_deliveries(subject)
            unplanned = await self._cancel(subject)
            count += ended
            if (not on_the_wire and not unplanned) or self._clock.monotonic_ns() >= until_ns:
                return count
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _end_deferred(self, subject: Subject) -> int:
        taken = self._deferrals.take_user(subject.app, subject.user_id)
        taken += self._deferrals.take_devices(subject.app, subject.tokens)
        if taken:
            self._settler.end_held([_ended(one) for one in taken], DeliveryState.CANCELLED, ERASED)
            self._gates.release({one.notification for one in taken})
        return len(taken)

    async def _end_deliveries(self, subject: Subject) -> tuple[int, int]:
        """End what waits in lanes or between attempts; return how many, and how many are on the wire."""
        tokens, on_the_wire, count, start = subject.tokens, 0, 0, 0
        while tokens and start < self._queue.slots:
            found = self._queue.find(subject.app, tokens, start, _STRIDE)
            waiting = [one for one in found if self._queue.take_out(one) or self._retries.take_out(one)]
            if waiting:
                self._settler.end_stopped(waiting, DeliveryState.CANCELLED, ERASED)
            count += len(waiting)
            on_the_wire += len(found) - len(waiting)
            start += _STRIDE
            await asyncio.sleep(0)
        return count, on_the_wire

    async def _cancel(self, subject: Subject) -> int:
        """Cancel what is for the user alone; return how many that name them are not planned yet."""
        unplanned = seen = 0
        for segment in self._underway.segments():
            for one in self._underway.members(segment):
                if one.app == subject.app and subject.names(one.user_ids, one.targets):
                    if subject.names_only(one.user_ids, one.targets):
                        one.cancelled = True
                    unplanned += not one.open_deliveries and not one.outcome_bits
                seen += 1
            if seen >= _STRIDE:
                seen = 0
                await asyncio.sleep(0)
        return unplanned

    def _end_scheduled(self, emptied: Iterable[EmptiedMessage]) -> int:
        """End what waited for its send_at, now that nobody is left to hear it."""
        ended: list[Notification] = []
        for one in emptied:
            if one.state is not NotificationState.SCHEDULED:
                continue
            with suppress(StoreFailure):
                notification = self._reviver.revive(one.segment, one.index, one.frame)
                if notification is not None and self._schedule.cancel(notification):
                    ended.append(notification)
        if ended:
            self._underway.add(ended)
            self._settler.end(ended, DeliveryState.CANCELLED, ERASED)
        return len(ended)


def _ended(entry: Deferred) -> Delivery:
    # Without a key: nothing is to lead from this receipt to the user.
    provider = 0 if entry.device is None else int(entry.device.target.provider)
    return Delivery(entry.notification, "", b"", None, 0, 0, provider, 0, _NOWHERE)
