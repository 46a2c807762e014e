"""Taking a person out of a journal: their frames and keys go, the rest stays, no file holds what was deleted."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.journal.reader import JournalReader
from adapters.journal.sqlite import SqliteJournal, journal_path
from core.delivery import Delivery, Flow, Notification, assign_place
from core.erasing import EditedFrame, Traces
from core.model import DeliveryState, NotificationState, Receipt
from core.notification_id import make_id
from core.reaction import DELIVERED
from core.receipts import ReceiptLog, unpack_events
from core.storage import Segment, SegmentUpdate

ME = b"user-of-interest-4711"
HUSK = b"husk"
KEY = 0x1122334455667788


def edit(frame: bytes) -> EditedFrame | None:
    """Frames here are names joined by commas, and some ballast."""
    names, _, ballast = frame.partition(b":")
    left = [name for name in names.split(b",") if name != ME]
    if len(left) == len(names.split(b",")):
        return None
    return EditedFrame(b",".join(left) + b":" + ballast, False) if left else EditedFrame(HUSK, True)


TRACES = Traces((ME,), (), edit, frozenset({KEY}))


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    opened = await SqliteJournal.open(tmp_path, 0)
    yield opened
    await opened.close()


def frame(*names: bytes, size: int = 3_000) -> bytes:
    return b",".join(names) + b":" + os.urandom(size)


async def append(journal: SqliteJournal, frames: list[bytes], states: bytes = b"") -> int:
    seq, count = journal.next_segment(), len(frames)
    await journal.append(Segment(seq, 1_000, frames, os.urandom(16 * count), os.urandom(8 * count), states))
    return seq


def closing(seq: int, *indexes: int) -> SegmentUpdate:
    marks = (index << 8 | NotificationState.DELIVERED for index in indexes)
    return SegmentUpdate(seq, 2_000, struct.pack(f"={len(indexes)}I", *marks), b"")


def files_with(directory: Path, needle: bytes) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_file() and needle in path.read_bytes()]


async def test_frames_of_one_person_go_and_all_others_stay_as_they_were(tmp_path: Path, journal: SqliteJournal) -> None:
    others = [frame(b"a", b"b"), frame(b"c")]
    shared = frame(b"a", ME, b"c")
    seq = await append(journal, [others[0], frame(ME), shared, others[1]], bytes([0, 7, 0, 0]))
    count, emptied = await journal.erase_frames(TRACES)
    assert count == 2
    assert [(one.segment, one.index, one.state) for one in emptied] == [(seq, 1, NotificationState.SCHEDULED)]
    assert emptied[0].frame.startswith(ME)
    await journal.forget_deleted(TRACES)
    kept = await journal.load(seq, [0, 1, 2, 3])
    assert kept == [others[0], HUSK, shared.replace(b"," + ME, b""), others[1]]
    assert files_with(tmp_path, ME) == []


async def test_deleted_payloads_stand_in_no_free_page_and_no_log(tmp_path: Path, journal: SqliteJournal) -> None:
    kept = await append(journal, [frame(b"a")])
    gone = [await append(journal, [frame(ME), frame(b"b")] * 40) for _ in range(5)]
    partly = await append(journal, [frame(ME), frame(b"b")])
    await journal.record([*(closing(seq, *range(80)) for seq in gone), closing(partly, 0)])
    assert files_with(tmp_path, ME)
    assert await journal.erase_frames(TRACES) == (1, [])
    await journal.forget_deleted(TRACES)
    assert files_with(tmp_path, ME) == []
    assert len(await journal.load(kept, [0])) == 1
    assert len(await journal.load(partly, [1])) == 1


async def test_erasing_again_finds_nothing(journal: SqliteJournal) -> None:
    await append(journal, [frame(ME, b"a"), frame(ME)])
    assert (await journal.erase_frames(TRACES))[0] == 2
    assert await journal.erase_frames(TRACES) == (0, [])


async def test_receipts_lose_the_link_to_the_device_and_nothing_else(tmp_path: Path, journal: SqliteJournal) -> None:
    seq = await append(journal, [frame(b"a"), frame(b"b")])
    log = ReceiptLog()
    for index, key in enumerate((KEY, KEY + 1)):
        one = Notification("t", "app", "", 1, 1, b"", 1_000, 0, 9_000, 1, 2, (), (), None)
        assign_place(one, make_id(1_000, 0, seq, index), seq, index)
        one.open_deliveries = 1
        log.add_many([Delivery(one, "t", b"", None, key, 0, 1, 0, Flow(0, (), ()))], [DELIVERED], b"\1", 5_000)
    await journal.record(log.take())
    before = receipts(tmp_path)
    assert await journal.unlink_receipts(TRACES) == 1
    after = receipts(tmp_path)
    assert [one.device_key for one in after] == [0, KEY + 1]
    assert [one.state for one in after] == [DeliveryState.DELIVERED] * 2
    assert [replace(one, device_key=KEY + place) for place, one in enumerate(after)] == before


async def test_payments_are_committed_while_a_journal_is_searched(journal: SqliteJournal) -> None:
    for _ in range(20):
        await append(journal, [frame(b"a", size=2_000) for _ in range(500)])
    slowest = 0.0
    searching = asyncio.ensure_future(journal.erase_frames(TRACES))
    loop = asyncio.get_running_loop()
    commits = 0
    while not searching.done():
        began = loop.time()
        await append(journal, [frame(b"b")])
        slowest, commits = max(slowest, loop.time() - began), commits + 1
    assert await searching == (0, [])
    # 20 MB are searched in 20 steps at least; each lets a commit in between.
    assert commits >= 10
    assert slowest < 1.0


def receipts(directory: Path) -> list[Receipt]:
    reader = JournalReader(journal_path(directory, 0))
    try:
        rows = reader.receipts_after(0, 100)
        return [one for row in rows for one in unpack_events(row.events, 0, row.segment, 1_000)]
    finally:
        reader.close()

