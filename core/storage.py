"""What the pipeline asks of the stores: the journal of accepted work and the registry of devices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from core.erasing import Traces
from core.model import Device, NotificationState, Provider, Target


class Segment(NamedTuple):
    """What was accepted together: 1 to 1,000 messages, opaque to the store.

    frames: one per message, empty for a place that stays unused (a duplicate's). keys: n x 16 bytes, the idempotency
    keys' hashes; fingerprints: n x 8 bytes, the bodies'.
    states: n bytes, NotificationState of each: ACCEPTED or SCHEDULED, a final one for an unused place; empty stands
    for all ACCEPTED.
    """

    seq: int
    accepted_unix_ms: int
    frames: list[bytes]
    keys: bytes
    fingerprints: bytes
    states: bytes = b""


class SegmentUpdate(NamedTuple):
    """What happened to one segment's deliveries since the last commit.

    closed: n x uint32 (host order), index << 8 | NotificationState. events: packed receipts, see core.receipts.
    at_unix_ms: the latest event's.
    """

    segment: int
    at_unix_ms: int
    closed: bytes
    events: bytes


class PartlyFinished(NamedTuple):
    """What was already final of a notification that is still open; outcome_bits as in core.delivery.Notification."""

    device_keys: frozenset[int]
    outcome_bits: int


class OpenSegment(NamedTuple):
    """A segment with messages that were accepted and are not finished.

    messages: (index, state, frame) of each open one, ascending. finished: by index, only where deliveries were final.
    """

    seq: int
    accepted_unix_ms: int
    messages: list[tuple[int, NotificationState, bytes]]
    finished: Mapping[int, PartlyFinished]


class SegmentKeys(NamedTuple):
    """The idempotency material of one segment: n x 16 and n x 8 bytes, in order of the index."""

    seq: int
    accepted_unix_ms: int
    keys: bytes
    fingerprints: bytes


class Commit(NamedTuple):
    """One group commit, for the metrics. wait_ns: how long its oldest part had been queued before it began."""

    segments: int
    messages: int
    updates: int
    payload_bytes: int
    duration_ns: int
    wait_ns: int


class Journal(Protocol):
    """One worker's durable record of what it accepted and what became of it."""

    @property
    def number(self) -> int:
        """The journal's number, 0 to 4,095, part of every notification id."""

    @property
    def backlog_bytes(self) -> int:
        """What is queued or being written now; append refuses above its bound, record does not."""

    def next_segment(self) -> int:
        """Allocate a segment's number, greater than any before it, also over restarts."""

    def append(self, segment: Segment) -> Awaitable[None]:
        """Queue a segment; the awaitable resolves once it is on the disk.

        Raises Overloaded at once when the queue or the file is full; the awaitable fails with Unavailable when
        the disk cannot be written, and then the segment was not accepted.
        """

    def record(self, updates: list[SegmentUpdate]) -> Awaitable[None]:
        """Queue what became of deliveries; the awaitable resolves once it is on the disk.

        Never refused; while the disk cannot be written, kept and tried again. The awaitable fails with Unavailable
        only if it was given up: the backlog's bound was hit or the journal closed.
        """

    async def load(self, segment: int, indexes: Sequence[int]) -> list[bytes]:
        """Return the frames of open messages, in the order of indexes.

        Raises UnknownNotification if one is not there or not open, Unavailable if the file cannot be read.
        """

    async def close(self) -> None:
        """Write what is queued, then release the file."""


class JournalRecovery(Protocol):
    """What a journal held when it was opened."""

    def recover(self, batch: int) -> AsyncIterator[list[OpenSegment]]:
        """Give all segments with open messages that were there at opening, oldest first, at most batch at a time."""

    def recent_keys(self, since_unix_ms: int, batch: int) -> AsyncIterator[list[SegmentKeys]]:
        """Give the idempotency material accepted since then, oldest first, at most batch segments at a time."""


class ReceiptRow(NamedTuple):
    """One commit's events of one segment; seq ascends in the order of commits. See core.receipts.unpack_events."""

    seq: int
    segment: int
    accepted_unix_ms: int
    events: bytes


class NotificationRecord(NamedTuple):
    """Where one notification stands. events: the packed receipts of its whole segment, oldest commit first.

    frame: what was appended, while the notification is open; then empty.
    """

    state: NotificationState
    accepted_unix_ms: int
    events: list[bytes]
    frame: bytes


@dataclass(frozen=True, slots=True)
class EmptiedMessage:
    """An open message that named nobody but a person who is erased. frame: as it was before."""

    segment: int
    index: int
    state: NotificationState
    frame: bytes


class JournalErasing(Protocol):
    """How a person is taken out of a journal."""

    async def erase_frames(self, traces: Traces) -> tuple[int, list[EmptiedMessage]]:
        """Take them out of all frames; return how many named them, and which messages are to end. Raises Unavailable.

        At most 10,000 messages at a time are to end: call it again until it returns none.
        """

    async def unlink_receipts(self, traces: Traces) -> int:
        """Take their devices' keys out of all receipts; return how many. Raises Unavailable."""

    async def forget_deleted(self, traces: Traces) -> int:
        """Empty free pages, gaps and the log, where what was deleted still stands; return how many leftovers stay.

        Some stay only in a file that is too large to be copied. Raises Unavailable if readers hold it.
        """


class KeyReader(Protocol):
    """Any worker's journal, read from outside for its idempotency material."""

    def keys_since(self, after: int, since_unix_ms: int, limit: int) -> list[SegmentKeys]:
        """Return material of segments after that number, accepted since then, oldest first. Raises Unavailable."""


class ReceiptReader(Protocol):
    """Any worker's journal, read from outside; every call blocks for one short read, so call it off the loop."""

    def receipts_after(self, seq: int, limit_rows: int) -> list[ReceiptRow]:
        """Return the rows after seq, at most limit_rows. Raises Unavailable if the file cannot be read."""

    def last_receipt_seq(self) -> int:
        """Return the newest row's seq, 0 if there is none. Raises Unavailable if the file cannot be read."""

    def notification(self, segment: int, index: int) -> NotificationRecord:
        """Return where a notification stands. Raises UnknownNotification, or Unavailable if it cannot be read."""

    def close(self) -> None:
        """Let go of the file."""


class DeviceRegistry(Protocol):
    """Which devices a user of an app has; (app, provider, token) is unique."""

    async def register(self, devices: Sequence[Device]) -> None:
        """Insert or update; a token known under another user moves to this one.

        registered_unix_ms must be the time of this registration. Raises Unavailable, then nothing was changed.
        """

    async def unregister(self, app: str, provider: Provider, tokens: Sequence[str]) -> int:
        """Delete tokens; return how many there were. Raises Unavailable, then nothing was changed."""

    async def devices_of(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[Target]]:
        """Return the devices of up to 10,000 users; a user without any is not in the answer.

        Raises Unavailable if the registry cannot be read.
        """

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        """Return a user's devices, newest registration first. Raises Unavailable if they cannot be read."""


class DeviceRetirement(Protocol):
    """How tokens that the provider called dead leave the registry."""

    async def retire(self, app: str, gone: Sequence[tuple[Provider, str, int]]) -> int:
        """Delete each (provider, token, gone_since_unix_ms) not registered at or after that time; return how many.

        Where the provider tells no time, pass the time the request was sent; 0 deletes whatever is registered.
        Raises Unavailable, then nothing was changed.
        """

    async def count(self, app: str, provider: Provider) -> int:
        """Return how many tokens are registered. Raises Unavailable if they cannot be read."""
