"""Whether a user's no, or the app's default, stops a message."""

from __future__ import annotations

from core.model import NotificationClass
from core.policy.consent import said
from core.policy.decision import Reason
from core.policy.people import Category, Recipient


def preference_stop(category: Category, channel: int, recipient: Recipient) -> Reason:
    """Say whose no stops a message; NONE where nobody said no. Marketing without a word is the consent gate's."""
    if category.klass == NotificationClass.SECURITY:
        return Reason.NONE
    word = said(category, channel, recipient.choices)
    if word is not None:
        return Reason.NONE if word.allowed else word.reason
    if category.klass == NotificationClass.MARKETING or category.default_on:
        return Reason.NONE
    return Reason.APP_DEFAULT
