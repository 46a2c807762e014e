"""Which images and videos the platforms show, by type and size, as far as an author's URL and declaration tell."""

from __future__ import annotations

from typing import NamedTuple

from core.content.templates import MediaFacts
from core.policy.people import Channel

_MB = 1_048_576
_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "bmp": "image/bmp",
    "webp": "image/webp", "mp4": "video/mp4", "m4v": "video/mp4", "mpg": "video/mpeg", "mpeg": "video/mpeg",
    "avi": "video/x-msvideo",
}  # fmt: skip


class _Platform(NamedTuple):
    name: str
    types: frozenset[str]
    max_bytes: int


# https://developer.apple.com/documentation/usernotifications/unnotificationattachment, Supported File Types
_IOS_IMAGE = _Platform("iOS", frozenset({"image/jpeg", "image/gif", "image/png"}), 10 * _MB)
_IOS_VIDEO = _Platform("iOS", frozenset({"video/mpeg", "video/mp4", "video/x-msvideo"}), 50 * _MB)
# https://firebase.google.com/docs/cloud-messaging/android/send-image and, for the types, FCM's Notification.image
_ANDROID_IMAGE = _Platform("Android", frozenset({"image/jpeg", "image/png", "image/bmp", "image/webp"}), 1 * _MB)
# Browsers and the app's own inbox load what they like; this keeps it to what all of them show.
_BROWSER_IMAGE = _Platform("browsers", frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}), 1 * _MB)
_APP_IMAGE = _Platform("the app", frozenset(kind for kind in _TYPES.values() if kind.startswith("image/")), 10 * _MB)
_APP_VIDEO = _Platform("the app", frozenset(kind for kind in _TYPES.values() if kind.startswith("video/")), 50 * _MB)

IMAGES: dict[Channel, tuple[_Platform, ...]] = {
    Channel.PUSH: (_IOS_IMAGE, _ANDROID_IMAGE),
    Channel.WEB_PUSH: (_BROWSER_IMAGE,),
    Channel.IN_APP: (_APP_IMAGE,),
}
# FCM has no field for a video; it travels as data, and the app shows what it can.
VIDEOS: dict[Channel, tuple[_Platform, ...]] = {
    Channel.PUSH: (_IOS_VIDEO, _APP_VIDEO),
    Channel.IN_APP: (_APP_VIDEO,),
}


class MediaVerdict(NamedTuple):
    """fault: why no platform of the channel shows it, "" if one does. warnings: which platforms do not."""

    fault: str = ""
    warnings: tuple[str, ...] = ()


def judge(url: str, facts: MediaFacts, platforms: tuple[_Platform, ...]) -> MediaVerdict:
    """Judge a file by its URL's ending or its declared type, and by its declared size.

    url: as far as the author wrote it out; "" where only values tell.
    """
    kind = facts.media_type or type_of(url)
    if kind is None:
        return MediaVerdict(f"has the ending of a type that is not known: {url[-16:]!r}")
    refusals = [why for one in platforms if (why := _refusal(one, kind, facts.bytes))]
    if len(refusals) == len(platforms):
        return MediaVerdict("; ".join(refusals))
    return MediaVerdict(warnings=tuple(refusals))


def type_of(url: str) -> str | None:
    """Return the type that a URL's ending tells, "" where it has none, None where it is no known one."""
    path = url.partition("?")[0].partition("#")[0].partition("://")[2]
    name = path.rpartition("/")[2] if "/" in path else ""
    _, dot, ending = name.rpartition(".")
    return _TYPES.get(ending.lower()) if dot else ""


def _refusal(platform: _Platform, kind: str, size: int) -> str:
    if kind and kind not in platform.types:
        return f"{platform.name} shows no {kind}"
    if size > platform.max_bytes:
        return f"{platform.name} shows at most {platform.max_bytes // _MB} MB"
    return ""
