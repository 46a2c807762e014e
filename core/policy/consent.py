"""What a user's word, or silence, allows: the precedence.

The first line that matches decides, for one class, category and channel:

1. Security is always sent.
2. A suppression in force stops all that it covers; transactional only where it includes that.
3. What the user said of the category on this channel.
4. A no to the category on every channel.
5. Marketing only: a no to all marketing on this channel.
6. Marketing only: a no to all marketing.
7. Without a consent on record marketing is never sent; there is no default for it, nor for an unknown user.
8. The app's default for the category; on for what is not marketing and has no category.

A no to a category that users may not disable is as if nothing was said. A yes counts for its category and channel
alone, so that a new category is never on for who said no to marketing, and no to one list stops nothing of another.
"""

from __future__ import annotations

from typing import NamedTuple

from core.model import NotificationClass
from core.policy.decision import Reason
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Category, Choices, Recipient
from core.policy.suppression import stopped_by


class Standing(NamedTuple):
    """Whether a message may be sent as far as the user's will goes, and which rule of the precedence says so."""

    allowed: bool
    reason: Reason


def standing(category: Category, channel: int, recipient: Recipient, now_unix_ms: int) -> Standing:
    """Go through the precedence for a category."""
    if category.klass == NotificationClass.SECURITY:
        return Standing(True, Reason.SECURITY)
    if stopped_by(category.klass, category.name, channel, recipient, now_unix_ms) is not None:
        return Standing(False, Reason.SUPPRESSED)
    word = said(category, channel, recipient.choices)
    if word is not None:
        return word
    if category.klass == NotificationClass.MARKETING:
        return Standing(False, Reason.NO_CONSENT)
    return Standing(category.default_on, Reason.APP_DEFAULT)


def said(category: Category, channel: int, choices: Choices) -> Standing | None:
    """Return what the user said and is to be followed; None for nothing."""
    if not choices:
        return None
    marketing = category.klass == NotificationClass.MARKETING
    # Without a name it would find what is said of every category.
    word = choices.get((category.name, channel)) if category.name else None
    if word:
        return Standing(True, Reason.USER_CATEGORY_CHANNEL)
    if not (marketing or (category.user_may_disable and category.name)):
        return None
    if word is False:
        return Standing(False, Reason.USER_CATEGORY_CHANNEL)
    # Only a no has so wide a scope: a yes that stands here, against what stores promise, is no consent.
    if choices.get((category.name, EVERY_CHANNEL)) is False:
        return Standing(False, Reason.USER_CATEGORY)
    if not marketing:
        return None
    if choices.get((EVERY_CATEGORY, channel)) is False:
        return Standing(False, Reason.USER_CHANNEL)
    if choices.get((EVERY_CATEGORY, EVERY_CHANNEL)) is False:
        return Standing(False, Reason.USER_ALL)
    return None


def consent_stop(category: Category, channel: int, recipient: Recipient) -> Reason:
    """Say why marketing lacks the user's yes; NONE where it has it, and for all that needs none."""
    if category.klass != NotificationClass.MARKETING:
        return Reason.NONE
    word = said(category, channel, recipient.choices)
    if word is None:
        return Reason.NO_CONSENT
    return Reason.NONE if word.allowed else word.reason
