"""Receipts: outcomes packed for the journal, and read back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from bench.kernels.timing import Call, Kernel, Size
from core.delivery import Delivery, Flow, Notification, assign_place
from core.model import DeliveryState, NotificationClass, Provider, PushType
from core.reaction import DELIVERED
from core.receipts import ReceiptLog, unpack_events

_NOW_UNIX_MS = 1_800_000_000_000
_FLOW = Flow(1, (), ())
_APNS_ID = "eabeae54-14a8-11e5-b60b-1697f925ec7b"
# A delivery and its notification are some 600 bytes, and each is packed once.
_MOST_ELEMENTS = 200_000


class Receipts:
    """Segments of as many notifications as a batch has, one delivery each, all delivered."""

    def __init__(self, size: Size) -> None:
        self._size = size

    def kernels(self) -> tuple[Kernel, ...]:
        """Return what is timed."""
        return (
            Kernel("receipts_pack", "receipts pack", self.pack),
            Kernel("receipts_unpack", "receipts unpack", self.unpack),
        )

    def pack(self, batch: int) -> Iterator[Call]:
        """Yield calls that note outcomes and take what goes to the journal."""
        log = ReceiptLog()
        outcomes, states = [DELIVERED] * batch, bytes([DeliveryState.DELIVERED]) * batch

        def call(deliveries: list[Delivery]) -> None:
            log.add_many(deliveries, outcomes, states, _NOW_UNIX_MS)
            log.take()

        for segment in range(self._size.rounds(batch, _MOST_ELEMENTS)):
            yield partial(call, [_delivery(segment, index) for index in range(batch)])

    def unpack(self, batch: int) -> Iterator[Call]:
        """Yield calls that read a segment's receipts."""
        log = ReceiptLog()
        deliveries = [_delivery(1, index) for index in range(batch)]
        log.add_many(deliveries, [DELIVERED] * batch, bytes([DeliveryState.DELIVERED]) * batch, _NOW_UNIX_MS)
        (update,) = log.take()
        for _ in range(self._size.rounds(batch, _MOST_ELEMENTS)):
            yield partial(unpack_events, update.events, 0, 1, _NOW_UNIX_MS)


def _delivery(segment: int, index: int) -> Delivery:
    notification = Notification(
        "bank", "wallet", "", NotificationClass.TRANSACTIONAL, PushType.ALERT, b"collapse", _NOW_UNIX_MS, 0,
        _NOW_UNIX_MS + 1_000, 1, 1, (), (), None,
    )  # fmt: skip
    assign_place(notification, os.urandom(16), segment, index)
    notification.open_deliveries = 1
    delivery = Delivery(notification, "7c" * 32, b"{}", None, index, 0, Provider.APNS, 1, _FLOW)
    delivery.attempts, delivery.provider_message_id = 1, _APNS_ID
    return delivery
