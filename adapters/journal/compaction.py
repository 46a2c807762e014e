"""What keeps the journal's file bounded: old rows leave, sparse segments shrink, free pages are returned.

Each sweep walks its table in short steps; where it meets what is too young it begins anew. The newest row of a table
always stays, since the next number is taken from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adapters.journal.frames import drop_frames
from adapters.journal.options import JournalOptions
from core.model import NotificationState

OPEN = frozenset((NotificationState.ACCEPTED, NotificationState.SCHEDULED))
# A rewrite must drop three quarters of the frames: the whole cost of rewriting then stays below a third of the writing.
SPARSE_SHARE = 4
REWRITES_PER_STEP = 16
PRESSURE = 0.9
FREE_PAGES = 1024
FREE_SHARE = 4


class Compaction:
    """Short steps of upkeep on the writer's connection, between its commits."""

    def __init__(
        self, connection: sqlite3.Connection, options: JournalOptions, clock_unix_ms: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._options = options
        self._clock_unix_ms = clock_unix_ms
        self._page_bytes: int = connection.execute("PRAGMA page_size").fetchone()[0]
        self._receipt_cursor = 0
        self._segment_cursor = 0
        self._payload_cursor = 0

    def live_bytes(self) -> int:
        """Return what the file holds, free pages not counted."""
        pages, free = self._pages()
        return (pages - free) * self._page_bytes

    def step(self) -> bool:
        """Do a little of everything; return whether there is more to do."""
        now_unix_ms = self._clock_unix_ms()
        more = self._expire_receipts(now_unix_ms)
        more |= self._expire_segments(now_unix_ms)
        more |= self._thin_payloads(now_unix_ms)
        return self._return_pages() or more

    def _expire_receipts(self, now_unix_ms: int) -> bool:
        pressed = self.live_bytes() > PRESSURE * self._options.max_bytes
        before_unix_ms = now_unix_ms + 1 if pressed else now_unix_ms - self._options.retention_ms
        rows = self._connection.execute(
            """
            SELECT seq, at_unix_ms, EXISTS (SELECT 1 FROM payloads WHERE payloads.seq = receipts.segment)
            FROM receipts WHERE seq > ? AND seq < (SELECT max(seq) FROM receipts) ORDER BY seq LIMIT ?
            """,
            (self._receipt_cursor, self._options.upkeep_rows),
        ).fetchall()
        old = [row for row in rows if row[1] < before_unix_ms]
        self._receipt_cursor = self._next_cursor(rows, old)
        # Of an open segment they tell recovery which devices not to send to again, however old they are.
        self._delete("receipts", [seq for seq, _, is_open in old if not is_open])
        return bool(self._receipt_cursor)

    def _expire_segments(self, now_unix_ms: int) -> bool:
        before_unix_ms = now_unix_ms - self._options.retention_ms
        rows = self._connection.execute(
            """
            SELECT seq, accepted_unix_ms,
                open = 0 AND NOT EXISTS (SELECT 1 FROM receipts WHERE receipts.segment = segments.seq)
            FROM segments WHERE seq > ? AND seq < (SELECT max(seq) FROM segments) ORDER BY seq LIMIT ?
            """,
            (self._segment_cursor, self._options.upkeep_rows),
        ).fetchall()
        old = [row for row in rows if row[1] < before_unix_ms]
        self._segment_cursor = self._next_cursor(rows, old)
        self._delete("segments", [seq for seq, _, is_over in old if is_over])
        return bool(self._segment_cursor)

    def _thin_payloads(self, now_unix_ms: int) -> bool:
        before_unix_ms = now_unix_ms - self._options.sparse_after_ms
        rows = self._connection.execute(
            """
            SELECT seq, accepted_unix_ms, payloads.kept >= segments.open * ? FROM payloads JOIN segments USING (seq)
            WHERE seq > ? ORDER BY seq LIMIT ?
            """,
            (SPARSE_SHARE, self._payload_cursor, self._options.upkeep_rows),
        ).fetchall()
        old = [row for row in rows if row[1] < before_unix_ms]
        sparse = [seq for seq, _, is_sparse in old if is_sparse]
        done, left = sparse[:REWRITES_PER_STEP], sparse[REWRITES_PER_STEP:]
        if done:
            with transaction(self._connection):
                for seq in done:
                    self._thin(seq)
        if left:
            self._payload_cursor = done[-1]
        else:
            self._payload_cursor = self._next_cursor(rows, old)
        return bool(self._payload_cursor)

    def _thin(self, seq: int) -> None:
        states, frames = self._connection.execute(
            "SELECT states, frames FROM segments JOIN payloads USING (seq) WHERE seq = ?", (seq,),
        ).fetchone()
        kept = sum(state in OPEN for state in states)
        self._connection.execute(
            "UPDATE payloads SET kept = ?, frames = ? WHERE seq = ?", (kept, drop_frames(frames, states, OPEN), seq),
        )

    def _return_pages(self) -> bool:
        pages, free = self._pages()
        if free < max(FREE_PAGES, pages // FREE_SHARE):
            return False
        # By executescript: the pragma answers with a row without columns per page, and execute stops at the first one.
        self._connection.executescript(f"PRAGMA incremental_vacuum({self._options.upkeep_rows})")
        return True

    def _pages(self) -> tuple[int, int]:
        return (
            self._connection.execute("PRAGMA page_count").fetchone()[0],
            self._connection.execute("PRAGMA freelist_count").fetchone()[0],
        )

    def _next_cursor(self, rows: list[tuple[int, ...]], old: list[tuple[int, ...]]) -> int:
        """Go on behind these rows if there may be more that are old, else begin anew."""
        return rows[-1][0] if len(old) == len(rows) == self._options.upkeep_rows else 0

    def _delete(self, table: str, seqs: list[int]) -> None:
        if seqs:
            marks = ",".join("?" * len(seqs))
            self._connection.execute(f"DELETE FROM {table} WHERE seq IN ({marks})", seqs)  # noqa: S608 - our own names


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
