"""What a journal holds of one person, found in short steps by what their messages and receipts must contain."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.journal.frames import unpack_frames
from adapters.journal.recovery import OPEN
from adapters.journal.schema import JOURNAL
from adapters.journal.sqlite_file import mapped_errors, open_readable
from core.model import NotificationState, Receipt
from core.receipts import unpack_events

# A payload may be several megabytes; a row of receipts holds what one commit brought of one segment.
PAYLOADS = 2
RECEIPT_ROWS = 32
_KEY = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message that is not finished, as it was appended."""

    segment: int
    index: int
    accepted_unix_ms: int
    state: NotificationState
    frame: bytes


class JournalSearch:
    """Reads beside the owner; every call is one short read, which blocks.

    Raises Unavailable if there is no such file, StoreFailure if it is not a journal of this version.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number
        self._connection = open_readable(path, JOURNAL)

    def open_messages(self, after: int, needles: Sequence[bytes]) -> tuple[int, list[OpenMessage]]:
        """Return the segment to go on after, 0 at the end, and messages that hold one of the needles.

        needles: in lower case, and compared so. Raises Unavailable, StoreFailure for a damaged payload.
        """
        with mapped_errors(self._path):
            rows = self._connection.execute(
                """
                SELECT seq, accepted_unix_ms, states, frames FROM payloads JOIN segments USING (seq)
                WHERE seq > ? ORDER BY seq LIMIT ?
                """,
                (after, PAYLOADS),
            ).fetchall()
        found = [
            OpenMessage(seq, index, accepted_unix_ms, NotificationState(states[index]), frame)
            for seq, accepted_unix_ms, states, payload in rows
            # Frame by frame: a whole payload at once would keep the interpreter from the loop for milliseconds.
            for index, frame in _open_frames(states, payload) if _holds(frame, needles)
        ]  # fmt: skip
        return (rows[-1][0] if rows else 0), found

    def receipts(self, after: int, device_keys: Collection[int]) -> tuple[int, list[Receipt]]:
        """Return the row to go on after, 0 at the end, and the receipts of these devices. Raises Unavailable."""
        with mapped_errors(self._path):
            rows = self._connection.execute(
                """
                SELECT receipts.seq, segment, accepted_unix_ms, events FROM receipts
                JOIN segments ON segments.seq = segment WHERE receipts.seq > ? ORDER BY receipts.seq LIMIT ?
                """,
                (after, RECEIPT_ROWS),
            ).fetchall()
        packed = [_KEY.pack(key) for key in device_keys]
        found = [
            receipt
            for _, segment, accepted_unix_ms, events in rows if any(key in events for key in packed)
            for receipt in unpack_events(events, self._number, segment, accepted_unix_ms)
            if receipt.device_key in device_keys
        ]  # fmt: skip
        return (rows[-1][0] if rows else 0), found

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _holds(frame: bytes, needles: Sequence[bytes]) -> bool:
    lowered = frame.lower()
    return any(needle in lowered for needle in needles)


def _open_frames(states: bytes, payload: bytes) -> list[tuple[int, bytes]]:
    indexes = [index for index, state in enumerate(states) if state in OPEN]
    return list(zip(indexes, unpack_frames(payload, len(states), indexes), strict=True))
