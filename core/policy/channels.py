"""By which channel a user hears: the first wished for that the user's will and devices allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.consent import consent_stop
from core.policy.decision import Gate, Reason
from core.policy.message import Message
from core.policy.people import Category, Channel, Recipient, UserDevice
from core.policy.permission import permission_stop
from core.policy.preference import preference_stop
from core.policy.suppression import stopped_by


class Choice(NamedTuple):
    """A channel, and the first gate that keeps it from being taken; CHANNEL where none does."""

    channel: Channel
    gate: Gate
    reason: Reason


def choose(
    message: Message, category: Category, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
) -> Choice:
    """Return the first channel that is open, or the first of all with what stops it.

    An urgent message goes by a channel that seems not to reach the user where no other does.
    """
    found = [list(_stops(category, channel, recipient, devices, now_unix_ms)) for channel in message.channels]
    for channel, stops in zip(message.channels, found, strict=True):
        if not stops:
            return Choice(channel, Gate.CHANNEL, Reason.NONE)
    for channel, stops in zip(message.channels, found, strict=True):
        if message.urgent and all(gate == Gate.PERMISSION for gate, _ in stops):
            return Choice(channel, Gate.CHANNEL, Reason.NONE)
    return Choice(message.channels[0], *found[0][0])


def _stops(
    category: Category, channel: Channel, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
) -> Iterator[tuple[Gate, Reason]]:
    """Give the gates of the user's will and devices that do not pass, in their order."""
    reason = consent_stop(category, channel, recipient)
    if reason:
        yield Gate.CONSENT, reason
    reason = permission_stop(channel, devices)
    if reason:
        yield Gate.PERMISSION, reason
    if category.klass == NotificationClass.SECURITY:
        return
    if recipient.suppressions and stopped_by(category.klass, category.name, channel, recipient, now_unix_ms):
        yield Gate.SUPPRESSION, Reason.SUPPRESSED
    reason = preference_stop(category, channel, recipient)
    if reason:
        yield Gate.PREFERENCE, reason
