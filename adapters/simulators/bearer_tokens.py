"""Access tokens that a simulator issues and recognises: sealed with a secret, so that no process remembers them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

LIFETIME_S = 3599
CACHE_SIZE = 1024
_PREFIX = b"ya29."


class BearerTokens:
    """Issues and checks; clock_s gives unix seconds. revoke() makes every token issued before it worthless."""

    def __init__(self, secret: bytes, clock_s: Callable[[], float], lifetime_s: int = LIFETIME_S) -> None:
        self._secret = secret
        self._clock_s = clock_s
        self.lifetime_s = lifetime_s
        self._expiries: dict[bytes, int] = {}
        self._revoked_ms = 0

    def issue(self) -> str:
        """Return a new token, good for lifetime_s."""
        issued_ms = max(int(self._clock_s() * 1000), self._revoked_ms + 1)
        head = b"%d.%d.%s" % (issued_ms, issued_ms + self.lifetime_s * 1000, secrets.token_hex(8).encode())
        return (_PREFIX + head + b"." + self._seal(head)).decode()

    def is_good(self, authorization: bytes | None) -> bool:
        """Tell whether an authorization header's value is a live token of ours."""
        if authorization is None:
            return False
        expiry_ms = self._expiries.get(authorization)
        if expiry_ms is None:
            expiry_ms = self._open(authorization)
        return self._clock_s() * 1000 < expiry_ms

    def revoke(self) -> None:
        """Refuse every token issued up to now."""
        self._revoked_ms = int(self._clock_s() * 1000)
        self._expiries.clear()

    def _open(self, authorization: bytes) -> int:
        scheme, _, token = authorization.partition(b" ")
        head, _, seal = token.removeprefix(_PREFIX).rpartition(b".")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(seal, self._seal(head)):
            return 0
        issued_ms, expiry_ms, _ = head.split(b".")
        if int(issued_ms) <= self._revoked_ms:
            return 0
        if len(self._expiries) >= CACHE_SIZE:
            self._expiries.clear()
        self._expiries[authorization] = int(expiry_ms)
        return int(expiry_ms)

    def _seal(self, head: bytes) -> bytes:
        return hashlib.blake2b(head, key=self._secret, digest_size=16).hexdigest().encode()
