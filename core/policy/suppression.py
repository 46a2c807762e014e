"""Whether a suppression stops a message."""

from __future__ import annotations

from core.model import NotificationClass
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Recipient, Suppression


def stopped_by(
    klass: NotificationClass, category: str, channel: int, recipient: Recipient, now_unix_ms: int
) -> Suppression | None:
    """Return the suppression in force that covers a message; security is covered by none."""
    if klass == NotificationClass.SECURITY:
        return None
    for one in recipient.suppressions:
        if one.end_unix_ms and one.end_unix_ms <= now_unix_ms:
            continue
        if klass == NotificationClass.TRANSACTIONAL and not one.includes_transactional:
            continue
        if one.category in (EVERY_CATEGORY, category) and one.channel in (EVERY_CHANNEL, channel):
            return one
    return None
