"""Three users and a promotion: one agreed to it, one never did, one agreed and sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.client import MARKETING, Content, Device, Notification, NotificationState, Walletpush, fcm_token
from gateway.demo.plan import APP
from protos.walletpush.v1.preference_pb2 import CHANNEL_PUSH, CONSENT_METHOD_APP, Consent, QuietWindow
from protos.walletpush.v1.user_pb2 import User

_SETTLE_S = 5.0
_POLL_S = 0.05
_DAY_MIN = 1_440


class Choice(NamedTuple):
    """A user, and what they said."""

    user_id: str
    who: str
    consents: bool
    sleeps: bool = False


CHOICES = (
    Choice("choice-lin", "who agreed", consents=True),
    Choice("choice-wei", "who never agreed", consents=False),
    Choice("choice-mei", "who agreed, and sleeps now", consents=True, sleeps=True),
)


async def show_choices(client: Walletpush, mark: Callable[[str], None]) -> None:
    """Send each of them the promotion, and mark what became of it."""
    for choice in CHOICES:
        await _introduce(client, choice)
        promotion = Notification(
            app=APP, user_ids=[choice.user_id], notification_class=MARKETING, category="promotion",
            content=Content(title="Coffee for CNY 9.9", body="This week only."),
        )  # fmt: skip
        accepted = await client.send_now(promotion)
        mark(f"a promotion to a user {choice.who}: {await _outcome(client, accepted.id, promotion)}")


async def _introduce(client: Walletpush, choice: Choice) -> None:
    user = User(app=APP, user_id=choice.user_id, time_zone="UTC", locale="en")
    user.last_open_time.GetCurrentTime()
    await client.users.upsert(user)
    token = fcm_token(f"c{choice.user_id}:APA91b{'x' * 60}")
    await client.register_device(Device(app=APP, user_id=choice.user_id, token=token, time_zone="UTC"))
    consents = [
        Consent(
            category="promotion", channel=CHANNEL_PUSH, granted=True, method=CONSENT_METHOD_APP, wording_version="demo"
        )
    ] if choice.consents else []  # fmt: skip
    # Of their own, whatever the hour is where somebody tries this: around now, or half a day away.
    start_min = int(time.time() // 60) + (-60 if choice.sleeps else _DAY_MIN // 2)
    night = QuietWindow(start_minute=start_min % _DAY_MIN, end_minute=(start_min + 180) % _DAY_MIN)
    await client.preferences.update(APP, choice.user_id, consents, [night])


async def _outcome(client: Walletpush, notification_id: str, promotion: Notification) -> str:
    """Wait for a receipt; what has none is explained."""
    promotion.idempotency_key = "explain"
    decision = (await client.explain(promotion)).decision
    if decision.HasField("until"):
        return f"waits until {decision.until.ToJsonString()} ({decision.reason})"
    deadline_s = time.monotonic() + _SETTLE_S
    receipt = await client.get_receipt(notification_id)
    while receipt.state == NotificationState.NOTIFICATION_STATE_ACCEPTED and time.monotonic() < deadline_s:
        await asyncio.sleep(_POLL_S)
        receipt = await client.get_receipt(notification_id)
    state = NotificationState.Name(receipt.state).removeprefix("NOTIFICATION_STATE_").lower()
    reasons = sorted({one.reason for one in receipt.deliveries if one.reason})
    return " ".join([state, *(f"({reason})" for reason in reasons)])
