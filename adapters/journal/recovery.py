"""What a journal still owes: open segments, idempotency material and frames, read in short steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from adapters.journal.frames import unpack_frames
from core.errors import UnknownNotification
from core.model import NotificationState
from core.receipts import finished_devices
from core.storage import OpenSegment, SegmentKeys

OPEN = frozenset((NotificationState.ACCEPTED, NotificationState.SCHEDULED))


def open_segments(connection: sqlite3.Connection, after: int, last: int, limit: int) -> list[OpenSegment]:
    """Return segments with open messages, after < seq <= last, oldest first. Raises StoreFailure if one is damaged."""
    rows = connection.execute(
        """
        SELECT seq, accepted_unix_ms, states, frames FROM payloads JOIN segments USING (seq)
        WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?
        """,
        (after, last, limit),
    ).fetchall()
    return [open_segment(connection, *row) for row in rows]


def open_segment(
    connection: sqlite3.Connection, seq: int, accepted_unix_ms: int, states: bytes, payload: bytes,
) -> OpenSegment:
    """Return what is open of one segment, and what of that was final for some devices already."""
    events = connection.execute("SELECT events FROM receipts WHERE segment = ? ORDER BY seq", (seq,)).fetchall()
    indexes = [index for index, state in enumerate(states) if state in OPEN]
    frames = unpack_frames(payload, len(states), indexes)
    messages = [(i, NotificationState(states[i]), frame) for i, frame in zip(indexes, frames, strict=True)]
    return OpenSegment(seq, accepted_unix_ms, messages, finished_devices([row[0] for row in events], states))


def segment_keys(connection: sqlite3.Connection, after: int, since_unix_ms: int, limit: int) -> list[SegmentKeys]:
    """Return idempotency material of segments after seq that were accepted since then, oldest first."""
    rows = connection.execute(
        """
        SELECT seq, accepted_unix_ms, keys, fingerprints FROM segments
        WHERE seq > ? AND accepted_unix_ms >= ? ORDER BY seq LIMIT ?
        """,
        (after, since_unix_ms, limit),
    ).fetchall()
    return [SegmentKeys(*row) for row in rows]


def open_frames(connection: sqlite3.Connection, segment: int, indexes: Sequence[int]) -> list[bytes]:
    """Return the frames of open messages in the order of indexes. Raises UnknownNotification if one is not open."""
    row = connection.execute(
        "SELECT states, frames FROM payloads JOIN segments USING (seq) WHERE seq = ?", (segment,),
    ).fetchone()
    if not row:
        raise UnknownNotification
    states, payload = row
    if not all(0 <= index < len(states) and states[index] in OPEN for index in indexes):
        raise UnknownNotification
    return unpack_frames(payload, len(states), indexes)
