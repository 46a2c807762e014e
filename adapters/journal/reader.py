"""Any worker's journal, read from outside: receipts, and where a notification stands."""

from __future__ import annotations

from pathlib import Path

from adapters.journal.frames import unpack_frames
from adapters.journal.recovery import OPEN, segment_keys
from adapters.journal.schema import JOURNAL
from adapters.journal.sqlite_file import mapped_errors, open_readable
from core.errors import UnknownNotification
from core.model import NotificationState
from core.storage import NotificationRecord, ReceiptRow, SegmentKeys


class JournalReader:
    """Reads beside the owner, whether that lives, was killed or comes back; every call is one short read.

    Raises Unavailable if there is no such file yet, StoreFailure if it is not a journal of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_readable(path, JOURNAL)

    def receipts_after(self, seq: int, limit_rows: int) -> list[ReceiptRow]:
        """Return the rows after seq, at most limit_rows. Raises Unavailable if the file cannot be read."""
        with mapped_errors(self._path):
            rows = self._connection.execute(
                """
                SELECT receipts.seq, segment, accepted_unix_ms, events FROM receipts
                JOIN segments ON segments.seq = segment WHERE receipts.seq > ? ORDER BY receipts.seq LIMIT ?
                """,
                (seq, limit_rows),
            ).fetchall()
        return [ReceiptRow(*row) for row in rows]

    def last_receipt_seq(self) -> int:
        """Return the newest row's seq, 0 if there is none. Raises Unavailable if the file cannot be read."""
        with mapped_errors(self._path):
            last: int | None = self._connection.execute("SELECT max(seq) FROM receipts").fetchone()[0]
        return last or 0

    def notification(self, segment: int, index: int) -> NotificationRecord:
        """Return where a notification stands. Raises UnknownNotification, or Unavailable if it cannot be read."""
        with mapped_errors(self._path):
            # One statement, so that state and events belong to the same commit.
            rows = self._connection.execute(
                """
                SELECT 0 AS place, accepted_unix_ms, states, frames FROM segments LEFT JOIN payloads USING (seq)
                WHERE seq = ?1
                UNION ALL SELECT seq, at_unix_ms, events, NULL FROM receipts WHERE segment = ?1 ORDER BY place
                """,
                (segment,),
            ).fetchall()
        if not rows or rows[0][0] != 0 or not 0 <= index < len(rows[0][2]):
            raise UnknownNotification
        _, accepted_unix_ms, states, payload = rows[0]
        frame = unpack_frames(payload, len(states), [index])[0] if payload and states[index] in OPEN else b""
        events = [row[2] for row in rows[1:]]
        return NotificationRecord(NotificationState(states[index]), accepted_unix_ms, events, frame)

    def keys_since(self, after: int, since_unix_ms: int, limit: int) -> list[SegmentKeys]:
        """Return idempotency material of segments after that number, accepted since then. Raises Unavailable."""
        with mapped_errors(self._path):
            return segment_keys(self._connection, after, since_unix_ms, limit)

    def has_open(self) -> bool:
        """Tell whether anything accepted is unfinished. Raises Unavailable if the file cannot be read."""
        with mapped_errors(self._path):
            return self._connection.execute("SELECT 1 FROM payloads LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
