"""How users are packed into rows and back: compact JSON for policy, sealed JSON for what is personal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import orjson

from adapters.people.sealing import Sealer, place
from core.people import User
from core.policy.people import LockScreenDetail, QuietWindow, Recipient, Suppression
from core.values import Moment, Money, Value

NO_TAGS: Final[frozenset[str]] = frozenset()
DETAILS: Final = {int(detail): detail for detail in LockScreenDetail}


def pack_head(user: User) -> str:
    """Return what policy and content ask of a user that is not sealed, as JSON."""
    return orjson.dumps(
        (user.locale, user.time_zone, user.country, user.currency, int(user.lock_screen), user.tier, user.tags)
    ).decode()


def seal_private(user: User, sealer: Sealer) -> bytes:
    """Return what names the person, sealed."""
    if not (user.phone or user.email or user.birthday or user.external_ids):
        return b""
    plain = orjson.dumps((user.phone, user.email, user.birthday, user.external_ids))
    return sealer.seal(plain, place("users.private", user.app, user.user_id))


def seal_attributes(user: User, sealer: Sealer) -> bytes:
    """Return a user's attributes, sealed."""
    if not user.attributes:
        return b""
    plain = orjson.dumps(user.attributes, default=_told, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return sealer.seal(plain, place("users.attributes", user.app, user.user_id))


def open_attributes(sealed: bytes, app: str, user_id: str, sealer: Sealer) -> dict[str, Value]:
    """Return attributes as seal_attributes got them. Raises StoreFailure."""
    if not sealed:
        return {}
    told = orjson.loads(sealer.open(sealed, place("users.attributes", app, user_id)))
    return {name: _value(value) if type(value) is dict else value for name, value in told.items()}


def unpack_user(row: Sequence[object], sealer: Sealer) -> User:
    """Return a user from statements.USER_FIELDS. Raises StoreFailure."""
    user_id, app, head, last_open, created, updated, private, attributes = row
    assert isinstance(app, str)
    assert isinstance(user_id, str)
    assert isinstance(private, str)
    assert isinstance(attributes, str)
    assert isinstance(head, list)
    locale, zone, country, currency, detail, tier, tags = head
    phone, email, birthday, external_ids = "", "", "", {}
    if private:
        sealed = bytes.fromhex(private)
        phone, email, birthday, external_ids = orjson.loads(sealer.open(sealed, place("users.private", app, user_id)))
    return User(
        app, user_id, locale, zone, country, currency, phone, email, birthday, tier, tuple(tags),
        open_attributes(bytes.fromhex(attributes), app, user_id, sealer), external_ids, DETAILS[detail],
        _int(last_open), _int(created), _int(updated),
    )


def unpack_recipients(answer: bytes | str, app: str, sealer: Sealer) -> dict[str, Recipient]:
    """Return recipients from the answer to statements.RECIPIENTS, or to the one with attributes."""
    found: dict[str, Recipient] = {}
    details = DETAILS
    for user_id, last_open, too_many, head, (choices, suppressions, windows), sealed in orjson.loads(answer):
        locale, zone, country, currency, detail, tier, tags = head
        found[user_id] = Recipient(
            user_id, locale, zone, country, currency, details[detail], tier,
            frozenset(tags) if tags else NO_TAGS,
            {(category, channel): granted == 1 for category, channel, granted in choices} if choices else {},
            unpack_suppressions(suppressions) if suppressions else (),
            unpack_windows(windows) if windows else (),
            last_open, too_many == 1,
            open_attributes(bytes.fromhex(sealed), app, user_id, sealer) if sealed else {},
        )
    return found


def unpack_suppressions(rows: Sequence[Sequence[object]]) -> tuple[Suppression, ...]:
    """Return suppressions from [category, channel, includes_transactional, reason, end_unix_ms] each."""
    return tuple(
        Suppression(str(category), _int(channel), includes == 1, str(reason), _int(end))
        for category, channel, includes, reason, end in rows
    )


def unpack_windows(rows: Sequence[Sequence[object]]) -> tuple[QuietWindow, ...]:
    """Return windows from [start_minute, end_minute, weekdays, category, holidays] each."""
    return tuple(
        QuietWindow(_int(start), _int(end), _int(weekdays), str(category), holidays == 1)
        for start, end, weekdays, category, holidays in rows
    )


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _told(value: object) -> Mapping[str, object]:
    """Pack a value that JSON has no kind for."""
    if isinstance(value, Money):
        return {"money": [value.minor_units, value.currency]}
    if isinstance(value, Moment):
        return {"time": value.unix_ms}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    raise TypeError(f"{type(value).__name__} is no kind of value")


def _value(told: Mapping[str, object]) -> Value:
    ((kind, packed),) = told.items()
    if kind == "time":
        return Moment(_int(packed))
    if kind == "date":
        return date.fromisoformat(str(packed))
    assert isinstance(packed, list)
    return Money(packed[0], packed[1])
