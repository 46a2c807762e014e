"""Users whom the gates cannot tell apart: one of them is decided, and what becomes of one becomes of all."""

from __future__ import annotations

from collections.abc import Sequence

from core.policy.decision import Decision, Verdict
from core.policy.message import Message
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Channel, Recipient, UserDevice

_PUSH_ALONE = (Channel.PUSH,)


class Alike:
    """Those of a batch who have one device, said the same, and get what nothing counts: most of a service wave."""

    __slots__ = ("_first", "_open", "_others", "_scopes")

    def __init__(self) -> None:
        self._first: dict[tuple[object, ...], int] = {}
        self._others: list[tuple[int, int]] = []
        self._open = False
        self._scopes: tuple[tuple[str, int], ...] = ()

    def begin(self, message: Message, *, counted: bool) -> None:
        """Turn to the next message. counted: caps or quotas may count it."""
        self._first = {}
        self._open = not counted and message.channels == _PUSH_ALONE
        self._scopes = tuple(
            (category, channel)
            for category in (message.category, EVERY_CATEGORY) for channel in (Channel.PUSH, EVERY_CHANNEL)
        )  # fmt: skip

    def joins(self, place: int, recipient: Recipient, devices: Sequence[UserDevice]) -> bool:
        """Tell whether somebody before is decided for this one too."""
        if not self._open or len(devices) != 1 or recipient.suppressions:
            return False
        device, choices = devices[0], recipient.choices
        first = self._first.setdefault(
            (
                recipient.time_zone, recipient.country, recipient.quiet_windows,
                device.time_zone, device.permission, device.manufacturer,
                tuple([choices.get(scope) for scope in self._scopes]) if choices else (),
            ),
            place,
        )  # fmt: skip
        if first == place:
            return False
        self._others.append((place, first))
        return True

    def settle(self, decisions: list[Decision | None], devices: Sequence[Sequence[UserDevice]]) -> list[int]:
        """Fill in the decisions that are the same as the first one's; return the places of those to decide one by one.

        A wait is spread by who waits, so that each has a time of their own.
        """
        apart: list[int] = []
        for place, first in self._others:
            found = decisions[first]
            if found is None or found.verdict is Verdict.DEFER or found.held:
                apart.append(place)
            else:
                decisions[place] = found._replace(devices=devices[place]) if found.devices else found
        return apart
