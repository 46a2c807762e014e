"""What the journal does when the process is killed, the disk is full, or the file is not what it should be."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.journal.options import JournalOptions
from adapters.journal.schema import CREATE, JOURNAL
from adapters.journal.sqlite import SqliteJournal, journal_path
from adapters.journal.sqlite_file import Schema, open_readable, open_writable
from adapters.journal.store import Item, JournalStore
from core.errors import StoreFailure, Unavailable
from core.storage import Segment
from tests.integration.journal_writer import MESSAGES, closing_of, frame_of, segment_of


@contextmanager
def writer_process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.journal_writer", str(directory)], stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def read_acknowledgements(process: subprocess.Popen[bytes], count: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().decode() for _ in range(count)]


def kill_after(directory: Path, acknowledgements: int) -> tuple[set[int], set[int]]:
    """Run the writer until it acknowledged so many, kill it, and return what it acknowledged: appends and closings."""
    with writer_process(directory) as process:
        lines = read_acknowledgements(process, acknowledgements)
        process.kill()
        assert process.stdout
        lines += process.stdout.read().decode().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {int(seq) for kind, seq in whole if kind == "a"}, {int(seq) for kind, seq in whole if kind == "c"}


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond size; SQLite meets it as an error of write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


async def open_states(directory: Path) -> dict[int, list[int]]:
    """Open the journal and return the open indexes by segment, having compared every frame."""
    journal = await SqliteJournal.open(directory, 0)
    found: dict[int, list[int]] = {}
    async for batch in journal.recover(64):
        for one in batch:
            found[one.seq] = [index for index, _, _ in one.messages]
            assert all(frame == frame_of(one.seq, index) for index, _, frame in one.messages)
    await journal.close()
    return found


def big_segment(journal: SqliteJournal) -> Segment:
    return Segment(journal.next_segment(), 1, [bytes([7]) * 10_000] * 100, bytes(1600), bytes(800))


async def test_everything_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    closed: set[int] = set()
    for round_number in range(5):
        appended, settled = await asyncio.to_thread(kill_after, tmp_path, 100 + 37 * round_number)
        assert not appended & acknowledged, "a number was used twice"
        acknowledged |= appended
        closed |= settled
        found = await open_states(tmp_path)
        assert acknowledged <= found.keys()
        assert all(found[seq] == [MESSAGES - 1] for seq in closed)
        assert all(indexes in ([MESSAGES - 1], list(range(MESSAGES))) for indexes in found.values())
    assert len(acknowledged) > 100
    assert closed


async def test_second_owner_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with writer_process(tmp_path) as process:
        await asyncio.to_thread(read_acknowledgements, process, 1)
        with pytest.raises(StoreFailure, match=rf"journal-0\.db is in use by another process \(pid {process.pid}\)"):
            await SqliteJournal.open(tmp_path, 0)
    await (await SqliteJournal.open(tmp_path, 0)).close()


async def test_full_disk_refuses_and_the_journal_comes_back_when_there_is_room(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment_of(journal.next_segment()))
    with small_files(1 << 20):
        appends = [journal.append(big_segment(journal)) for _ in range(4)]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert journal.failing
    await journal.append(segment_of(seq := journal.next_segment()))
    assert not journal.failing
    await journal.close()
    assert await open_states(tmp_path) == {1: list(range(MESSAGES)), seq: list(range(MESSAGES))}


async def test_record_waits_for_the_disk_while_appends_are_refused(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment_of(journal.next_segment()))
    with small_files(4096):
        record = asyncio.ensure_future(journal.record([closing_of(1)]))
        append = asyncio.ensure_future(journal.append(big_segment(journal)))
        with pytest.raises(Unavailable):
            await append
        assert not record.done()
        assert journal.backlog_bytes > 0
    await record
    assert journal.backlog_bytes == 0
    await journal.close()
    assert await open_states(tmp_path) == {1: [MESSAGES - 1]}


async def test_records_beyond_the_bound_are_given_up_while_the_disk_is_full(tmp_path: Path) -> None:
    one = closing_of(1)
    journal = await SqliteJournal.open(tmp_path, 0, JournalOptions(kept_bytes=2 * len(one.closed)))
    await journal.append(segment_of(journal.next_segment()))
    with small_files(4096):
        records = [asyncio.ensure_future(journal.record([one])) for _ in range(4)]
        done, waiting = await asyncio.wait(records, return_when=asyncio.FIRST_EXCEPTION)
        given_up = [record.exception() for record in done]
        assert given_up
        assert all(isinstance(failure, Unavailable) for failure in given_up)
    await asyncio.gather(*waiting)
    await journal.close()


async def test_closing_on_a_full_disk_ends_and_says_what_was_lost(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment_of(journal.next_segment()))
    with small_files(4096):
        record = asyncio.ensure_future(journal.record([closing_of(1)]))
        await journal.close()
        with pytest.raises(Unavailable):
            await record
    assert await open_states(tmp_path) == {1: list(range(MESSAGES))}


async def test_directory_that_cannot_be_written_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await SqliteJournal.open(Path("/proc/walletpush"), 0)


async def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    await (await SqliteJournal.open(tmp_path, 0)).close()
    with sqlite3.connect(journal_path(tmp_path, 0)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFailure, match=r"version 99, made by a newer walletpush; this one knows up to 1"):
        await SqliteJournal.open(tmp_path, 0)


async def test_a_foreign_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = journal_path(tmp_path, 0)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreFailure, match="not a journal"):
        await SqliteJournal.open(tmp_path, 0)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    journal_path(tmp_path, 0).write_bytes(b"no database " * 1000)
    with pytest.raises(StoreFailure, match="not a journal"):
        await SqliteJournal.open(tmp_path, 0)


def test_an_older_version_is_migrated_at_opening_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = open_writable(path, JOURNAL)
    old.execute("INSERT INTO segments VALUES (1, 5, 0, x'01', x'', x'')")
    old.close()
    to_second, to_third = "ALTER TABLE segments ADD COLUMN tenant TEXT DEFAULT 'one'", "UPDATE segments SET open = 7"
    newer = Schema("journal", JOURNAL.application_id, 3, CREATE, {1: (to_second,), 2: (to_third,)})
    with pytest.raises(StoreFailure, match="has not been migrated to version 3"):
        open_readable(path, newer)
    migrated = open_writable(path, newer)
    assert migrated.execute("SELECT seq, open, tenant FROM segments").fetchall() == [(1, 7, "one")]
    assert migrated.execute("PRAGMA user_version").fetchone() == (3,)
    migrated.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    open_writable(path, JOURNAL).close()
    broken = JOURNAL._replace(version=2, migrations={1: ("DROP TABLE receipts", "SELECT nonsense")})
    with pytest.raises(Unavailable, match="nonsense"):
        open_writable(path, broken)
    connection = open_writable(path, JOURNAL)
    assert connection.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    connection.close()


def test_an_older_version_without_a_way_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    open_writable(path, JOURNAL).close()
    with pytest.raises(StoreFailure, match="version 1, which this walletpush cannot migrate"):
        open_writable(path, JOURNAL._replace(version=2))



async def test_a_writer_that_died_counts_as_failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def collapse(_store: JournalStore, _items: Sequence[Item]) -> list[None]:
        raise RuntimeError("no such fault is foreseen")

    monkeypatch.setattr(JournalStore, "write", collapse)
    journal = await SqliteJournal.open(tmp_path, 0)
    with pytest.raises(Unavailable):
        await journal.append(segment_of(journal.next_segment()))
    assert journal.failing
    await journal.close()
