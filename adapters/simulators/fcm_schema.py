"""The shape of an FCM v1 `messages:send` body, and what of a given one does not fit it.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

Check = Callable[[object, str], Iterator["Violation"]]


class Violation(NamedTuple):
    """A field that is wrong; field is a path such as `message.android.ttl`. unknown: there is no such field."""

    field: str
    why: str
    unknown: bool = False


def _scalar(kind: type, name: str) -> Check:
    def check(found: object, path: str) -> Iterator[Violation]:
        # bool is an int to Python, not to JSON.
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            yield Violation(path, f"{name} expected")

    return check


def _one_of(*names: str) -> Check:
    def check(found: object, path: str) -> Iterator[Violation]:
        if found not in names:
            yield Violation(path, f"one of {', '.join(names)} expected")

    return check


def _list_of(item: Check) -> Check:
    def check(found: object, path: str) -> Iterator[Violation]:
        if not isinstance(found, list):
            yield Violation(path, "array expected")
            return
        for index, each in enumerate(found):
            yield from item(each, f"{path}[{index}]")

    return check


def _strings(found: object, path: str) -> Iterator[Violation]:
    if not isinstance(found, dict):
        yield Violation(path, "object expected")
        return
    for key, text in found.items():
        if not isinstance(text, str):
            yield Violation(f"{path}[{key}]", "string expected")


def _struct(found: object, path: str) -> Iterator[Violation]:
    if not isinstance(found, dict):
        yield Violation(path, "object expected")


def _message(fields: Mapping[str, Check]) -> Check:
    # Google's JSON takes both spellings of a field's name.
    known = {**{_camel(name): check for name, check in fields.items()}, **fields}

    def check(found: object, path: str) -> Iterator[Violation]:
        if not isinstance(found, dict):
            yield Violation(path, "object expected")
            return
        for name, part in found.items():
            if name not in known:
                yield Violation(path, f'no field "{name}" here', unknown=True)
            elif part is not None:
                yield from known[name](part, f"{path}.{name}" if path else name)

    return check


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_STRING = _scalar(str, "string")
_BOOL = _scalar(bool, "boolean")
_INT = _scalar(int, "integer")
_FLOAT = _scalar((int, float), "number")  # type: ignore[arg-type]

_ANALYTICS = _message({"analytics_label": _STRING})
_NOTIFICATION = _message({"title": _STRING, "body": _STRING, "image": _STRING})
_COLOR = _message(dict.fromkeys(("red", "green", "blue", "alpha"), _FLOAT))
_LIGHT = _message({"color": _COLOR, "light_on_duration": _STRING, "light_off_duration": _STRING})
_ANDROID_NOTIFICATION = _message(
    {
        **dict.fromkeys(
            (
                *("title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "title_loc_key"),
                *("channel_id", "ticker", "event_time", "image"),
            ),
            _STRING,
        ),
        **dict.fromkeys(
            ("sticky", "local_only", "default_sound", "default_vibrate_timings", "default_light_settings"), _BOOL
        ),
        "bypass_proxy_notification": _BOOL,
        "body_loc_args": _list_of(_STRING),
        "title_loc_args": _list_of(_STRING),
        "vibrate_timings": _list_of(_STRING),
        "notification_count": _INT,
        "light_settings": _LIGHT,
        "notification_priority": _one_of(
            *("PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT"),
            *("PRIORITY_HIGH", "PRIORITY_MAX"),
        ),
        "visibility": _one_of("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
        "proxy": _one_of("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
    }
)
_ANDROID = _message(
    {
        "collapse_key": _STRING,
        "priority": _one_of("NORMAL", "HIGH", "normal", "high"),
        "ttl": _STRING,
        "restricted_package_name": _STRING,
        "data": _strings,
        "notification": _ANDROID_NOTIFICATION,
        "fcm_options": _ANALYTICS,
        "direct_boot_ok": _BOOL,
        "bandwidth_constrained_ok": _BOOL,
        "restricted_satellite_ok": _BOOL,
    }
)
_WEBPUSH = _message(
    {
        "headers": _strings,
        "data": _strings,
        "notification": _struct,
        "fcm_options": _message({"link": _STRING, "analytics_label": _STRING}),
    }
)
_APNS = _message(
    {
        "headers": _strings,
        "payload": _struct,
        "fcm_options": _message({"analytics_label": _STRING, "image": _STRING}),
        "live_activity_token": _STRING,
    }
)
_BODY = _message(
    {
        "validate_only": _BOOL,
        "message": _message(
            {
                "name": _STRING,
                "data": _strings,
                "notification": _NOTIFICATION,
                "android": _ANDROID,
                "webpush": _WEBPUSH,
                "apns": _APNS,
                "fcm_options": _ANALYTICS,
                "token": _STRING,
                "topic": _STRING,
                "condition": _STRING,
            }
        ),
    }
)


def schema_violations(body: object) -> list[Violation]:
    """Return the fields of a decoded body that are unknown or of another type than they should be."""
    return list(_BODY(body, ""))
