"""Notifications and deliveries for the tests of channels."""

from __future__ import annotations

import hashlib
import time

from core.content.message import Content
from core.delivery import Delivery, Flow, Notification, assign_place
from core.model import NotificationClass, Provider, PushType

NOW_MS = 1_750_000_000_000
FLOW = Flow(1, [], [])


def notice(
    content: Content | None = None, *, push_type: int = PushType.ALERT, collapse_id: bytes = b"", number: int = 1,
    accepted_unix_ms: int = NOW_MS,
) -> Notification:  # fmt: skip
    notification = Notification(
        "bank", "app", "", NotificationClass.TRANSACTIONAL, push_type, collapse_id, accepted_unix_ms, 0,
        accepted_unix_ms + 3_600_000, 1, 1, (), (), content or Content(title="Paid", body="12.50 EUR"),
    )  # fmt: skip
    assign_place(notification, hashlib.sha256(number.to_bytes(8)).digest()[:16], 1, number)
    return notification


def live_notice(content: Content | None = None, *, number: int = 1) -> Notification:
    """A notification of this moment, for servers that look at the clock."""
    return notice(content, number=number, accepted_unix_ms=time.time_ns() // 1_000_000)


def delivery(
    notification: Notification, rendered: tuple[bytes, object], token: str, provider: Provider = Provider.APNS
) -> Delivery:
    payload, envelope = rendered
    device_key = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8])
    return Delivery(notification, token, payload, envelope, device_key, 0, provider, 1, FLOW)
