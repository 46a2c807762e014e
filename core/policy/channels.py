"""By which channel a user hears: the first wished for that the user's will and devices allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.consent import consent_stop
from core.policy.decision import Gate, Reason
from core.policy.message import Message
from core.policy.people import Category, Channel, Permission, Recipient, UserDevice
from core.policy.permission import permission_stop
from core.policy.preference import preference_stop
from core.policy.suppression import stopped_by


class Choice(NamedTuple):
    """A channel, and the first gate that keeps it from being taken; CHANNEL where none does."""

    channel: Channel
    gate: Gate
    reason: Reason


_OPEN = {channel: Choice(channel, Gate.CHANNEL, Reason.NONE) for channel in Channel}


def choose(
    message: Message, category: Category, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
) -> Choice:
    """Return the first channel that is open, or the first of all with what stops it.

    An urgent message goes by a channel that seems not to reach the user where no other does.
    """
    channels = message.channels
    if _plainly_open(channels[0], category, recipient, devices):
        return _OPEN[channels[0]]
    first: Choice | None = None
    unreached: Choice | None = None
    for channel in channels:
        found = _considered(channel, category, recipient, devices, now_unix_ms)
        if found.gate == Gate.CHANNEL:
            return found
        if found.gate == Gate.PERMISSION and message.urgent:
            stop = _will_stop(channel, category, recipient, now_unix_ms)
            unreached = unreached or (_OPEN[channel] if stop is None else None)
            found = stop or found
        first = first or found
    return unreached or first or _OPEN[channels[0]]


def _plainly_open(channel: Channel, category: Category, recipient: Recipient, devices: Sequence[UserDevice]) -> bool:
    """Tell whether one look is enough: a yes to just this, nothing suppressed, and a device that shows it."""
    if recipient.suppressions or not category.name or not recipient.choices.get((category.name, channel)):
        return False
    if channel != Channel.PUSH:
        return True
    for device in devices:  # noqa: SIM110 - any() with a generator takes twice as long
        if device.permission != Permission.DENIED:
            return True
    return False


def _considered(
    channel: Channel, category: Category, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
) -> Choice:
    """Ask the gates of the user's will and devices in their order."""
    reason = consent_stop(category, channel, recipient)
    if reason:
        return Choice(channel, Gate.CONSENT, reason)
    reason = permission_stop(channel, devices)
    if reason:
        return Choice(channel, Gate.PERMISSION, reason)
    return _will_stop(channel, category, recipient, now_unix_ms) or _OPEN[channel]


def _will_stop(channel: Channel, category: Category, recipient: Recipient, now_unix_ms: int) -> Choice | None:
    if category.klass == NotificationClass.SECURITY:
        return None
    if recipient.suppressions and stopped_by(category.klass, category.name, channel, recipient, now_unix_ms):
        return Choice(channel, Gate.SUPPRESSION, Reason.SUPPRESSED)
    reason = preference_stop(category, channel, recipient)
    return Choice(channel, Gate.PREFERENCE, reason) if reason else None
