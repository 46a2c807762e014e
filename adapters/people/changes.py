"""The changes that the writer of users is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection

from core.errors import Failure, Refusal
from core.people import Consent, UserChange
from core.policy.people import QuietWindow, Suppression


class Upsert(NamedTuple):
    """Users to create or change; with `each` one that is refused does not stop the others."""

    changes: Sequence[UserChange]
    now_unix_ms: int
    each: bool = False


class Record(NamedTuple):
    """What a user said. windows: replaces their quiet windows, unless None."""

    app: str
    user_id: str
    consents: Sequence[Consent]
    now_unix_ms: int
    windows: Sequence[QuietWindow] | None = None


class Opened(NamedTuple):
    """When users opened the app: user id -> Unix ms."""

    app: str
    opened: Mapping[str, int]


class Suppress(NamedTuple):
    """A suppression to add or replace."""

    app: str
    user_id: str
    suppression: Suppression


class Unsuppress(NamedTuple):
    """A suppression to take back."""

    app: str
    user_id: str
    category: str
    channel: int


class SetTooMany(NamedTuple):
    """Whether a user finds it too many."""

    app: str
    user_id: str
    too_many: bool


class Merge(NamedTuple):
    """Two users who are one."""

    app: str
    from_user_id: str
    into_user_id: str
    now_unix_ms: int


class Remove(NamedTuple):
    """A user to delete; with `history` what they said goes too."""

    app: str
    user_id: str
    history: bool


class Reseal(NamedTuple):
    """The next users whose seals may be old, after (user_id, app) in their order."""

    user_id: str
    app: str
    most: int


class Resealed(NamedTuple):
    """How far resealing came: the last user seen, how many were seen and changed; none seen: the end."""

    user_id: str
    app: str
    seen: int
    changed: int


class Stepped(NamedTuple):
    """What a step looked at, and how many rows it changed."""

    seen: int
    rows: int


class Step(NamedTuple):
    """A short piece of upkeep, done within the commit that its turn comes in."""

    work: Callable[[Connection], Stepped]


Change: TypeAlias = (
    Upsert | Record | Opened | Suppress | Unsuppress | SetTooMany | Merge | Remove | Reseal | Step
)
Stored: TypeAlias = list[bool | Refusal]
Counts: TypeAlias = dict[str, int]
# A Failure is the change's own, found before anything of it was written.
Answer: TypeAlias = Stored | Counts | Resealed | Stepped | Refusal | Failure | bool
