"""The receipts of all workers of this host, read from their journals whichever worker is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from core.errors import UnknownNotification
from core.model import NotificationState, Receipt
from core.notification_id import parse_id
from core.receipts import unpack_events
from core.storage import ReceiptReader
from gateway.convert import Scope
from gateway.cursor import Position
from gateway.frames import tenant_of

T = TypeVar("T")
UNKNOWN = "no notification of yours has this id, or its receipts are past retention"
_ROWS = 64
MAX_RECEIPTS = 1_000
_MAX_DELIVERIES = 10_000


class Standing(NamedTuple):
    """One notification and its ended deliveries, oldest first, at most 10,000."""

    state: NotificationState
    accepted_unix_ms: int
    receipts: list[Receipt]


class Archive:
    """Reads journals by number; every read runs on one thread of its own, since SQLite blocks.

    open_reader: opens a journal for reading, or returns None if there is none of that number.
    list_journals: the numbers of all journals there are now.
    """

    def __init__(
        self, open_reader: Callable[[int], ReceiptReader | None], list_journals: Callable[[], list[int]]
    ) -> None:
        self._open_reader = open_reader
        self._list_journals = list_journals
        self._readers: dict[int, ReceiptReader] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")

    async def standing(self, notification_id: bytes, scope: Scope) -> Standing:
        """Return where a notification of the scope's tenant stands. Raises UnknownNotification."""
        return await self._run(lambda: self._standing(notification_id, scope))

    async def newest(self) -> dict[int, Position]:
        """Return the position behind everything written so far."""
        return await self._run(
            lambda: {number: Position(self._reader(number).last_receipt_seq()) for number in self._list_journals()}
        )

    async def read(self, positions: Mapping[int, Position]) -> tuple[list[Receipt], dict[int, Position]]:
        """Return up to 1,000 receipts behind the positions, of all journals in turn, and the positions behind them."""
        return await self._run(lambda: self._read(positions))

    def close(self) -> None:
        """Let go of all journals."""
        self._thread.submit(self._close_readers).result()
        self._thread.shutdown()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _reader(self, number: int) -> ReceiptReader:
        reader = self._readers.get(number)
        if reader is None:
            opened = self._open_reader(number)
            if opened is None:
                raise UnknownNotification(UNKNOWN)
            reader = self._readers[number] = opened
        return reader

    def _standing(self, notification_id: bytes, scope: Scope) -> Standing:
        accepted_unix_ms, number, segment, index = parse_id(notification_id)
        record = self._reader(number).notification(segment, index)
        receipts: list[Receipt] = []
        for events in record.events:
            receipts += unpack_events(events, number, segment, accepted_unix_ms, index)
        if record.accepted_unix_ms != accepted_unix_ms or not _is_of(scope, record.frame, receipts):
            raise UnknownNotification(UNKNOWN)
        return Standing(record.state, accepted_unix_ms, receipts[:_MAX_DELIVERIES])

    def _read(self, positions: Mapping[int, Position]) -> tuple[list[Receipt], dict[int, Position]]:
        moved = dict(positions)
        receipts: list[Receipt] = []
        for number in self._list_journals():
            if len(receipts) < MAX_RECEIPTS:
                moved[number] = self._read_one(number, positions.get(number, Position(0)), receipts)
        return receipts, moved

    def _read_one(self, number: int, position: Position, receipts: list[Receipt]) -> Position:
        after = position.seq - 1 if position.told else position.seq
        for row in self._reader(number).receipts_after(after, _ROWS):
            told = position.told if row.seq == position.seq else 0
            fresh = unpack_events(row.events, number, row.segment, row.accepted_unix_ms)[told:]
            room = MAX_RECEIPTS - len(receipts)
            if room == 0:
                # Position(seq, 0) would say that all of this row was told.
                return position
            receipts += fresh[:room]
            if len(fresh) > room:
                return Position(row.seq, told + room)
            position = Position(row.seq)
        return position

    def _close_readers(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


def _is_of(scope: Scope, frame: bytes, receipts: list[Receipt]) -> bool:
    # Ids can be guessed, so an id alone opens nothing: the open message names its tenant, a finished one's receipts do.
    if frame:
        return tenant_of(frame) == scope.tenant
    return bool(receipts) and receipts[0].tenant_tag == scope.tenant_tag
