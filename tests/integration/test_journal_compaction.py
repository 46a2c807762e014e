"""What leaves the journal's file, when, and what must not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.journal.compaction import Compaction
from adapters.journal.options import JournalOptions
from adapters.journal.schema import JOURNAL
from adapters.journal.sqlite import SqliteJournal, journal_path
from adapters.journal.sqlite_file import open_writable
from core.model import DeliveryState, NotificationState
from core.receipts import ReceiptLog
from core.storage import Segment, SegmentUpdate
from tests.integration.test_journal import closing, notification, recovered, segment

HOUR_MS = 3_600_000


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now_unix_ms = 10_000

    def __call__(self) -> int:
        return self.now_unix_ms


@asynccontextmanager
async def opened(directory: Path, clock: Clock, options: JournalOptions) -> AsyncIterator[SqliteJournal]:
    journal = await SqliteJournal.open(directory, 0, options, clock_unix_ms=clock)
    try:
        yield journal
    finally:
        await journal.close()


def ask(directory: Path, query: str) -> int:
    connection = sqlite3.connect(f"file:{journal_path(directory, 0)}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


async def until(directory: Path, query: str, accepted: Callable[[int], bool]) -> int:
    """Wait, as long as upkeep may take, until the file answers as expected."""
    ends = time.monotonic() + 20
    while True:
        answer = await asyncio.to_thread(ask, directory, query)
        if accepted(answer) or time.monotonic() > ends:
            return answer
        await asyncio.sleep(0.05)


async def test_finished_segment_loses_its_payload_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock(), JournalOptions()) as journal:
        await journal.append(segment(journal, 3))
        await journal.record([closing(1, 0, 1)])
        assert ask(tmp_path, "SELECT count(*) FROM payloads") == 1
        await journal.record([closing(1, 2)])
        assert ask(tmp_path, "SELECT count(*) FROM payloads") == 0
        assert ask(tmp_path, "SELECT count(*) FROM segments") == 1


def compact(directory: Path, clock: Clock, options: JournalOptions) -> None:
    """Do all the upkeep there is to do now, on a journal that nobody has open."""
    connection = open_writable(journal_path(directory, 0), JOURNAL)
    compaction = Compaction(connection, options, clock)
    for _ in range(1000):
        if not compaction.step():
            break
    connection.close()


async def test_sparse_segment_is_rewritten_with_its_open_frames(tmp_path: Path) -> None:
    clock, options = Clock(), JournalOptions(sparse_after_ms=1000)
    async with opened(tmp_path, clock, options) as journal:
        made = segment(journal, 1000, accepted_unix_ms=clock.now_unix_ms, size=1000)
        await journal.append(made)
        await journal.record([closing(1, *range(700))])
    clock.now_unix_ms += 2000
    compact(tmp_path, clock, options)
    assert ask(tmp_path, "SELECT length(frames) FROM payloads") > 1_000_000
    async with opened(tmp_path, clock, options) as journal:
        await journal.record([closing(1, *range(700, 998))])
        assert await until(tmp_path, "SELECT length(frames) FROM payloads", lambda size: size < 10_000) < 10_000
        assert await journal.load(1, [999, 998]) == [made.frames[999], made.frames[998]]
        await journal.record([closing(1, 998)])
    async with opened(tmp_path, clock, options) as journal:
        (one,) = await recovered(journal)
        assert one.messages == [(999, NotificationState.ACCEPTED, made.frames[999])]


async def test_a_young_sparse_segment_is_left_to_finish_by_itself(tmp_path: Path) -> None:
    clock, options = Clock(), JournalOptions(sparse_after_ms=1000)
    async with opened(tmp_path, clock, options) as journal:
        await journal.append(segment(journal, 1000, accepted_unix_ms=clock.now_unix_ms, size=1000))
        await journal.record([closing(1, *range(999))])
    clock.now_unix_ms += 1000
    compact(tmp_path, clock, options)
    assert ask(tmp_path, "SELECT length(frames) FROM payloads") > 1_000_000


async def test_old_receipts_and_segments_leave_but_what_recovery_needs_stays(tmp_path: Path) -> None:
    clock, options, log = Clock(), JournalOptions(retention_ms=HOUR_MS, upkeep_rows=7), ReceiptLog()
    async with opened(tmp_path, clock, options) as journal:
        for seq in range(1, 61):
            await journal.append(segment(journal, 2, accepted_unix_ms=clock.now_unix_ms))
            indexes = (0,) if seq % 10 == 1 else (0, 1)
            ended = [notification(seq, index, 0) for index in indexes]
            log.close_many(ended, DeliveryState.FAILED, "gone", clock.now_unix_ms)
            await journal.record(log.take())
    clock.now_unix_ms += HOUR_MS
    compact(tmp_path, clock, options)
    assert ask(tmp_path, "SELECT count(*) FROM segments") == 60
    clock.now_unix_ms += 1
    compact(tmp_path, clock, options)
    # Open are 1, 11 .. 51; the newest row of each table is kept for its number.
    assert ask(tmp_path, "SELECT count(*) FROM segments") == 7
    assert ask(tmp_path, "SELECT count(*) FROM receipts") == 7
    async with opened(tmp_path, clock, options) as journal:
        found = await recovered(journal)
        assert [one.seq for one in found] == [1, 11, 21, 31, 41, 51]
        assert all([index for index, _, _ in one.messages] == [1] for one in found)


async def test_file_stays_bounded_under_steady_work(tmp_path: Path) -> None:
    clock = Clock()
    options = JournalOptions(retention_ms=1000, wal_bytes=2 << 20, max_bytes=1 << 30)
    closed = struct.pack("=500I", *(index << 8 | 1 for index in range(500)))
    async with opened(tmp_path, clock, options) as journal:
        for _ in range(150):
            clock.now_unix_ms += 100
            made = [segment(journal, 500, accepted_unix_ms=clock.now_unix_ms, size=200) for _ in range(2)]
            await asyncio.gather(*(journal.append(one) for one in made))
            await journal.record([
                SegmentUpdate(one.seq, clock.now_unix_ms, closed, os.urandom(20_000)) for one in made
            ])
            await asyncio.sleep(0.01)
        # 40 MB went in; alive at a time are a second of receipts and keys, and what the upkeep has not reached.
        await until(tmp_path, "SELECT count(*) FROM receipts", lambda count: count < 40)
        sizes = {path: os.stat(path).st_size for path in (tmp_path / "journal-0.db", tmp_path / "journal-0.db-wal")}
        assert sum(sizes.values()) < 24 << 20, sizes
        assert journal.live_bytes < 12 << 20


async def test_free_pages_are_returned_when_a_backlog_is_gone(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, JournalOptions(retention_ms=1000)) as journal:
        made = [segment(journal, 100, accepted_unix_ms=clock.now_unix_ms, size=5_000) for _ in range(60)]
        await asyncio.gather(*(journal.append(one) for one in made))
        peak = await until(tmp_path, "PRAGMA page_count", lambda pages: pages > 3000)
        await journal.record([closing(one.seq, *range(100)) for one in made])
        clock.now_unix_ms += 5_000
        assert await until(tmp_path, "PRAGMA page_count", lambda pages: pages < peak // 2) < peak // 2


async def test_oldest_receipts_go_first_when_the_file_nears_its_bound(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, JournalOptions(max_bytes=4 << 20)) as journal:
        made: list[Segment] = []
        for _ in range(60):
            made.append(segment(journal, 1, accepted_unix_ms=clock.now_unix_ms))
            await journal.append(made[-1])
            await journal.record([closing(made[-1].seq, 0)._replace(events=os.urandom(100_000))])
        await until(tmp_path, "SELECT count(*) FROM receipts", lambda count: count < 40)
        kept = ask(tmp_path, "SELECT count(*) FROM receipts")
        assert 1 <= kept < 40
        assert ask(tmp_path, "SELECT min(seq) FROM receipts") == 61 - kept
        keys = [one async for batch in journal.recent_keys(0) for one in batch]
        assert len(keys) == 60
