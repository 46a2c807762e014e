"""The archive: receipts of all journals, each told once, whatever the answers' borders; and only to their tenant."""

from __future__ import annotations

import random

import pytest

from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import UnknownNotification
from core.model import DeliveryState, NotificationState
from core.notification_id import make_id
from core.reaction import DELIVERED
from core.receipts import ReceiptLog
from core.storage import NotificationRecord, ReceiptRow
from gateway.convert import Scope
from gateway.cursor import Position, format_cursor, parse_cursor
from gateway.frames import frame_prefix
from gateway.pipeline.archive import MAX_RECEIPTS, Archive
from tests.unit.virtual_time import START_UNIX_MS, in_virtual_time

BANK = Scope("bank", 7, {}, {})
RIVAL = Scope("rival", 8, {}, {})


def events(segment: int, count: int, *, tenant_tag: int = 7, index: int = 0) -> bytes:
    """Pack the receipts of one notification to so many devices."""
    notification = Notification("bank", "app", "", 1, 1, b"", START_UNIX_MS, 0, 0, tenant_tag, 1, (), (), None)
    assign_place(notification, make_id(START_UNIX_MS, 0, segment, index), segment, index)
    notification.open_deliveries = count
    flow = Flow(1, (), ())
    deliveries = [Delivery(notification, "ab", b"", None, i + 1, 0, 1, 0, flow) for i in range(count)]
    log = ReceiptLog()
    log.add_many(deliveries, [DELIVERED] * count, bytes([DeliveryState.DELIVERED]) * count, START_UNIX_MS)
    return log.take()[0].events


class Rows:
    """core.storage.ReceiptReader over rows of so many receipts each."""

    def __init__(self, sizes: list[int]) -> None:
        self.rows = [ReceiptRow(seq, seq, START_UNIX_MS, events(seq, size)) for seq, size in enumerate(sizes, 1)]
        self.records: dict[tuple[int, int], NotificationRecord] = {}
        self.closed = False

    def receipts_after(self, seq: int, limit_rows: int) -> list[ReceiptRow]:
        return [row for row in self.rows if row.seq > seq][:limit_rows]

    def last_receipt_seq(self) -> int:
        return self.rows[-1].seq if self.rows else 0

    def notification(self, segment: int, index: int) -> NotificationRecord:
        if (segment, index) not in self.records:
            raise UnknownNotification
        return self.records[segment, index]

    def close(self) -> None:
        self.closed = True


def archive_of(journals: dict[int, Rows]) -> Archive:
    return Archive(journals.get, lambda: sorted(journals))


async def told(archive: Archive, positions: dict[int, Position] | None = None) -> list[tuple[bytes, int]]:
    """Follow to the end, through cursors; return what was told: the notification and the device of each receipt."""
    found: list[tuple[bytes, int]] = []
    cursor = format_cursor(positions or {})
    while True:
        receipts, moved = await archive.read(parse_cursor(cursor))
        assert len(receipts) <= MAX_RECEIPTS
        found += [(one.notification_id, one.device_key) for one in receipts]
        if format_cursor(moved) == cursor:
            return found
        cursor = format_cursor(moved)


@pytest.mark.parametrize("sizes", [
    [], [1], [999], [1_000], [1_001], [1_000, 1], [1_000, 1_000, 1], [400, 600, 5], [2_500], [999, 1, 1], [1] * 200,
    [3_000, 1_000, 2_000], [600, 600, 600, 600],
])  # fmt: skip
@in_virtual_time
async def test_every_receipt_is_told_once_whatever_the_borders(sizes: list[int]) -> None:
    archive = archive_of({0: Rows(sizes)})
    found = await told(archive)
    assert len(found) == len(set(found)) == sum(sizes)
    archive.close()


@pytest.mark.parametrize("seed", range(15))
@in_virtual_time
async def test_every_receipt_of_every_journal_is_told_once(seed: int) -> None:
    rng = random.Random(seed)
    sizes = {n: [rng.choice([1, 3, 500, 1_000, 1_200]) for _ in range(rng.randint(0, 8))] for n in (0, 1, 5)}
    archive = archive_of({number: Rows(some) for number, some in sizes.items()})
    assert len(await told(archive)) == sum(map(sum, sizes.values()))
    archive.close()


@in_virtual_time
async def test_from_the_newest_on_only_what_comes_later_is_told() -> None:
    journal = Rows([5, 5])
    archive = archive_of({0: journal, 1: Rows([])})
    positions = await archive.newest()
    assert await told(archive, positions) == []
    journal.rows.append(ReceiptRow(3, 3, START_UNIX_MS, events(3, 2)))
    assert len(await told(archive, positions)) == 2
    archive.close()


@in_virtual_time
async def test_a_place_inside_a_row_that_retention_removed_tells_what_comes_after() -> None:
    journal = Rows([1_500, 7])
    archive = archive_of({0: journal})
    _, moved = await archive.read({})
    assert moved == {0: Position(1, 1_000)}
    del journal.rows[0]
    assert len(await told(archive, moved)) == 7
    archive.close()


@in_virtual_time
async def test_an_open_notification_belongs_to_the_tenant_of_its_frame() -> None:
    journal = Rows([])
    frame = frame_prefix("bank", START_UNIX_MS) + b"..."
    journal.records[3, 0] = NotificationRecord(NotificationState.ACCEPTED, START_UNIX_MS, [], frame)
    archive = archive_of({0: journal})
    ident = make_id(START_UNIX_MS, 0, 3, 0)
    assert (await archive.standing(ident, BANK)).state is NotificationState.ACCEPTED
    with pytest.raises(UnknownNotification):
        await archive.standing(ident, RIVAL)
    archive.close()


@in_virtual_time
async def test_an_ended_notification_belongs_to_the_tenant_of_its_receipts() -> None:
    journal = Rows([])
    rows = [events(3, 2), events(3, 1, index=1, tenant_tag=8)]
    journal.records[3, 0] = NotificationRecord(NotificationState.DELIVERED, START_UNIX_MS, rows, b"")
    archive = archive_of({0: journal})
    ident = make_id(START_UNIX_MS, 0, 3, 0)
    standing = await archive.standing(ident, BANK)
    assert (standing.state, len(standing.receipts)) == (NotificationState.DELIVERED, 2)
    for strange in (RIVAL, Scope("nobody", 9, {}, {})):
        with pytest.raises(UnknownNotification):
            await archive.standing(ident, strange)
    archive.close()


@pytest.mark.parametrize("ident", [
    make_id(START_UNIX_MS + 1, 0, 3, 0), make_id(START_UNIX_MS, 4, 3, 0), make_id(START_UNIX_MS, 0, 4, 0),
])  # fmt: skip
@in_virtual_time
async def test_a_guessed_id_opens_nothing(ident: bytes) -> None:
    journal = Rows([])
    journal.records[3, 0] = NotificationRecord(NotificationState.DELIVERED, START_UNIX_MS, [events(3, 1)], b"")
    archive = archive_of({0: journal})
    with pytest.raises(UnknownNotification):
        await archive.standing(ident, BANK)
    archive.close()


@in_virtual_time
async def test_closing_lets_go_of_every_journal_that_was_read() -> None:
    journals = {0: Rows([1]), 1: Rows([1])}
    archive = archive_of(journals)
    await archive.read({})
    archive.close()
    assert all(journal.closed for journal in journals.values())
