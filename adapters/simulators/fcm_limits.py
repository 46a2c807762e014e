"""The rules on an FCM message that its shape alone does not tell: one target, key names, ttl, sizes.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

from adapters.simulators.fcm_schema import Violation

Part = Mapping[str, object]

MAX_BYTES = 4096
MAX_TTL_S = 2_419_200
TARGETS = ("token", "topic", "condition")
RESERVED_KEYS = frozenset(("from", "message_type"))
RESERVED_PREFIXES = ("google.", "gcm.")

_TTL = re.compile(r"([0-9]{1,12})(\.[0-9]{1,9})?s").fullmatch
_TOKEN = re.compile(r"[A-Za-z0-9_:%.\-]{8,4096}").fullmatch
_TOPIC = re.compile(r"(?:/topics/)?[A-Za-z0-9\-_.~%]{1,900}").fullmatch
_LABEL = re.compile(r"[A-Za-z0-9\-_.~%]{1,50}").fullmatch
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}").fullmatch


def limit_violations(message: Part) -> list[Violation]:
    """Return what is wrong with a message whose shape is right."""
    checks = (_targets, _data_keys, _android, _labels, _link, _size)
    return [violation for check in checks for violation in check(message)]


def part(message: Part, *names: str) -> object:
    """Return a field by its snake_case names, whichever of Google's two spellings was used; None if absent."""
    found: object = message
    for name in names:
        if not isinstance(found, Mapping):
            return None
        head, *rest = name.split("_")
        found = found.get(name, found.get(head + "".join(word.capitalize() for word in rest)))
    return found


def _targets(message: Part) -> Iterator[Violation]:
    named = [name for name in TARGETS if message.get(name)]
    if len(named) != 1:
        yield Violation("message", "exactly one of token, topic and condition expected")
        return
    target = cast("str", message[named[0]])
    if named[0] == "token" and not _TOKEN(target):
        yield Violation("message.token", "not a registration token")
    if named[0] == "topic" and not _TOPIC(target):
        yield Violation("message.topic", "not a topic name")


def _data_keys(message: Part) -> Iterator[Violation]:
    for path in (("data",), ("android", "data")):
        for key in cast("Part", part(message, *path) or {}):
            if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES):
                yield Violation(f"message.{'.'.join(path)}[{key}]", "a reserved key")


def _android(message: Part) -> Iterator[Violation]:
    android = message.get("android")
    if not isinstance(android, Mapping):
        return
    ttl, color = android.get("ttl"), part(android, "notification", "color")
    if ttl is not None:
        seconds = _TTL(cast("str", ttl))
        if seconds is None or int(seconds[1]) > MAX_TTL_S:
            yield Violation("message.android.ttl", f'seconds as "3.5s", up to {MAX_TTL_S}, expected')
    if color is not None and not _COLOR(cast("str", color)):
        yield Violation("message.android.notification.color", "#rrggbb expected")


def _labels(message: Part) -> Iterator[Violation]:
    for path in (("fcm_options",), ("android", "fcm_options"), ("apns", "fcm_options"), ("webpush", "fcm_options")):
        label = part(message, *path, "analytics_label")
        if label and not _LABEL(cast("str", label)):
            yield Violation(f"message.{'.'.join(path)}.analytics_label", "1 to 50 of A-Z a-z 0-9 - _ . ~ % expected")


def _link(message: Part) -> Iterator[Violation]:
    link = part(message, "webpush", "fcm_options", "link")
    if link and not cast("str", link).startswith("https://"):
        yield Violation("message.webpush.fcm_options.link", "an https URL expected")


def _size(message: Part) -> Iterator[Violation]:
    # Which bytes FCM counts is not published; texts and data are what reaches the device.
    counted = _text_bytes(message.get("notification")) + max(
        _text_bytes(message.get("data")),
        _text_bytes(part(message, "android", "data")) + _text_bytes(part(message, "android", "notification")),
        _text_bytes(part(message, "apns", "payload")),
    )
    if counted > MAX_BYTES:
        yield Violation("message", f"larger than {MAX_BYTES} bytes")


def _text_bytes(found: object) -> int:
    if isinstance(found, str):
        return len(found) if found.isascii() else len(found.encode())
    if isinstance(found, Mapping):
        return sum(_text_bytes(key) + _text_bytes(each) for key, each in found.items())
    if isinstance(found, list):
        return sum(_text_bytes(each) for each in found)
    return 0 if found is None else 4
