"""The embedded journal: one SQLite file per worker, group commit from one thread, ACCEPTED only after the sync."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from adapters.journal.checkpoints import checkpoint
from adapters.journal.erasing import STEP_PAGES, ErasingStep, Work
from adapters.journal.group_commit import GroupCommit
from adapters.journal.options import JournalOptions
from adapters.journal.page_gaps import clean_gaps
from adapters.journal.recovery import OPEN, open_frames, open_segments, segment_keys
from adapters.journal.schema import JOURNAL
from adapters.journal.sqlite_file import FileLock, make_directory, mapped_errors, open_readable, open_writable
from adapters.journal.store import Item, JournalStore
from core.erasing import Traces
from core.errors import Overloaded, Unavailable
from core.storage import Commit, EmptiedMessage, OpenSegment, Segment, SegmentKeys, SegmentUpdate

MAX_NUMBER: Final = 4095
MAX_MESSAGES: Final = 1000
DEFAULTS: Final = JournalOptions()
MAX_EMPTIED: Final = 10_000
PAGES_PATIENCE: Final = 64
LOG_ATTEMPTS: Final = 50
LOG_PAUSE_S: Final = 0.05
NO_TRACES: Final = Traces((), (), lambda _: None, frozenset())
RESULT = TypeVar("RESULT")


def journal_path(directory: Path, number: int) -> Path:
    """Return where the journal of this number lies. Raises ValueError if it is not 0 to 4,095."""
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"a journal's number is 0 to {MAX_NUMBER}, not {number}")
    return directory / f"journal-{number}.db"


def unix_ms() -> int:
    """Read the wall clock."""
    return time.time_ns() // 1_000_000


class SqliteJournal:
    """Implements core.storage.Journal and JournalRecovery; made by `open`, used on one event loop.

    Deleted payloads stay readable in the file's free pages until these are used again or an erasure returns them:
    protect the directory.
    """

    def __init__(
        self, path: Path, number: int, options: JournalOptions, lock: FileLock, store: JournalStore,
        reader: sqlite3.Connection, observe: Callable[[Commit], None] | None,
    ) -> None:
        self._path = path
        self._closed = False
        self._number = number
        self._options = options
        self._lock = lock
        self._store = store
        self._reader = reader
        self._observe = observe
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-read")
        self._last_recovered: int = reader.execute("SELECT coalesce(max(seq), 0) FROM segments").fetchone()[0]
        self._last_segment: int = self._last_recovered
        self._writer: GroupCommit[Item, None] = GroupCommit(
            path.stem, store, queue_bytes=options.queue_bytes, kept_bytes=options.kept_bytes,
            commit_bytes=options.commit_bytes, observe=self._on_commit if observe else None,
        )

    @classmethod
    async def open(
        cls, directory: Path, number: int, options: JournalOptions = DEFAULTS, *,
        clock_unix_ms: Callable[[], int] = unix_ms, observe: Callable[[Commit], None] | None = None,
    ) -> SqliteJournal:
        """Open or create the journal of this number and own it until close or death.

        observe is called on the event loop after each commit. Raises StoreFailure if another process owns it, or it is
        damaged, foreign or of a newer version; Unavailable if it cannot be opened or written.
        """
        path = journal_path(directory, number)
        lock, store, reader = await asyncio.to_thread(open_files, path, options, clock_unix_ms)
        return cls(path, number, options, lock, store, reader, observe)

    @property
    def number(self) -> int:
        """The journal's number, 0 to 4,095."""
        return self._number

    @property
    def backlog_bytes(self) -> int:
        """What is queued, being written or kept for a broken disk."""
        return self._writer.backlog_bytes

    @property
    def commits(self) -> int:
        """How many commits succeeded."""
        return self._writer.commits

    @property
    def failures(self) -> int:
        """How many commits failed."""
        return self._writer.failures

    @property
    def failing(self) -> bool:
        """Whether the last commit failed."""
        return self._writer.failing

    @property
    def last_commit_ns(self) -> int:
        """How long the last good commit took."""
        return self._writer.last_commit_ns

    @property
    def max_bytes(self) -> int:
        """Above what live_bytes nothing new is taken."""
        return self._options.max_bytes

    @property
    def live_bytes(self) -> int:
        """What the file holds, free pages not counted; up to a second old."""
        return self._store.live_bytes

    def next_segment(self) -> int:
        """Allocate a segment's number, greater than any that was appended before, also over restarts."""
        self._last_segment += 1
        return self._last_segment

    def append(self, segment: Segment) -> Awaitable[None]:
        """Queue a segment; the awaitable resolves once it is on the disk.

        Raises at once: ValueError for a segment of a wrong shape, Overloaded when the queue or the file is full,
        Unavailable when closed. The awaitable fails with Unavailable if the disk cannot be written.
        """
        check_shape(segment)
        if self._store.live_bytes >= self._options.max_bytes:
            raise Overloaded(f"{self._path.stem} file", retry_after_ms=1000)
        size = 8 * len(segment.frames) + sum(map(len, segment.frames)) + len(segment.keys) + len(segment.fingerprints)
        return self._writer.submit(segment, size)

    def record(self, updates: list[SegmentUpdate]) -> Awaitable[None]:
        """Queue what became of deliveries; the awaitable resolves once it is on the disk.

        Fails with StoreFailure if a segment or message of it is not in this journal (the rest is written), with
        Unavailable if it was given up: too much was waiting for a broken disk, or the journal was closed.
        """
        return self._writer.insist(updates, sum(len(update.events) + len(update.closed) for update in updates))

    async def recover(self, batch: int = 64) -> AsyncIterator[list[OpenSegment]]:
        """Give all segments with open messages that were there at opening, oldest first, at most batch at a time."""
        after = 0
        while found := await self._read(partial(open_segments, self._reader, after, self._last_recovered, batch)):
            after = found[-1].seq
            yield found

    async def recent_keys(self, since_unix_ms: int, batch: int = 256) -> AsyncIterator[list[SegmentKeys]]:
        """Give the idempotency material accepted since then, oldest first, at most batch segments at a time."""
        after = 0
        while found := await self._read(partial(segment_keys, self._reader, after, since_unix_ms, batch)):
            after = found[-1].seq
            yield found

    async def load(self, segment: int, indexes: Sequence[int]) -> list[bytes]:
        """Return the frames of open messages, in the order of indexes.

        Raises UnknownNotification if one is not there or not open, Unavailable if the file cannot be read.
        """
        return await self._read(partial(open_frames, self._reader, segment, indexes))

    async def erase_frames(self, traces: Traces) -> tuple[int, list[EmptiedMessage]]:
        """Take a person out of all frames; return how many named them, and which messages are to end.

        At most some 10,000 messages at a time are to end: call it again until it returns none. Raises Unavailable.
        """
        count, after, emptied = 0, 0, list[EmptiedMessage]()
        while len(emptied) < MAX_EMPTIED:
            step = await self._take(ErasingStep(Work.FRAMES, traces, after))
            count, after = count + step.count, step.after
            emptied += step.emptied
            if step.done:
                break
        return count, emptied

    async def unlink_receipts(self, traces: Traces) -> int:
        """Take a person's devices' keys out of all receipts; return how many. Raises Unavailable."""
        step = ErasingStep(Work.RECEIPTS, traces)
        count = 0
        while not step.done:
            step = await self._take(ErasingStep(Work.RECEIPTS, traces, step.after))
            count += step.count
        return count

    async def forget_deleted(self, traces: Traces) -> int:
        """Empty free pages, gaps and the log, where what was deleted still stands; return how many leftovers stay.

        Some stay only in a file that is too large to be copied. Raises Unavailable if readers hold it.
        """
        step = await self._take(ErasingStep(Work.PAGES, NO_TRACES))
        patience = PAGES_PATIENCE + 4 * step.after // STEP_PAGES
        while not step.done:
            if not patience:
                raise Unavailable(f"{self._path.stem}: pages become free faster than they are returned")
            patience -= 1
            step = await self._take(ErasingStep(Work.PAGES, NO_TRACES))
        for _ in range(LOG_ATTEMPTS):
            # Most of it is moved beside the writer, so that nobody's commit waits for that.
            await asyncio.to_thread(checkpoint, self._path)
            if (await self._take(ErasingStep(Work.LOG, NO_TRACES))).done:
                return await asyncio.to_thread(clean_gaps, self._path, traces.leftovers)
            await asyncio.sleep(LOG_PAUSE_S)
        raise Unavailable(f"{self._path.stem}: readers hold the log")

    async def _take(self, step: ErasingStep) -> ErasingStep:
        await self._writer.submit(step, 1)
        return step

    async def close(self) -> None:
        """Write what is queued, then release the file; what still cannot be written fails with Unavailable."""
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        # The writer's connection goes last: only one that may write can fold the WAL into the database.
        self._reader.close()
        await self._writer.close()
        self._lock.release()

    async def _read(self, query: Callable[[], RESULT]) -> RESULT:
        if self._closed:
            raise Unavailable(f"{self._path.stem} is closed")
        with mapped_errors(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._read_thread, query)

    def _on_commit(self, items: list[Item], size: int, duration_ns: int, wait_ns: int) -> None:
        segments = [item for item in items if isinstance(item, Segment)]
        messages = sum(len(segment.frames) for segment in segments)
        updates = sum(len(item) for item in items if isinstance(item, list))
        if self._observe:
            self._observe(Commit(len(segments), messages, updates, size, duration_ns, wait_ns))


