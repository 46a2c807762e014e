"""Watching receipts shares the event loop with those who pay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from core.hashing import SipHash
from core.model import DeliveryState, Receipt
from core.notification_id import make_id
from gateway.callers import LOCAL, current_caller
from gateway.interceptors import Context
from gateway.pipeline.intake import Intake
from gateway.receipts import to_receipt
from gateway.scopes import Scopes
from gateway.services import delivery
from gateway.services.tracking import Tracking
from protos.walletpush.v1 import delivery_pb2, receipt_pb2

RECEIPT = Receipt(make_id(1, 0, 1, 0), DeliveryState.DELIVERED, 1, 1, 1, 200, "", 1, False, "", 1, 1)
WATCHERS, RECEIPTS = 20, 1_000


class OneLoad:
    """Tells every watcher the same receipts at once."""

    async def follow(self, *_asked: object) -> AsyncGenerator[tuple[list[Receipt], str], None]:
        yield [RECEIPT] * RECEIPTS, "cursor"


async def test_many_watchers_that_hear_the_same_leave_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    current_caller.set(LOCAL)
    told, turns = 0, []

    def counted(receipt: Receipt, names: dict[int, str]) -> receipt_pb2.Receipt:
        nonlocal told
        told += 1
        return to_receipt(receipt, names)

    monkeypatch.setattr(delivery, "to_receipt", counted)
    scopes = Scopes({"wallet": frozenset((1,))}, SipHash(bytes(16)))
    servicer = delivery.DeliveryServicer(cast("Intake", None), cast("Tracking", OneLoad()), scopes)

    async def watch() -> int:
        request = delivery_pb2.WatchReceiptsRequest()
        answers = servicer.WatchReceipts(request, cast("Context", None))
        return sum([len(answer.receipts) async for answer in answers])

    watching = asyncio.gather(*(watch() for _ in range(WATCHERS)))
    before = 0
    while not watching.done():
        await asyncio.sleep(0)
        turns.append(told - before)
        before = told
    assert watching.result() == [RECEIPTS] * WATCHERS
    assert max(turns) <= 250
