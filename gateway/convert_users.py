"""Users <-> proto, each refusal naming its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from core.content.locales import parse_tag
from core.content.money import is_currency
from core.errors import InvalidRequest
from core.people import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, User, UserChange, attribute_bytes
from core.policy.people import LockScreenDetail
from core.policy.zones import is_country, is_zone
from core.values import Value
from gateway.convert import Scope
from gateway.convert_values import from_value, to_date, to_value
from gateway.fields import bounded, required, timestamp_unix_ms
from gateway.receipts import to_timestamp
from gateway.scopes import require_app
from protos.walletpush.v1 import user_pb2 as pb

# Callers' clocks may be ahead of ours by so much; a moment within it counts as now.
MAX_AHEAD_MS = 60_000
_MAX_PATHS = 200
_MAX_TAGS = 64
_MAX_EXTERNAL_IDS = 16
_ATTRIBUTE = "attributes."
_NAME = re.compile(r"[a-z0-9_]{1,64}")
# https://www.itu.int/rec/T-REC-E.164: at most 15 digits; no country's numbers are shorter than 7 with its code.
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
# What RFC 5321 allows without quotes, and beyond ASCII by RFC 6531; whether it exists only a message can tell.
_EMAIL = re.compile(r"""[^\s@<>()\[\]\\,;:"]{1,64}@[^\s@<>()\[\]\\,;:"_.]+(\.[^\s@<>()\[\]\\,;:"_.]+)+""")
_DETAILS = {int(detail): detail for detail in LockScreenDetail}


def to_change(field: str, told: pb.User, mask: FieldMask | None, scope: Scope, now_unix_ms: int) -> UserChange:
    """Return what a request changes: the fields of the mask, or without one those that are set. Raises InvalidRequest.

    Fields that are not stored are not looked at.
    """
    app = require_app(scope, f"{field}.app", told.app)
    values: dict[str, object] = {}
    attributes: dict[str, Value] = {}
    fields: set[str] = set()
    for path in _set_paths(told) if mask is None or not mask.paths else _named_paths(mask):
        if path in _FIELDS:
            name, is_usual, convert = _FIELDS[path]
            value = getattr(told, path)
            # What is usual needs no path that only a refusal would tell.
            values[name] = value if is_usual(value) else convert(f"{field}.{path}", told)
            fields.add(name)
        elif path == "attributes":
            attributes |= _attributes(f"{field}.attributes", told)
            fields.add(path)
        else:
            name = path.removeprefix(_ATTRIBUTE)
            if name in told.attributes:
                attributes[name] = to_value(f"{field}.{path}", told.attributes[name])
            fields.add(path)
    opened = values.get("last_open_unix_ms")
    if isinstance(opened, int):
        values["last_open_unix_ms"] = not_ahead(f"{field}.last_open_time", opened, now_unix_ms)
    user_id = required(f"{field}.user_id", told.user_id, 128)
    # mypy cannot tell the fields of a dictionary apart.
    return UserChange(User(app, user_id, attributes=attributes, **values), frozenset(fields))  # type: ignore[arg-type]


def not_ahead(field: str, unix_ms: int, now_unix_ms: int) -> int:
    """Return a moment that is past, or now if another clock is a little ahead. Raises InvalidRequest."""
    if unix_ms > now_unix_ms + MAX_AHEAD_MS:
        raise InvalidRequest(field, "lies in the future")
    return min(unix_ms, now_unix_ms)


def from_user(user: User) -> pb.User:
    """Return a user as proto."""
    told = pb.User(
        app=user.app, user_id=user.user_id, locale=user.locale, time_zone=user.time_zone, country=user.country,
        phone=user.phone, email=user.email, birthday=user.birthday, tier=user.tier, tags=user.tags,
        attributes={name: from_value(value) for name, value in user.attributes.items()},
        external_ids=user.external_ids, lock_screen_detail=_ENUM.Name(int(user.lock_screen)), currency=user.currency,
        create_time=to_timestamp(user.created_unix_ms), update_time=to_timestamp(user.updated_unix_ms),
    )  # fmt: skip
    if user.last_open_unix_ms:
        told.last_open_time.CopyFrom(to_timestamp(user.last_open_unix_ms))
    return told


def locale_tag(field: str, value: str) -> str:
    """Return a BCP 47 tag whose language is known, or "" for none. Raises InvalidRequest."""
    if bounded(field, value, 35) and parse_tag(value) is None:
        raise InvalidRequest(field, "must be a BCP 47 tag such as zh-CN")
    return value


def zone_name(field: str, value: str) -> str:
    """Return an IANA time zone, or "" for none. Raises InvalidRequest."""
    if bounded(field, value, 64) and not is_zone(value):
        raise InvalidRequest(field, "must be an IANA time zone such as Asia/Shanghai")
    return value


def _set_paths(told: pb.User) -> Iterator[str]:
    for path in _FIELDS:
        # A message is true even where it is not set.
        if getattr(told, path) and (path != "last_open_time" or told.HasField(path)):
            yield path
    if told.attributes:
        yield "attributes"


def _named_paths(mask: FieldMask) -> list[str]:
    if len(mask.paths) > _MAX_PATHS:
        raise InvalidRequest("update_mask", f"at most {_MAX_PATHS} paths, not {len(mask.paths):,}")
    for path in mask.paths:
        name = path.removeprefix(_ATTRIBUTE) if path.startswith(_ATTRIBUTE) else None
        if path in _IDENTITY or (path not in _KNOWN if name is None else not _NAME.fullmatch(name)):
            raise InvalidRequest("update_mask", f"{path[:80]!r} is no field of a user that can be changed")
    return [path for path in dict.fromkeys(mask.paths) if path not in _OURS]


def _phone(field: str, told: pb.User) -> str:
    if told.phone and not _PHONE.fullmatch(told.phone):
        raise InvalidRequest(field, "must be an E.164 number such as +8613800138000")
    return told.phone


def _email(field: str, told: pb.User) -> str:
    if bounded(field, told.email, 254) and not _EMAIL.fullmatch(told.email):
        raise InvalidRequest(field, "must be an address such as lin@example.com")
    return told.email


def _birthday(field: str, told: pb.User) -> str:
    text = told.birthday
    try:
        # 2000 had a 29th of February.
        if not text or to_date(field, f"2000-{text[2:]}" if text.startswith("--") else text).year >= 1900:
            return text
    except InvalidRequest:
        pass
    raise InvalidRequest(field, "must be a day of the form YYYY-MM-DD or --MM-DD, not before 1900")


def _country(field: str, told: pb.User) -> str:
    if told.country and not is_country(told.country):
        raise InvalidRequest(field, "must be an ISO 3166-1 code of two capital letters, such as CN")
    return told.country


def _currency(field: str, told: pb.User) -> str:
    if told.currency and not is_currency(told.currency):
        raise InvalidRequest(field, "must be an ISO 4217 code such as CNY")
    return told.currency


def _tags(field: str, told: pb.User) -> tuple[str, ...]:
    if len(told.tags) > _MAX_TAGS:
        raise InvalidRequest(field, f"at most {_MAX_TAGS}, not {len(told.tags):,}")
    for n, tag in enumerate(told.tags):
        if not _is_short(tag) or not tag:
            required(f"{field}[{n}]", tag, 64)
    return tuple(dict.fromkeys(told.tags))


def _attributes(field: str, told: pb.User) -> dict[str, Value]:
    if len(told.attributes) > MAX_ATTRIBUTES:
        raise InvalidRequest(field, f"at most {MAX_ATTRIBUTES}, not {len(told.attributes):,}")
    values: dict[str, Value] = {}
    entries = told.attributes
    # entries.items() goes through the abstract Mapping and takes twice as long.
    for name in entries:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(field, f"name {name[:64]!r} must be 1 to 64 of a-z 0-9 _")
        values[name] = to_value(f"{field}.{name}", entries[name])
    if attribute_bytes(values) > MAX_ATTRIBUTE_BYTES:
        raise InvalidRequest(field, f"at most {MAX_ATTRIBUTE_BYTES:,} bytes in all, not {attribute_bytes(values):,}")
    return values


def _external_ids(field: str, told: pb.User) -> Mapping[str, str]:
    if len(told.external_ids) > _MAX_EXTERNAL_IDS:
        raise InvalidRequest(field, f"at most {_MAX_EXTERNAL_IDS}, not {len(told.external_ids):,}")
    ids = {system: told.external_ids[system] for system in told.external_ids}
    for system, one in ids.items():
        if not (system and one and _is_short(system) and _is_short(one)):
            required(field, system, 128)
            required(f"{field}[{system[:64]}]", one, 128)
    return ids


def _detail(field: str, told: pb.User) -> LockScreenDetail:
    detail = _DETAILS.get(told.lock_screen_detail)
    if detail is None:
        raise InvalidRequest(field, f"unknown detail {told.lock_screen_detail}")
    return detail


def _last_open(field: str, told: pb.User) -> int:
    return timestamp_unix_ms(field, told.last_open_time) if told.HasField("last_open_time") else 0


def _is_short(text: str) -> bool:
    """Tell whether a text fits every limit here without being encoded, and holds no control characters."""
    return len(text) <= 16 and text.isprintable()


def _is_plain_tag(tag: str) -> bool:
    return len(tag) <= 35 and tag.isprintable() and parse_tag(tag) is not None


def _is_plain_email(email: str) -> bool:
    return len(email) < 64 and email.isprintable() and _EMAIL.fullmatch(email) is not None


def _never(value: object) -> bool:
    return False


_ENUM = pb.LockScreenDetail
_IDENTITY = frozenset({"app", "user_id"})
_OURS = frozenset({"create_time", "update_time"})
# By path: the field's name in User, what is taken as it stands, and what converts or refuses all else.
_FIELDS: dict[str, tuple[str, Callable[[Any], object], Callable[[str, pb.User], object]]] = {
    "locale": ("locale", _is_plain_tag, lambda field, told: locale_tag(field, told.locale)),
    "time_zone": ("time_zone", is_zone, lambda field, told: zone_name(field, told.time_zone)),
    "country": ("country", is_country, _country),
    "phone": ("phone", _PHONE.fullmatch, _phone),
    "email": ("email", _is_plain_email, _email),
    "birthday": ("birthday", _never, _birthday),
    "tier": ("tier", _is_short, lambda field, told: bounded(field, told.tier, 64)),
    "tags": ("tags", _never, _tags),
    "external_ids": ("external_ids", _never, _external_ids),
    "lock_screen_detail": ("lock_screen", _never, _detail),
    "currency": ("currency", is_currency, _currency),
    "last_open_time": ("last_open_unix_ms", _never, _last_open),
}
_KNOWN = _FIELDS.keys() | _OURS | {"attributes"}
