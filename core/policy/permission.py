"""Whether a channel reaches the user at all: devices, and what their systems let the app show."""

from __future__ import annotations

from collections.abc import Sequence

from core.policy.decision import Reason
from core.policy.message import Message
from core.policy.people import Channel, Permission, UserDevice


def permission_stop(channel: Channel, devices: Sequence[UserDevice]) -> Reason:
    """Say why no device of a user would show a push; NONE where one would, and for other channels."""
    if channel != Channel.PUSH:
        return Reason.NONE
    if not devices:
        return Reason.NO_DEVICE
    if all(device.permission == Permission.DENIED for device in devices):
        return Reason.OS_DENIED
    return Reason.NONE


def showing(message: Message, devices: Sequence[UserDevice]) -> Sequence[UserDevice]:
    """Return the devices that may show a message; for an urgent one all, since what a system reported may be old."""
    if message.urgent:
        return devices
    for device in devices:
        if device.permission == Permission.DENIED:
            return [one for one in devices if one.permission != Permission.DENIED]
    return devices
