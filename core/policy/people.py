"""What the gates know of a user and of an app's rules: values that storage fills and policy reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from core.model import NotificationClass, Target
from core.values import Value

EVERY_CATEGORY = ""
EVERY_CHANNEL = 0


class Channel(IntEnum):
    """A way to a user; the numbers are the contract's. 0 stands for every channel where a scope is meant."""

    PUSH = 1
    SMS = 2
    EMAIL = 3
    WEB_PUSH = 4
    IN_APP = 5


class Permission(IntEnum):
    """What a device's system lets the app show; UNKNOWN counts as granted."""

    UNKNOWN = 0
    GRANTED = 1
    PROVISIONAL = 2
    DENIED = 3


class LockScreenDetail(IntEnum):
    """How much a notification may show on a locked screen; UNSET stands for the app's default."""

    UNSET = 0
    MASKED = 1
    FULL = 2


class QuietWindow(NamedTuple):
    """Minutes of the day, in the user's zone, in which nothing may disturb.

    end_minute not after start_minute: ends on the next day; equal: 24 hours. weekdays: bit 0 Monday to bit 6 Sunday,
    the days on which it begins; 0 for every day. category: EVERY_CATEGORY for all. holidays: public holidays are quiet
    all day too.
    """

    start_minute: int
    end_minute: int
    weekdays: int = 0
    category: str = EVERY_CATEGORY
    holidays: bool = False


class Suppression(NamedTuple):
    """Stops what it covers, but never security. end_unix_ms: 0 for never."""

    category: str
    channel: int
    includes_transactional: bool
    reason: str
    end_unix_ms: int = 0


@dataclass(frozen=True, slots=True)
class Category:
    """A list that users can say yes or no to. titles and purposes: by locale.

    default_on: for who said nothing; never for marketing. user_may_disable: whether a no is followed; only
    transactional and service categories can be without that right.
    """

    name: str
    klass: NotificationClass
    default_on: bool = True
    user_may_disable: bool = True
    titles: Mapping[str, str] = field(default_factory=dict)
    purposes: Mapping[str, str] = field(default_factory=dict)


class UserDevice(NamedTuple):
    """A registered device with what policy and content must know of it."""

    target: Target
    locale: str = ""
    time_zone: str = ""
    permission: Permission = Permission.UNKNOWN
    manufacturer: str = ""
    encryption_key: bytes = b""


# What a user said: (category, channel) -> granted. EVERY_CATEGORY stands for all marketing, EVERY_CHANNEL for every
# channel; these two only ever hold False.
Choices = Mapping[tuple[str, int], bool]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user as the gates see them; the default of every field is that of a user who is not known.

    choices: current answers. last_open_unix_ms: 0 if never seen. too_many: the user said so. attributes: only where
    content asks for them.
    """

    user_id: str
    locale: str = ""
    time_zone: str = ""
    country: str = ""
    currency: str = ""
    lock_screen: LockScreenDetail = LockScreenDetail.UNSET
    tier: str = ""
    tags: frozenset[str] = frozenset()
    choices: Choices = field(default_factory=dict)
    suppressions: tuple[Suppression, ...] = ()
    quiet_windows: tuple[QuietWindow, ...] = ()
    last_open_unix_ms: int = 0
    too_many: bool = False
    attributes: Mapping[str, Value] = field(default_factory=dict)
