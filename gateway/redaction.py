"""The last defence of secrets in log lines: what a field or a text must not show is hashed or left out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

# Who logs these on purpose is wrong; they are caught here all the same.
HASHED = frozenset({"token", "tokens", "device_token", "push_token", "user_id", "idempotency_key"})
DROPPED = frozenset(
    {"payload", "body", "title", "data", "content", "authorization", "headers", "metadata", "key", "keys"}
)
SECRET_ENDINGS = ("_token", "_secret", "_password", "password", "private_key", "api_key", "jwt", "bearer", "credential")
REMOVED = "[redacted]"
MAX_TEXT = 8_192
MAX_DEPTH = 4
_IN_TEXT = re.compile(
    r"(?i)(bearer\s+)\S+"  # any bearer credential
    r"|(/3/device/)[^\s\"'?]+"  # the path of an APNs request
    r"|(/[up]/)[\w-]{60,}"  # a user's link, which whoever has it may use
    r"|()eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"  # a JSON web token
    r"|()(?<![0-9a-f])[0-9a-f]{64,}(?![0-9a-f])"  # an APNs token, a key's hash
    r"|()[\w-]{8,}:APA91[\w-]{20,}"  # an FCM registration token
    r"|()-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)


class Redactor:
    """A structlog processor; the hash is keyed, so that a line cannot be compared with a list of tokens."""

    def __init__(self, key: bytes | None = None) -> None:
        """key: up to 64 bytes; a random one when None, which makes hashes comparable within one run only."""
        self._key = key or os.urandom(32)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Redact one event in place."""
        for name, value in event.items():
            event[name] = self._field(name, value, 0)
        return event

    def hashed(self, value: object) -> str:
        """Return the keyed hash that stands for a value."""
        return "h:" + hashlib.blake2b(str(value).encode("utf-8", "replace"), key=self._key, digest_size=8).hexdigest()

    def _field(self, name: str, value: object, depth: int) -> object:
        lower = name.lower()
        if lower == "device_key" and isinstance(value, int):
            return f"{value & 0xFFFF_FFFF_FFFF_FFFF:016x}"
        if lower in HASHED:
            return self.hashed(value)
        if lower in DROPPED or lower.endswith(SECRET_ENDINGS):
            return REMOVED
        return self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, bytes):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping):
            if depth >= MAX_DEPTH:
                return REMOVED
            return {str(name): self._field(str(name), inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._value(inner, depth + 1) for inner in value] if depth < MAX_DEPTH else REMOVED
        return _IN_TEXT.sub(_blank, str(value)[:MAX_TEXT])


def _blank(match: re.Match[str]) -> str:
    return next((group for group in match.groups() if group), "") + REMOVED