def open_files(
    path: Path, options: JournalOptions, clock_unix_ms: Callable[[], int],
) -> tuple[FileLock, JournalStore, sqlite3.Connection]:
    """Take ownership of the file, then open it for the writer and for reading."""
    make_directory(path.parent)
    with ExitStack() as undo:
        with mapped_errors(path):
            lock = FileLock(path.with_suffix(".lock"))
        undo.callback(lock.release)
        connection = open_writable(path, JOURNAL)
        undo.callback(connection.close)
        store = JournalStore(connection, path, options, clock_unix_ms)
        reader = open_readable(path, JOURNAL)
        undo.pop_all()
    return lock, store, reader


def check_shape(segment: Segment) -> None:
    """Raise ValueError if the parallel parts of a segment do not match."""
    count = len(segment.frames)
    if not 1 <= count <= MAX_MESSAGES or not any(segment.frames):
        raise ValueError(f"a segment has 1 to {MAX_MESSAGES} messages, not all empty, not {count}")
    if len(segment.keys) != 16 * count or len(segment.fingerprints) != 8 * count:
        raise ValueError(f"{count} messages need {16 * count} bytes of keys and {8 * count} of fingerprints")
    states = segment.states or bytes(count)
    if len(states) != count or any((state in OPEN) != bool(frame) for state, frame in zip(states, segment.frames)):  # noqa: B905 - equal by the test before
        raise ValueError("states are one byte per message: ACCEPTED or SCHEDULED, and a final one for an empty frame")
