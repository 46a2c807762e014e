"""The shape of an FCM v1 `messages:send` body, and what of a given one does not fit it.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.simulators.fcm_checks import (
    Violation,
    camel_case,
    data,
    list_of,
    matching,
    message_of,
    of_type,
    one_of,
    strings,
    struct,
    time_to_live,
)

MAX_BYTES = 4096
TARGETS = ("token", "topic", "condition")

_STRING = of_type("string", str)
_BOOL = of_type("boolean", bool)
_INT = of_type("integer", int)
_FLOAT = of_type("number", float, int)
_LABEL = matching(r"[A-Za-z0-9\-_.~%]{1,50}", "1 to 50 of A-Z a-z 0-9 - _ . ~ % expected")

_ANALYTICS = message_of({"analytics_label": _LABEL})
_NOTIFICATION = message_of({"title": _STRING, "body": _STRING, "image": _STRING})
_COLOR = message_of(dict.fromkeys(("red", "green", "blue", "alpha"), _FLOAT))
_LIGHT = message_of({"color": _COLOR, "light_on_duration": _STRING, "light_off_duration": _STRING})
_ANDROID_NOTIFICATION = message_of(
    {
        **dict.fromkeys(
            (
                *("title", "body", "icon", "sound", "tag", "click_action", "body_loc_key", "title_loc_key"),
                *("channel_id", "ticker", "event_time", "image"),
            ),
            _STRING,
        ),
        **dict.fromkeys(
            ("sticky", "local_only", "default_sound", "default_vibrate_timings", "default_light_settings"), _BOOL
        ),
        "bypass_proxy_notification": _BOOL,
        "color": matching("#[0-9A-Fa-f]{6}", "#rrggbb expected"),
        "body_loc_args": list_of(_STRING),
        "title_loc_args": list_of(_STRING),
        "vibrate_timings": list_of(_STRING),
        "notification_count": _INT,
        "light_settings": _LIGHT,
        "notification_priority": one_of(
            *("PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT"),
            *("PRIORITY_HIGH", "PRIORITY_MAX"),
        ),
        "visibility": one_of("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
        "proxy": one_of("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
    }
)
_ANDROID = message_of(
    {
        "collapse_key": _STRING,
        "priority": one_of("NORMAL", "HIGH", "normal", "high"),
        "ttl": time_to_live,
        "restricted_package_name": _STRING,
        "data": data,
        "notification": _ANDROID_NOTIFICATION,
        "fcm_options": _ANALYTICS,
        "direct_boot_ok": _BOOL,
        "bandwidth_constrained_ok": _BOOL,
        "restricted_satellite_ok": _BOOL,
    }
)
_WEBPUSH = message_of(
    {
        "headers": strings,
        "data": strings,
        "notification": struct,
        "fcm_options": message_of({"link": matching("https://.+", "an https URL expected"), "analytics_label": _LABEL}),
    }
)
_APNS = message_of(
    {
        "headers": strings,
        "payload": struct,
        "fcm_options": message_of({"analytics_label": _LABEL, "image": _STRING}),
        "live_activity_token": _STRING,
    }
)
_BODY = message_of(
    {
        "validate_only": _BOOL,
        "message": message_of(
            {
                "name": _STRING,
                "data": data,
                "notification": _NOTIFICATION,
                "android": _ANDROID,
                "webpush": _WEBPUSH,
                "apns": _APNS,
                "fcm_options": _ANALYTICS,
                "token": matching(r"[A-Za-z0-9_:%.\-]{8,4096}", "not a registration token"),
                "topic": matching(r"(?:/topics/)?[A-Za-z0-9\-_.~%]{1,900}", "not a topic name"),
                "condition": _STRING,
            }
        ),
    }
)


def violations(body: Mapping[str, object], size: int) -> list[Violation]:
    """Return what is wrong with a decoded body of so many bytes of JSON."""
    wrong = _BODY(body)
    if wrong:
        return wrong
    message = body.get("message")
    if not isinstance(message, Mapping) or sum(bool(message.get(target)) for target in TARGETS) != 1:
        return [Violation("message", "exactly one of token, topic and condition expected")]
    # Texts and data are a part of the JSON, so a small body needs no count.
    if size > MAX_BYTES and counted_bytes(message) > MAX_BYTES:
        return [Violation("message", f"larger than {MAX_BYTES} bytes")]
    return []


def counted_bytes(message: Mapping[str, object]) -> int:
    """Return the bytes that count against the limit: what reaches the device. Google publishes no exact rule."""
    return _text_bytes(message.get("notification")) + max(
        _text_bytes(message.get("data")),
        _text_bytes(part(message, "android", "data")) + _text_bytes(part(message, "android", "notification")),
        _text_bytes(part(message, "apns", "payload")),
    )


def part(message: Mapping[str, object], *names: str) -> object:
    """Return a field by its snake_case names, whichever of Google's two spellings was used; None if absent."""
    found: object = message
    for name in names:
        if type(found) is not dict:
            return None
        value = found.get(name)
        found = found.get(camel_case(name)) if value is None and "_" in name else value
    return found


def _text_bytes(found: object) -> int:
    if isinstance(found, str):
        return len(found) if found.isascii() else len(found.encode())
    if isinstance(found, dict):
        return sum(_text_bytes(key) + _text_bytes(each) for key, each in found.items())
    if isinstance(found, list):
        return sum(_text_bytes(each) for each in found)
    return 0 if found is None else 4
