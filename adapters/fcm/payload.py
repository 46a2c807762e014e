"""A notification's content -> the HTTP v1 message, rendered once and completed by each device's token.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import orjson

from core.content.limits import FCM_MAX_BYTES, FCM_MAX_TTL_S, reserved_for_fcm
from core.content.message import Content, FcmOptions
from core.errors import ContentRefused
from core.model import NotificationClass

SILENT = "none"
TOKEN_FIELD = b',"token":"'
END = b'"}}'
_NO_OPTIONS = FcmOptions()
# Where the time to live comes; random, so that no caller's text can hold it.
_TTL_MARK = secrets.token_hex(16)
_TARGETS = ("token", "topic", "condition")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What of a notification, beside its content, goes into the message.

    collapse_key: "" unless the caller gave one, because FCM keeps four per device and slows collapsible messages down.
    tag replaces an earlier copy on the screen and costs nothing.
    """

    klass: int
    tag: str
    collapse_key: str
    expires_unix_s: int


@dataclass(frozen=True, slots=True)
class Platforms:
    """Which platform blocks a message gets; without one, that platform shows the common part only."""

    android: bool = True
    apns: bool = True
    webpush: bool = True


class FcmMessage:
    """A rendered message without its time to live and its token, which come with each sending."""

    __slots__ = ("_parts", "_shared", "_ttl_s")

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts
        self._ttl_s = -1
        self._shared = b""

    def shared(self, ttl_s: int) -> bytes:
        """Return the body up to the token; it is kept, since a batch sends to many devices within the same second."""
        if ttl_s != self._ttl_s:
            self._ttl_s = ttl_s
            self._shared = (b"%d" % min(max(ttl_s, 0), FCM_MAX_TTL_S)).join(self._parts)
        return self._shared


def render(content: Content, delivered: Delivered, platforms: Platforms) -> FcmMessage:
    """Build the message; what it says of itself is relative to expiry, so a late retry gets a shorter time to live.

    Deep link and media URLs that have no field of their own travel as data: deep_link, image_url, video_url.
    Raises ContentRefused for a reserved data key, a message over 4,096 bytes (the token apart) or a raw one that is not
    a message.
    """
    options = content.fcm or _NO_OPTIONS
    if options.raw_message_json:
        message = _raw(options.raw_message_json)
    else:
        message = orjson.dumps(_message(content, options, delivered, platforms))
    if len(message) > FCM_MAX_BYTES:
        raise ContentRefused("PayloadTooLarge", f"{len(message)} bytes of message, FCM takes {FCM_MAX_BYTES}")
    head = b'{"validate_only":true,"message":' if options.validate_only else b'{"message":'
    return FcmMessage((head + message[:-1]).split(_TTL_MARK.encode()))


def splice(shared: bytes, token: str) -> bytes:
    """Complete a rendered message for one device. Raises ValueError for a token that would need escaping in JSON."""
    if not token.isascii() or not token.isprintable() or '"' in token or "\\" in token:
        raise ValueError("not a registration token")
    return b"%b%b%b%b" % (shared, TOKEN_FIELD, token.encode("ascii"), END)


def _message(content: Content, options: FcmOptions, delivered: Delivered, platforms: Platforms) -> dict[str, object]:
    # An empty message would leave no comma before the token, so data is always there.
    message: dict[str, object] = {"data": _data(content)}
    visible = not options.data_only and bool(content.title or content.body)
    if visible:
        message["notification"] = _notification(content)
    if platforms.android:
        message["android"] = _android(content, options, delivered, visible=visible)
    if platforms.apns:
        message["apns"] = _apns(content, delivered, visible=visible)
    if platforms.webpush:
        message["webpush"] = _webpush(content, delivered, visible=visible)
    if options.analytics_label:
        message["fcm_options"] = {"analytics_label": options.analytics_label}
    return message


def _notification(content: Content) -> dict[str, str]:
    notification = {}
    if content.title:
        notification["title"] = content.title
    if content.body:
        notification["body"] = content.body
    if content.image_url:
        notification["image"] = content.image_url
    return notification


def _data(content: Content) -> dict[str, str]:
    data = dict(content.data) if content.data else {}
    for key in data:
        if reserved_for_fcm(key):
            raise ContentRefused("INVALID_ARGUMENT", f"data key {key!r} belongs to FCM")
    if content.deep_link:
        data["deep_link"] = content.deep_link
    if content.image_url:
        data["image_url"] = content.image_url
    if content.video_url:
        data["video_url"] = content.video_url
    return data


def _urgent(delivered: Delivered) -> bool:
    return delivered.klass <= NotificationClass.TRANSACTIONAL


def _android(content: Content, options: FcmOptions, delivered: Delivered, *, visible: bool) -> dict[str, object]:
    android: dict[str, object] = {
        "priority": options.priority or ("high" if _urgent(delivered) else "normal"),
        "ttl": _TTL_MARK + "s",
    }
    if delivered.collapse_key:
        android["collapse_key"] = delivered.collapse_key
    if options.restricted_package_name:
        android["restricted_package_name"] = options.restricted_package_name
    if options.direct_boot_ok:
        android["direct_boot_ok"] = True
    if visible:
        android["notification"] = _android_notification(content, options, delivered)
    return android


def _android_notification(content: Content, options: FcmOptions, delivered: Delivered) -> dict[str, object]:
    notification: dict[str, object] = {"tag": options.tag or delivered.tag}
    if options.channel_id:
        notification["channel_id"] = options.channel_id
    if options.icon:
        notification["icon"] = options.icon
    if options.color:
        notification["color"] = options.color
    if options.click_action:
        notification["click_action"] = options.click_action
    if content.sound != SILENT:
        notification["sound"] = content.sound or "default"
    if content.badge >= 0:
        notification["notification_count"] = content.badge
    return notification


def _apns(content: Content, delivered: Delivered, *, visible: bool) -> dict[str, object]:
    headers = {"apns-expiration": str(delivered.expires_unix_s), "apns-priority": "10" if visible else "5"}
    aps: dict[str, object] = {}
    if visible:
        headers["apns-collapse-id"] = delivered.tag
        if content.sound != SILENT:
            aps["sound"] = content.sound or "default"
    else:
        headers["apns-push-type"] = "background"
        aps["content-available"] = 1
    if content.badge >= 0:
        aps["badge"] = content.badge
    if content.thread_key:
        aps["thread-id"] = content.thread_key
    if content.image_url or content.video_url:
        aps["mutable-content"] = 1
    return {"headers": headers, "payload": {"aps": aps}}


def _webpush(content: Content, delivered: Delivered, *, visible: bool) -> dict[str, object]:
    headers = {"TTL": _TTL_MARK, "Urgency": "high" if _urgent(delivered) else "normal"}
    webpush: dict[str, object] = {"headers": headers}
    # FCM refuses a link that is not https.
    if visible and content.deep_link.startswith("https://"):
        webpush["fcm_options"] = {"link": content.deep_link}
    return webpush


def _raw(text: bytes) -> bytes:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ContentRefused("INVALID_ARGUMENT", f"raw_message_json is not JSON: {exc}") from exc
    if not isinstance(message, dict) or not message:
        raise ContentRefused("INVALID_ARGUMENT", "raw_message_json is not a JSON object, or an empty one")
    for target in _TARGETS:
        if target in message:
            raise ContentRefused("INVALID_ARGUMENT", f"raw_message_json names a {target}, which the gateway adds")
    return orjson.dumps(message)
