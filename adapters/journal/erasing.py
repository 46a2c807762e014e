"""Taking one person out of a journal: short steps on the writer's connection, between its commits.

Payloads lose the person's frames, receipts the keys of their devices; then free pages leave the file, where what was
deleted still stands, and the log is emptied into it. Each step may be repeated: what it did is found done.
"""

from __future__ import annotations

import sqlite3
from enum import IntEnum

from adapters.journal.compaction import OPEN, transaction
from adapters.journal.frames import pack_frames, unpack_frames
from core.erasing import Traces, unlink_devices
from core.model import NotificationState
from core.storage import EmptiedMessage

# So much is read in one step: a few milliseconds.
STEP_BYTES = 1 << 20
STEP_ROWS = 256
STEP_PAGES = 256
# A reader of one row is gone after a moment; a longer one is waited for outside of the writer.
LOG_WAIT_MS = 100


class Work(IntEnum):
    """The kinds of steps, in their order."""

    FRAMES = 0
    RECEIPTS = 1
    PAGES = 2
    LOG = 3


class ErasingStep:
    """One step, and after it what it did.

    after: where to go on; for PAGES how many are free. done: nothing of this kind is left. count: frames or receipts
    changed. emptied: messages that are to end, as they were.
    """

    __slots__ = ("after", "count", "done", "emptied", "traces", "work")

    def __init__(self, work: Work, traces: Traces, after: int = 0) -> None:
        self.work = work
        self.traces = traces
        self.after = after
        self.done = False
        self.count = 0
        self.emptied: list[EmptiedMessage] = []

    def run(self, connection: sqlite3.Connection) -> None:
        """Do it."""
        match self.work:
            case Work.FRAMES:
                with transaction(connection):
                    self._erase_frames(connection)
            case Work.RECEIPTS:
                with transaction(connection):
                    self._unlink_receipts(connection)
            case Work.PAGES:
                self._return_pages(connection)
            case Work.LOG:
                self._empty_log(connection)

    def _erase_frames(self, connection: sqlite3.Connection) -> None:
        seen = 0
        while seen < STEP_BYTES:
            row = connection.execute(
                "SELECT seq, states, frames FROM payloads JOIN segments USING (seq) WHERE seq > ? ORDER BY seq LIMIT 1",
                (self.after,),
            ).fetchone()
            if row is None:
                self.done = True
                return
            self.after, states, payload = row
            seen += len(payload)
            if self.traces.may_name(payload):
                self._edit(connection, states, payload)

    def _edit(self, connection: sqlite3.Connection, states: bytes, payload: bytes) -> None:
        """Write a payload without the person, and without what has ended."""
        kept: list[bytes] = []
        edits = ended = 0
        for index, frame in enumerate(unpack_frames(payload, len(states), range(len(states)))):
            is_open = states[index] in OPEN
            edited = self.traces.edit(frame) if is_open and frame and self.traces.may_name(frame) else None
            if edited is not None:
                edits += 1
                if edited.emptied:
                    state = NotificationState(states[index])
                    self.emptied.append(EmptiedMessage(self.after, index, state, frame))
            elif frame and not is_open and self.traces.may_name(frame):
                ended += 1
            kept.append(b"" if not is_open else frame if edited is None else edited.frame)
        if edits or ended:
            self.count += edits + ended
            connection.execute(
                "UPDATE payloads SET kept = ?, frames = ? WHERE seq = ?",
                (sum(map(bool, kept)), pack_frames(kept), self.after),
            )

    def _unlink_receipts(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT seq, events FROM receipts WHERE seq > ? ORDER BY seq LIMIT ?", (self.after, STEP_ROWS),
        ).fetchall()
        self.done = len(rows) < STEP_ROWS
        for seq, events in rows:
            self.after = seq
            unlinked, count = unlink_devices(events, self.traces.device_keys)
            if count:
                self.count += count
                connection.execute("UPDATE receipts SET events = ? WHERE seq = ?", (unlinked, seq))

    def _return_pages(self, connection: sqlite3.Connection) -> None:
        before = free_pages(connection)
        if before:
            # By executescript: see adapters/journal/compaction.py.
            connection.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
        left = free_pages(connection)
        self.after = left
        self.done = not left or left >= before

    def _empty_log(self, connection: sqlite3.Connection) -> None:
        waited_ms: int = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {LOG_WAIT_MS}").fetchall()
        try:
            self.done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        finally:
            connection.execute(f"PRAGMA busy_timeout = {waited_ms}").fetchall()


def free_pages(connection: sqlite3.Connection) -> int:
    """Return how many pages of the file are in no use."""
    count: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return count
