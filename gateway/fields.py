"""Checks of single fields that come from outside: length, form and range, each refusal naming its field."""

from __future__ import annotations

import re
from typing import Protocol

from core.errors import InvalidRequest
from core.model import Provider

_URL = re.compile(r"https://[^\s\x00-\x1f\x7f\"<>\\^`{|}]{1,2040}")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,63}):[^\s\x00-\x1f\x7f\"<>\\^`{|}]{1,2046}")
_APNS = int(Provider.APNS)
_UNSAFE_SCHEMES = frozenset({"javascript", "data", "vbscript", "file"})
_FCM_TOKEN = re.compile(r"[A-Za-z0-9_:\-.=%/+,]{1,4096}")
_HEADER = re.compile(r"[!-~]*")
_MAX_NUMBER = (1 << 63) - 1
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Stamp(Protocol):
    """google.protobuf.Timestamp, as far as it is read here."""

    @property
    def seconds(self) -> int: ...
    @property
    def nanos(self) -> int: ...


def bounded(field: str, value: str, max_bytes: int) -> str:
    """Return value if its UTF-8 form fits max_bytes and it holds no control characters. Raises InvalidRequest."""
    if not value:
        return value
    # No character takes more than 4 bytes, so most strings need no encoding to be known short enough.
    if len(value) * 4 > max_bytes and len(value.encode()) > max_bytes:
        raise InvalidRequest(field, f"at most {max_bytes:,} bytes, not {len(value.encode()):,}")
    if not value.isprintable() and _CONTROL.search(value):
        raise InvalidRequest(field, "holds control characters")
    return value


def required(field: str, value: str, max_bytes: int) -> str:
    """Return value if it is not empty and bounded. Raises InvalidRequest."""
    if not value:
        raise InvalidRequest(field, "is required")
    return bounded(field, value, max_bytes)


def header_safe(field: str, value: str, max_bytes: int) -> str:
    """Return value if it fits max_bytes and may stand in an HTTP header: visible ASCII alone. Raises InvalidRequest."""
    if not _HEADER.fullmatch(bounded(field, value, max_bytes)):
        raise InvalidRequest(field, "visible ASCII without spaces only: it travels in an HTTP header")
    return value


def https_url(field: str, value: str) -> str:
    """Return value if empty or an absolute https URL of at most 2,048 bytes. Raises InvalidRequest."""
    if value and not (value.isascii() and _URL.fullmatch(value)):
        raise InvalidRequest(field, "must be an https URL of at most 2,048 ASCII bytes")
    return value


def deep_link(field: str, value: str) -> str:
    """Return value if empty or a URI with a scheme that cannot run script. Raises InvalidRequest."""
    if not value:
        return value
    matched = _URI.fullmatch(value)
    if matched is None or len(value.encode()) > 2_048:
        raise InvalidRequest(field, "must be a URI with a scheme, of at most 2,048 bytes")
    if matched[1].lower() in _UNSAFE_SCHEMES:
        raise InvalidRequest(field, f"scheme {matched[1]!r} is not allowed")
    return value


def check_token(field: str, token: str, provider: int) -> str:
    """Return the token in canonical form (APNs: lower-case hex) if well-formed for its provider. Raises InvalidRequest.

    APNs does not fix the length of a token: any even number of hex digits up to 512 passes.
    """
    if provider == _APNS:
        if token and len(token) <= 512:
            try:
                canonical = bytes.fromhex(token).hex()
            except ValueError:
                canonical = ""
            # bytes.fromhex skips white space, which is no part of a token.
            if canonical and len(canonical) == len(token):
                return canonical
        raise InvalidRequest(field, "an APNs token is 2 to 512 hexadecimal digits, an even number of them")
    if not _FCM_TOKEN.fullmatch(token):
        raise InvalidRequest(field, "an FCM token is 1 to 4,096 of A-Z a-z 0-9 _ : - . = % / + ,")
    return token


def before_number(field: str, token: str) -> int:
    """Return the line's number that a page token holds, 0 for an empty one. Raises InvalidRequest."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and 0 < int(token[:20]) <= _MAX_NUMBER):
        raise InvalidRequest(field, "must be one from an earlier answer")
    return int(token)


def timestamp_unix_ms(field: str, stamp: Stamp) -> int:
    """Return milliseconds since the epoch of a valid google.protobuf.Timestamp. Raises InvalidRequest.

    Source: https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp
    """
    if not (0 <= stamp.seconds <= 253_402_300_799 and 0 <= stamp.nanos <= 999_999_999):
        raise InvalidRequest(field, "not a valid timestamp between 1970 and 9999")
    return stamp.seconds * 1_000 + stamp.nanos // 1_000_000
