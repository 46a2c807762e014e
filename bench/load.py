"""Realistic notifications in bulk, serialised ahead so that making them does not disturb the measuring."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bench.stand import APP
from protos.walletpush.v1 import delivery_pb2, notification_pb2

_SHOPS = ("Luckin Coffee", "星巴克", "FamilyMart", "Metro Line 2", "盒马鲜生", "Didi", "Uniqlo", "Hema Fresh")
# Coprime to the range of amounts, so that neighbours differ and all come up.
_STRIDE = 7_919


def apns_token(number: int) -> str:
    """Return the token of device number `number`: 64 hex digits."""
    return hashlib.sha256(b"device %d" % number).hexdigest()


def payment(number: int, run: str) -> notification_pb2.Notification:
    """Return one payment notice to one APNs device, of about 230 bytes."""
    shop = _SHOPS[number % len(_SHOPS)]
    amount = 100 + number * _STRIDE % 99_900
    return notification_pb2.Notification(
        idempotency_key=f"{run}-{number}",
        app=APP,
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        devices=[notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=apns_token(number))],
        content=notification_pb2.Content(
            title="Payment received",
            body=f"CNY {amount // 100}.{amount % 100:02d} at {shop}",
            deep_link=f"wallet://transactions/{number}",
            thread_key="payments",
            data={"transaction": str(number), "kind": "payment"},
        ),
    )


def batches(count: int, size: int, run: str) -> Iterator[bytes]:
    """Yield `count` payments as serialised SendBatchRequests of `size`."""
    for start in range(0, count, size):
        notifications = [payment(number, run) for number in range(start, min(start + size, count))]
        yield delivery_pb2.SendBatchRequest(notifications=notifications).SerializeToString()
