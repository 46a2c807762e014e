"""What the journal holds, in real files."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.journal.options import JournalOptions
from adapters.journal.reader import JournalReader
from adapters.journal.sqlite import SqliteJournal, journal_path
from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import Overloaded, StoreFailure, Unavailable, UnknownNotification
from core.model import DeliveryState, NotificationState
from core.notification_id import make_id
from core.reaction import DELIVERED
from core.receipts import ReceiptLog, unpack_events
from core.storage import Commit, OpenSegment, Segment, SegmentUpdate

DONE = NotificationState.DELIVERED


def segment(journal: SqliteJournal, count: int, accepted_unix_ms: int = 1_000, size: int = 100) -> Segment:
    frames = [os.urandom(size) for _ in range(count)]
    return Segment(journal.next_segment(), accepted_unix_ms, frames, os.urandom(16 * count), os.urandom(8 * count))


def closing(seq: int, *indexes: int, at_unix_ms: int = 2_000) -> SegmentUpdate:
    return SegmentUpdate(seq, at_unix_ms, struct.pack(f"={len(indexes)}I", *(i << 8 | DONE for i in indexes)), b"")


async def recovered(journal: SqliteJournal, batch: int = 3) -> list[OpenSegment]:
    batches = [found async for found in journal.recover(batch)]
    assert all(len(found) <= batch for found in batches)
    return [one for found in batches for one in found]


def notification(seq: int, index: int, deliveries: int) -> Notification:
    made = Notification("t", "app", "", 1, 1, b"", 1_000, 0, 9_000, 1, 2, (), (), None)
    assign_place(made, make_id(1_000, 0, seq, index), seq, index)
    made.open_deliveries = deliveries
    return made


async def test_recovery_gives_exactly_what_was_accepted_and_not_finished(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    kept = [segment(journal, count) for count in (1, 5, 1000, 2, 3, 4, 7, 1)]
    await asyncio.gather(*(journal.append(one) for one in kept))
    await journal.record([closing(1, 0), closing(2, 0, 4), closing(3, *range(999))])
    await journal.record([closing(4, 1), closing(4, 0)])
    await journal.close()
    journal = await SqliteJournal.open(tmp_path, 0)
    try:
        found = {one.seq: one for one in await recovered(journal)}
        assert {seq: [index for index, _, _ in one.messages] for seq, one in found.items()} == {
            2: [1, 2, 3], 3: [999], 5: [0, 1, 2], 6: [0, 1, 2, 3], 7: list(range(7)), 8: [0],
        }
        for one in found.values():
            assert all(frame == kept[one.seq - 1].frames[index] for index, _, frame in one.messages)
            assert one.finished == {}
    finally:
        await journal.close()


async def test_recovery_tells_which_devices_of_an_open_notification_are_finished(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment(journal, 2))
    log, half, whole = ReceiptLog(), notification(1, 0, 3), notification(1, 1, 1)
    flow = Flow(1, [], [])
    for of, key in ((half, 11), (whole, 12), (half, 13)):
        log.add_many([Delivery(of, "t", b"", None, key, 0, 1, 0, flow)], [DELIVERED], b"\1", 1_500)
        await journal.record(log.take())
    await journal.close()
    journal = await SqliteJournal.open(tmp_path, 0)
    (one,) = await recovered(journal)
    assert [index for index, _, _ in one.messages] == [0]
    assert one.finished == {0: (frozenset({11, 13}), 1 << DeliveryState.DELIVERED)}
    await journal.close()


async def test_recovery_leaves_out_what_was_accepted_since_the_opening(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment(journal, 1))
    assert await recovered(journal) == []
    await journal.close()


async def test_scheduled_and_unused_places_keep_their_states(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    states = bytes([NotificationState.ACCEPTED, NotificationState.SUPPRESSED, NotificationState.SCHEDULED])
    made = segment(journal, 3)._replace(frames=[b"now", b"", b"later"], states=states)
    await journal.append(made)
    await journal.close()
    journal = await SqliteJournal.open(tmp_path, 0)
    (one,) = await recovered(journal)
    assert one.messages == [(0, NotificationState.ACCEPTED, b"now"), (2, NotificationState.SCHEDULED, b"later")]
    assert await journal.load(1, [2, 0]) == [b"later", b"now"]
    await journal.record([closing(1, 0, 2)])
    with pytest.raises(UnknownNotification):
        await journal.load(1, [0])
    await journal.close()


async def test_load_refuses_what_is_finished_or_was_never_there(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await journal.append(segment(journal, 3))
    await journal.record([closing(1, 1)])
    for seq, indexes in ((1, [0, 1]), (1, [3]), (1, [-1]), (9, [0])):
        with pytest.raises(UnknownNotification):
            await journal.load(seq, indexes)
    await journal.close()


async def test_recent_keys_refill_the_dedup_window(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    made = [segment(journal, 2, accepted_unix_ms=at) for at in (1_000, 2_000, 3_000)]
    await asyncio.gather(*(journal.append(one) for one in made))
    await journal.record([closing(3, 0, 1)])
    found = [one async for batch in journal.recent_keys(2_000, batch=1) for one in batch]
    assert found == [(one.seq, one.accepted_unix_ms, one.keys, one.fingerprints) for one in made[1:]]
    await journal.close()


async def test_numbers_ascend_over_restarts_and_retention(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        journal = await SqliteJournal.open(
            tmp_path, 0, JournalOptions(retention_ms=0, upkeep_rows=4), clock_unix_ms=lambda: 10_000_000,
        )
        made = [segment(journal, 1) for _ in range(9)]
        await asyncio.gather(*(journal.append(one) for one in made))
        await journal.record([closing(one.seq, 0) for one in made])
        numbers += [one.seq for one in made]
        await journal.close()
    assert numbers == sorted(set(numbers))


async def test_what_is_queued_together_shares_a_commit(tmp_path: Path) -> None:
    commits: list[Commit] = []
    journal = await SqliteJournal.open(tmp_path, 0, observe=commits.append)
    await asyncio.gather(*(journal.append(segment(journal, 2)) for _ in range(1500)))
    assert sum(commit.segments for commit in commits) == 1500
    assert sum(commit.messages for commit in commits) == 3000
    assert len(commits) == journal.commits < 100
    assert journal.backlog_bytes == 0
    assert all(commit.duration_ns > 0 and commit.wait_ns >= 0 for commit in commits)
    await journal.close()


async def test_an_update_of_what_is_not_there_fails_alone(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await asyncio.gather(journal.append(segment(journal, 2)), journal.append(segment(journal, 2)))
    results = await asyncio.gather(
        journal.record([closing(5, 0), closing(1, 0)]),
        journal.record([closing(1, 1, 2)]),
        journal.record([closing(2, 1)]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StoreFailure, StoreFailure, type(None)]
    await journal.close()
    journal = await SqliteJournal.open(tmp_path, 0)
    assert [[index for index, _, _ in one.messages] for one in await recovered(journal)] == [[1], [0]]
    await journal.close()


async def test_full_queue_refuses_appends_and_takes_records(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0, JournalOptions(queue_bytes=5_000))
    first = journal.append(segment(journal, 10, size=1_000))
    with pytest.raises(Overloaded) as refusal:
        journal.append(segment(journal, 1))
    assert refusal.value.retry_after_ms > 0
    update = journal.record([closing(1, 0)])
    await asyncio.gather(first, update)
    await journal.append(segment(journal, 1))
    await journal.close()


async def test_full_file_refuses_appends(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0, JournalOptions(max_bytes=1_000))
    with pytest.raises(Overloaded, match="file"):
        journal.append(segment(journal, 1))
    await journal.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one._replace(frames=[]),
        lambda one: one._replace(frames=[b"", b""]),
        lambda one: one._replace(frames=[b"x"] * 1001),
        lambda one: one._replace(keys=b"short"),
        lambda one: one._replace(fingerprints=b"short"),
        lambda one: one._replace(states=b"\0"),
        lambda one: one._replace(states=b"\1\1"),
        lambda one: one._replace(frames=[b"x", b""]),
    ],
)
async def test_segment_of_wrong_shape_is_refused(tmp_path: Path, spoil: Callable[[Segment], Segment]) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    with pytest.raises(ValueError, match=r"segment|need|states"):
        journal.append(spoil(segment(journal, 2)))
    await journal.close()


async def test_close_writes_what_is_queued_and_then_refuses(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    queued = [journal.append(segment(journal, 1)) for _ in range(50)]
    await journal.close()
    await asyncio.gather(*queued)
    with pytest.raises(Unavailable):
        journal.append(segment(journal, 1))
    with pytest.raises(Unavailable):
        journal.record([closing(1, 0)])
    with pytest.raises(Unavailable):
        await journal.load(1, [0])
    assert sorted(os.listdir(tmp_path)) == ["journal-0.db", "journal-0.lock"]
    journal = await SqliteJournal.open(tmp_path, 0)
    assert len(await recovered(journal)) == 50
    await journal.close()


async def test_reader_of_another_worker_follows_receipts_over_the_owners_restart(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 4)
    await journal.append(segment(journal, 3, accepted_unix_ms=77))
    reader = JournalReader(journal_path(tmp_path, 4))
    assert (reader.last_receipt_seq(), reader.receipts_after(0, 10)) == (0, [])
    log = ReceiptLog()
    cursor, seen = 0, []
    for round_number in range(3):
        log.close_many([notification(1, round_number, 0)], DeliveryState.EXPIRED, f"round {round_number}", 5)
        await journal.record(log.take())
        for row in reader.receipts_after(cursor, 10):
            cursor = row.seq
            seen += unpack_events(row.events, 4, row.segment, row.accepted_unix_ms)
        await journal.close()
        journal = await SqliteJournal.open(tmp_path, 4)
    assert [receipt.reason for receipt in seen] == ["round 0", "round 1", "round 2"]
    assert seen[2].notification_id == make_id(77, 4, 1, 2)
    assert reader.last_receipt_seq() == cursor
    record = reader.notification(1, 1)
    assert (record.state, record.accepted_unix_ms, record.frame) == (NotificationState.EXPIRED, 77, b"")
    assert [r.reason for row in record.events for r in unpack_events(row, 4, 1, 77, 1)] == ["round 1"]
    for unknown in ((1, 3), (1, -1), (2, 0)):
        with pytest.raises(UnknownNotification):
            reader.notification(*unknown)
    reader.close()
    await journal.close()


async def test_reader_without_a_file_says_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="journal-9"):
        JournalReader(journal_path(tmp_path, 9))
    with pytest.raises(ValueError, match="4095"):
        journal_path(tmp_path, 4096)
