"""What the callers of a soak know: each notification in some forty bytes, and times as histograms by phase."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.latency import LatencyRecorder
from bench.soak.phases import Phase, Stage, Timeline
from core.notification_id import parse_id_text
from protos.walletpush.v1.receipt_pb2 import DELIVERY_STATE_DELIVERED, Receipt

# What the end of a notification to a dead device is called: by the providers, and by us once its token is gone.
DEATHS = frozenset({"Unregistered", "UNREGISTERED", "NO_DEVICES"})
THIRDS = ("calm, first third", "calm, middle third", "calm, last third")
_ID_BYTES = 16
# Beside the states of a receipt, in a byte each.
_UNSENT, _ACCEPTED, _UNCERTAIN = 0, 64, 128
# Receipts that come before the answer to their notification, or without any notification of ours.
_MOST_EARLY = 100_000


class Told(NamedTuple):
    """What one receipt says. uncertain: that the device may have got it twice."""

    state: int
    reason: str
    at_unix_us: int
    uncertain: bool


class Delivered(NamedTuple):
    """A notification whose receipt says delivered."""

    number: int
    user: int
    id: bytes
    uncertain: bool


class Times:
    """Payments' times from when they were due: until accepted, and until the provider took them."""

    def __init__(self) -> None:
        self.accepted, self.delivered = LatencyRecorder(), LatencyRecorder()


class Book:
    """Notifications by number, in the order in which they were due; one device each, so one receipt each.

    began_unix_us: the beginning of the timeline.
    """

    def __init__(self, timeline: Timeline, began_unix_us: int) -> None:
        self._timeline, self._began_unix_us = timeline, began_unix_us
        self._due_unix_us = array("q")
        self._users = array("I")
        self._payments = array("B")
        self._states = array("B")
        self._ids = bytearray()
        self._open: dict[bytes, int] = {}
        self._early: dict[bytes, Told] = {}
        self.times: dict[str, Times] = {}
        self.recent = Times()
        self.delivered = 0
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.ended_by_death = array("I")

    @property
    def open(self) -> int:
        """How many were accepted and have no receipt."""
        return len(self._open)

    @property
    def strangers(self) -> int:
        """How many receipts belong to no open notification: told twice, or of something never accepted."""
        return len(self._early)

    def due(self, user: int, *, payment: bool, at_unix_us: int) -> int:
        """Enter a notification; return its number."""
        self._due_unix_us.append(at_unix_us)
        self._users.append(user)
        self._payments.append(payment)
        self._states.append(_UNSENT)
        self._ids += bytes(_ID_BYTES)
        return len(self._users) - 1

    def take(self, number: int, notification_id: str, now_unix_us: int) -> None:
        """Note that the gateway accepted one."""
        found = parse_id_text(notification_id)
        self._ids[number * _ID_BYTES : (number + 1) * _ID_BYTES] = found
        self._states[number] = _ACCEPTED
        self._open[found] = number
        self.accepted += 1
        if self._payments[number]:
            waited_us = now_unix_us - self._due_unix_us[number]
            self._times_of(number).accepted.record(waited_us)
            self.recent.accepted.record(waited_us)
        early = self._early.pop(found, None)
        if early is not None:
            self._end(found, early)

    def hear(self, receipts: Iterable[Receipt]) -> None:
        """Note receipts. Raises RuntimeError for more than 100,000 that belong to nothing accepted."""
        for receipt in receipts:
            at_unix_us = receipt.time.ToMicroseconds()
            told = Told(receipt.state, receipt.reason, at_unix_us, receipt.possibly_delivered)
            found = parse_id_text(receipt.notification_id)
            if found in self._open:
                self._end(found, told)
            elif len(self._early) < _MOST_EARLY:
                self._early[found] = told
            else:
                raise RuntimeError(f"{_MOST_EARLY:,} receipts belong to nothing that was accepted")

    def recently(self) -> Times:
        """Return the times since the last call."""
        recent, self.recent = self.recent, Times()
        return recent

    def delivered_ones(self) -> Iterator[Delivered]:
        """Yield each notification whose receipt says delivered."""
        for number, state in enumerate(self._states):
            if state & ~_UNCERTAIN == DELIVERY_STATE_DELIVERED:
                found = bytes(self._ids[number * _ID_BYTES : (number + 1) * _ID_BYTES])
                yield Delivered(number, self._users[number], found, bool(state & _UNCERTAIN))

    def _end(self, found: bytes, told: Told) -> None:
        number = self._open.pop(found)
        self._states[number] = told.state | (_UNCERTAIN if told.uncertain else 0)
        if told.state != DELIVERY_STATE_DELIVERED:
            self.failed[told.reason] += 1
            if told.reason in DEATHS:
                self.ended_by_death.append(self._users[number])
            return
        self.delivered += 1
        if self._payments[number]:
            waited_us = told.at_unix_us - self._due_unix_us[number]
            self._times_of(number).delivered.record(waited_us)
            self.recent.delivered.record(waited_us)

    def _times_of(self, number: int) -> Times:
        at_s = (self._due_unix_us[number] - self._began_unix_us) / 1e6
        name = _filed(self._timeline.at(at_s), self._timeline.third(at_s))
        times = self.times.get(name)
        if times is None:
            times = self.times[name] = Times()
        return times


def _filed(phase: Phase, third: int) -> str:
    return THIRDS[third] if phase.stage is Stage.CALM else phase.name
