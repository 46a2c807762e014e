"""The journal's file as its writer thread sees it: segments and updates in, one statement per commit."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from adapters.journal.checkpoints import Checkpoints
from adapters.journal.compaction import Compaction
from adapters.journal.erasing import ErasingStep
from adapters.journal.frames import pack_frames
from adapters.journal.options import JournalOptions
from adapters.journal.schema import COLUMNS, COMMIT_VIEW, commit_statement
from adapters.journal.sqlite_file import mapped_errors
from core.errors import Failure, StoreFailure, Unavailable
from core.receipts import apply_closed
from core.storage import Segment, SegmentUpdate

Item = Segment | list[SegmentUpdate] | ErasingStep
Row = tuple[object, ...]
SegmentState = tuple[bytes, int]

# A larger commit is several statements in one transaction, so that few and bounded statements stay prepared.
MAX_ROWS = 512
CACHED_SEGMENTS = 4096
UNUSED_ROW: Row = (None,) * COLUMNS
BUSY_UPKEEP_S = 0.25
IDLE_UPKEEP_S = 1.0


class JournalStore:
    """Writes what GroupCommit hands it; knows the states of recent segments, so that closing one reads nothing.

    live_bytes is what the file holds, free pages not counted, as of the last upkeep.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, options: JournalOptions, clock_unix_ms: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._path = path
        self._states: dict[int, SegmentState] = {}
        self._checkpoints = Checkpoints(connection, path, options.wal_bytes)
        self._compaction = Compaction(connection, options, clock_unix_ms)
        with mapped_errors(path):
            for statement in COMMIT_VIEW:
                connection.execute(statement)
            self.live_bytes = self._compaction.live_bytes()

    def write(self, items: Sequence[Item]) -> list[Failure | None]:
        """Write segments and updates in one commit, then take the steps. Raises Unavailable, then nothing was written.

        The result of an item is None, or StoreFailure if it updates a segment or message that is not there.
        """
        segments = [item for item in items if isinstance(item, Segment)]
        updates = updates_by_segment(items)
        states = {segment.seq: (states_of(segment), open_count(segment)) for segment in segments}
        rows = [append_row(segment) for segment in segments]
        faults: dict[int, StoreFailure] = {}
        with mapped_errors(self._path):
            self._load_states(updates, states)
            for seq, parts in updates.items():
                faults |= add_record_row(seq, parts, states, rows)
            self._execute(rows)
        self._remember(states)
        self._checkpoints.note(rows)
        return [
            self._take_step(item) if isinstance(item, ErasingStep) else fault_of(item, faults) for item in items
        ]

    def upkeep(self, idle: bool) -> float:
        """Checkpoint or compact a little; return after how many seconds to do so again."""
        began_s = time.monotonic()
        try:
            with mapped_errors(self._path):
                more = self._checkpoints.step(idle) or self._compaction.step()
                self.live_bytes = self._compaction.live_bytes()
        except Unavailable:
            return IDLE_UPKEEP_S
        if more and idle:
            return 0.0
        # Under load at most a tenth of the time goes into upkeep.
        return max(BUSY_UPKEEP_S if not more else 0.01, 9 * (time.monotonic() - began_s))

    def close(self) -> None:
        """Let go of the file; SQLite moves the rest of the WAL into it."""
        self._checkpoints.close()
        self._connection.close()

    def _take_step(self, step: ErasingStep) -> Failure | None:
        try:
            with mapped_errors(self._path):
                step.run(self._connection)
        except (Unavailable, StoreFailure) as failure:
            return failure
        return None

    def _load_states(self, updates: dict[int, list[SegmentUpdate]], states: dict[int, SegmentState]) -> None:
        missing = []
        for seq in updates:
            if seq in self._states:
                states.setdefault(seq, self._states[seq])
            elif seq not in states:
                missing.append(seq)
        for start in range(0, len(missing), MAX_ROWS):
            part = missing[start : start + MAX_ROWS]
            marks = ",".join("?" * len(part))
            found = self._connection.execute(f"SELECT seq, states, open FROM segments WHERE seq IN ({marks})", part)  # noqa: S608 - only marks are formatted in
            states.update((seq, (held, count)) for seq, held, count in found.fetchall())

    def _execute(self, rows: list[Row]) -> None:
        if len(rows) <= MAX_ROWS:
            self._insert(rows)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for start in range(0, len(rows), MAX_ROWS):
                self._insert(rows[start : start + MAX_ROWS])
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _insert(self, rows: list[Row]) -> None:
        """Write rows by the prepared statement of the next power of two; the unused rows write nothing."""
        if not rows:
            return
        size = 1 << (len(rows) - 1).bit_length()
        padded = chain(rows, [UNUSED_ROW] * (size - len(rows)))
        self._connection.execute(commit_statement(size), list(chain.from_iterable(padded)))

    def _remember(self, states: dict[int, SegmentState]) -> None:
        for seq, (held, count) in states.items():
            self._states.pop(seq, None)
            if count:
                self._states[seq] = (held, count)
        while len(self._states) > CACHED_SEGMENTS:
            del self._states[next(iter(self._states))]


def states_of(segment: Segment) -> bytes:
    """Return the states of a segment's messages, all ACCEPTED unless it says otherwise."""
    return segment.states or bytes(len(segment.frames))


def open_count(segment: Segment) -> int:
    """Return how many messages of a new segment are open: all but the empty places of duplicates."""
    return sum(map(bool, segment.frames))


def append_row(segment: Segment) -> Row:
    """Return the row that stores a segment with its payload."""
    return (
        segment.seq, segment.accepted_unix_ms, open_count(segment), states_of(segment), pack_frames(segment.frames),
        segment.keys, segment.fingerprints, None,
    )


def updates_by_segment(items: Sequence[Item]) -> dict[int, list[SegmentUpdate]]:
    """Return all updates, those of one segment together and in their order."""
    updates: dict[int, list[SegmentUpdate]] = {}
    for item in items:
        if isinstance(item, list):
            for update in item:
                updates.setdefault(update.segment, []).append(update)
    return updates


def add_record_row(
    seq: int, updates: list[SegmentUpdate], states: dict[int, SegmentState], rows: list[Row],
) -> dict[int, StoreFailure]:
    """Add the row for one segment's updates and move its state on; return what is wrong, by the update's id()."""
    if seq not in states:
        return {id(update): StoreFailure(f"segment {seq} is not in this journal") for update in updates}
    held, count = states[seq]
    moved = bytearray(held)
    faults: dict[int, StoreFailure] = {}
    newly_closed = 0
    for update in updates:
        try:
            newly_closed += apply_closed(moved, update.closed)
        except StoreFailure as fault:
            faults[id(update)] = fault
    sound = [update for update in updates if id(update) not in faults]
    events = b"".join([update.events for update in sound]) or None
    at_unix_ms = max((update.at_unix_ms for update in sound), default=0)
    if newly_closed:
        states[seq] = (bytes(moved), count - newly_closed)
        rows.append((seq, at_unix_ms, count - newly_closed, states[seq][0], None, None, None, events))
    elif events:
        rows.append((seq, at_unix_ms, None, None, None, None, None, events))
    return faults


def fault_of(item: Item, faults: dict[int, StoreFailure]) -> StoreFailure | None:
    """Return the first fault among an item's updates."""
    if not faults or not isinstance(item, list):
        return None
    return next((faults[id(update)] for update in item if id(update) in faults), None)
