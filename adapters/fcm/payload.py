"""A notification's content -> the HTTP v1 message, rendered once and completed by time to live and token at sending.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import orjson

from adapters.fcm.platforms import TTL_MARK, PlatformBlocks
from core.content.limits import FCM_MAX_BYTES, FCM_MAX_TTL_S, reserved_for_fcm
from core.content.message import Content, FcmOptions
from core.errors import ContentRefused
from core.model import NotificationClass

_NO_OPTIONS = FcmOptions()
_TARGETS = ("token", "topic", "condition")
_BEFORE = b'{"message":'
_BEFORE_DRY = b'{"validate_only":true,"message":'
_TOKEN = b',"token":"'
_END = b'"}}'
_LEAST_URGENT = int(NotificationClass.TRANSACTIONAL)
_TTL_DIGITS = len(str(FCM_MAX_TTL_S))


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


def render(
    content: Content, blocks: PlatformBlocks, klass: int, tag: str, expires_unix_s: int, *, collapses: bool
) -> FcmMessage:
    """Build the message; its time to live is relative to expiry, so a late retry gets a shorter one.

    tag: the collapse id, by which a copy replaces another on the screen. Deep link and media URLs that have no field of
    their own travel as data: deep_link, image_url, video_url.
    Raises ContentRefused for a reserved data key, a message over 4,096 bytes (the token apart) or a raw one that is not
    a message.
    """
    options = content.fcm or _NO_OPTIONS
    if options.raw_message_json:
        message = _raw(options.raw_message_json)[:-1]
    else:
        visible = not options.data_only and bool(content.title or content.body)
        # FCM refuses a link that is not https.
        link = content.deep_link if content.deep_link.startswith("https://") else ""
        shape = (
            klass <= _LEAST_URGENT, visible, content.sound, content.badge, content.thread_key,
            bool(content.image_url or content.video_url), bool(link), collapses, content.fcm,
        )  # fmt: skip
        message = _common(content, visible=visible) + blocks.render(shape, tag, expires_unix_s, link)
    parts = ((_BEFORE_DRY if options.validate_only else _BEFORE) + message).split(TTL_MARK)
    size = len(message) + 1 - (len(parts) - 1) * (len(TTL_MARK) - _TTL_DIGITS)
    if size > FCM_MAX_BYTES:
        raise ContentRefused("PayloadTooLarge", f"{size} bytes of message, FCM takes {FCM_MAX_BYTES}")
    return FcmMessage(parts)


def splice(shared: bytes, token: str) -> bytes:
    """Complete a rendered message for one device. Raises ValueError for a token that would need escaping in JSON."""
    if not token.isascii() or not token.isprintable() or '"' in token or "\\" in token:
        raise ValueError("not a registration token")
    return b"%b%b%b%b" % (shared, _TOKEN, token.encode(), _END)


def _common(content: Content, *, visible: bool) -> bytes:
    """Return the JSON of data and notification, without its last brace."""
    # Data is always there: an empty object would leave no place for a comma before what follows.
    common: dict[str, object] = {"data": _data(content)}
    if visible:
        notification = {}
        if content.title:
            notification["title"] = content.title
        if content.body:
            notification["body"] = content.body
        if content.image_url:
            notification["image"] = content.image_url
        common["notification"] = notification
    return orjson.dumps(common)[:-1]


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
