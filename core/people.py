"""What is kept of users, and the Protocols of the stores that keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from core.policy.people import LockScreenDetail, QuietWindow, Recipient, Suppression, UserDevice
from core.values import Value


@dataclass(frozen=True, slots=True)
class User:
    """A user of one app, as stored. birthday: YYYY-MM-DD or --MM-DD. Times: 0 where not known."""

    app: str
    user_id: str
    locale: str = ""
    time_zone: str = ""
    country: str = ""
    currency: str = ""
    phone: str = ""
    email: str = ""
    birthday: str = ""
    tier: str = ""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)
    lock_screen: LockScreenDetail = LockScreenDetail.UNSET
    last_open_unix_ms: int = 0
    created_unix_ms: int = 0
    updated_unix_ms: int = 0


MAX_ATTRIBUTES = 128
MAX_ATTRIBUTE_BYTES = 16 << 10


def attribute_bytes(attributes: Mapping[str, Value]) -> int:
    """Return what attributes count as: names and texts in UTF-8, 8 bytes for any other value."""
    texts = sum(len(value.encode()) if isinstance(value, str) else 8 for value in attributes.values())
    return texts + sum(len(name.encode()) for name in attributes)


class UserChange(NamedTuple):
    """A user and which of its fields to store; names as in User, "attributes.NAME" for one attribute."""

    user: User
    fields: frozenset[str]


class ConsentMethod(IntEnum):
    """How a consent was given or withdrawn; the numbers are the contract's."""

    APP = 1
    PREFERENCE_CENTRE = 2
    UNSUBSCRIBE_LINK = 3
    REPLY = 4
    CUSTOMER_CARE = 5
    IMPORT = 6


@dataclass(frozen=True, slots=True)
class Consent:
    """One line of a user's history: what was said, when, how, to which wording, recorded by whom."""

    category: str
    channel: int
    granted: bool
    method: ConsentMethod
    wording_version: str
    actor: str
    said_unix_ms: int
    evidence: str = ""


class RecipientSource(Protocol):
    """What the hot path reads of users, 10,000 at a time in at most two statements."""

    async def recipients(self, app: str, user_ids: Sequence[str], attributes: bool) -> Mapping[str, Recipient]:
        """Return what is known of up to 10,000 users; an unknown one is not in the answer.

        attributes: whether content asks for them (they are decrypted then). Raises Unavailable.
        """

    async def user_devices(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[UserDevice]]:
        """Return the devices of up to 10,000 users; a user without any is not in the answer. Raises Unavailable."""


class UserStore(Protocol):
    """Keeps users."""

    async def upsert(self, changes: Sequence[UserChange], now_unix_ms: int) -> list[bool]:
        """Store all in one commit; return for each whether it was new.

        Raises InvalidRequest when an external id is another user's, Unavailable or Overloaded; then nothing changed.
        """

    async def get(self, app: str, user_id: str) -> User | None:
        """Return a user. Raises Unavailable."""

    async def find(self, app: str, system: str, external_id: str) -> User | None:
        """Return the user with this id in another system. Raises Unavailable."""

    async def merge(self, app: str, from_user_id: str, into_user_id: str, now_unix_ms: int) -> int:
        """Make two users one; return how many devices moved. Raises UnknownUser, Unavailable."""

    async def delete(self, app: str, user_id: str) -> bool:
        """Remove a user with devices and preferences, keeping the history of consents; return whether there was one."""


class PreferenceStore(Protocol):
    """Keeps what users said."""

    async def record(self, app: str, user_id: str, consents: Sequence[Consent], now_unix_ms: int) -> None:
        """Append to the history and change what is in force, in one commit.

        A no for every category or channel takes back each yes it covers. Raises Unavailable, then nothing changed.
        """

    async def set_quiet_windows(self, app: str, user_id: str, windows: Sequence[QuietWindow]) -> None:
        """Replace a user's windows. Raises Unavailable."""

    async def history(self, app: str, user_id: str, before: int, limit: int) -> list[tuple[int, Consent]]:
        """Return lines with numbers below `before` (0: all), newest first, each with its number. Raises Unavailable."""

    async def suppress(self, app: str, user_id: str, suppression: Suppression) -> None:
        """Add a suppression, or replace the one of the same category and channel. Raises Unavailable."""

    async def unsuppress(self, app: str, user_id: str, category: str, channel: int) -> bool:
        """Remove a suppression; return whether there was one. Raises Unavailable."""

    async def set_too_many(self, app: str, user_id: str, too_many: bool) -> None:
        """Note whether the user finds it too many. Raises Unavailable."""

    async def opened(self, app: str, opened: Mapping[str, int]) -> None:
        """Note when users opened the app or a notification (user id -> Unix ms); older times change nothing."""
