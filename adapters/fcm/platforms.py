"""The android, apns and webpush blocks of a message: what each platform is told beside the common part.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from core.content.message import FcmOptions

SILENT = "none"
_NO_OPTIONS = FcmOptions()
_MAX_SHAPES = 1_024
# Where each notification's own values come; random, so that no caller's text can hold them.
_MARKS = {name: secrets.token_hex(16) for name in ("ttl", "tag", "expires", "link")}
TTL_MARK = _MARKS["ttl"].encode()
_TAG_MARK, _EXPIRES_MARK, _LINK_MARK = (_MARKS[name].encode() for name in ("tag", "expires", "link"))


@dataclass(frozen=True, slots=True)
class Platforms:
    """Which platform blocks a message gets; without one, that platform shows the common part only."""

    android: bool = True
    apns: bool = True
    webpush: bool = True


class Shape(NamedTuple):
    """All that decides about the blocks beside tag, expiry and link.

    collapses: the caller gave a collapse key; only then is it one for Android, because FCM keeps four per device and
    slows collapsible messages down. tag replaces an earlier copy on the screen and costs nothing.
    """

    urgent: bool
    visible: bool
    sound: str
    badge: int
    thread_key: str
    has_media: bool
    has_link: bool
    collapses: bool
    options: FcmOptions | None


# A Shape's fields as a bare tuple, which costs a third of the time where shapes are only looked up.
ShapeFields = tuple[bool, bool, str, int, str, bool, bool, bool, FcmOptions | None]


class PlatformBlocks:
    """Renders the blocks of a shape once and puts each notification's own values in; keeps at most 1,024 shapes."""

    def __init__(self, platforms: Platforms) -> None:
        self._platforms = platforms
        self._known: dict[ShapeFields, bytes] = {}

    def render(self, shape: ShapeFields, tag: str, expires_unix_s: int, link: str) -> bytes:
        """Return the blocks as the inside of a JSON object that begins with a comma; TTL_MARK is left in it."""
        block = self._known.get(shape)
        if block is None:
            block = self._learn(shape)
        block = block.replace(_TAG_MARK, _inside(tag)).replace(_EXPIRES_MARK, b"%d" % expires_unix_s)
        return block.replace(_LINK_MARK, _inside(link)) if link else block

    def _learn(self, fields: ShapeFields) -> bytes:
        shape = Shape(*fields)
        if len(self._known) >= _MAX_SHAPES:
            self._known.clear()
        blocks: dict[str, object] = {}
        if self._platforms.android:
            blocks["android"] = _android(shape)
        if self._platforms.apns:
            blocks["apns"] = _apns(shape)
        if self._platforms.webpush:
            blocks["webpush"] = _webpush(shape)
        if shape.options and shape.options.analytics_label:
            blocks["fcm_options"] = {"analytics_label": shape.options.analytics_label}
        inside = orjson.dumps(blocks)[1:-1]
        block = self._known[fields] = b"," + inside if inside else b""
        return block


def _inside(text: str) -> bytes:
    """Escape a text for the inside of a JSON string."""
    return orjson.dumps(text)[1:-1]


def _android(shape: Shape) -> dict[str, object]:
    options = shape.options or _NO_OPTIONS
    android: dict[str, object] = {
        "priority": options.priority or ("high" if shape.urgent else "normal"),
        "ttl": _MARKS["ttl"] + "s",
    }
    if shape.collapses:
        android["collapse_key"] = _MARKS["tag"]
    if options.restricted_package_name:
        android["restricted_package_name"] = options.restricted_package_name
    if options.direct_boot_ok:
        android["direct_boot_ok"] = True
    if shape.visible:
        android["notification"] = _android_notification(shape)
    return android


def _android_notification(shape: Shape) -> dict[str, object]:
    options = shape.options or _NO_OPTIONS
    notification: dict[str, object] = {"tag": options.tag or _MARKS["tag"]}
    if options.channel_id:
        notification["channel_id"] = options.channel_id
    if options.icon:
        notification["icon"] = options.icon
    if options.color:
        notification["color"] = options.color
    if options.click_action:
        notification["click_action"] = options.click_action
    if shape.sound != SILENT:
        notification["sound"] = shape.sound or "default"
    if shape.badge >= 0:
        notification["notification_count"] = shape.badge
    return notification


def _apns(shape: Shape) -> dict[str, object]:
    headers = {"apns-expiration": _MARKS["expires"], "apns-priority": "10" if shape.visible else "5"}
    aps: dict[str, object] = {}
    if shape.visible:
        headers["apns-collapse-id"] = _MARKS["tag"]
        if shape.sound != SILENT:
            aps["sound"] = shape.sound or "default"
    else:
        headers["apns-push-type"] = "background"
        aps["content-available"] = 1
    if shape.badge >= 0:
        aps["badge"] = shape.badge
    if shape.thread_key:
        aps["thread-id"] = shape.thread_key
    if shape.has_media:
        aps["mutable-content"] = 1
    return {"headers": headers, "payload": {"aps": aps}}


def _webpush(shape: Shape) -> dict[str, object]:
    webpush: dict[str, object] = {
        "headers": {"TTL": _MARKS["ttl"], "Urgency": "high" if shape.urgent else "normal"}
    }
    if shape.visible and shape.has_link:
        webpush["fcm_options"] = {"link": _MARKS["link"]}
    return webpush
