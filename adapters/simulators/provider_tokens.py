"""Judges APNs provider tokens (JWT) as APNs does: signature, key, team, age, and how often they change.

Source: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from adapters.simulators.answer import Refusal

MAX_AGE_S = 3600
UPDATE_WINDOW_S = 20 * 60
# Apple publishes no tolerance for a clock that runs ahead; a minute covers any machine with NTP.
MAX_AHEAD_S = 60
CACHE_SIZE = 4096


MISSING = Refusal(403, "MissingProviderToken")
INVALID = Refusal(403, "InvalidProviderToken")
EXPIRED = Refusal(403, "ExpiredProviderToken")
TOO_MANY_UPDATES = Refusal(429, "TooManyProviderTokenUpdates")


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A team's signing key. topics: all of the team's if None. sandbox: valid in both environments if None."""

    key_id: str
    team_id: str
    public_key: EllipticCurvePublicKey
    topics: frozenset[str] | None = None
    sandbox: bool | None = None


class Grant(NamedTuple):
    """A valid provider token: who signed it and when, in unix seconds."""

    key: ProviderKey
    issued_s: int


class ProviderTokens:
    """Verifies each distinct token once; clock_s gives unix seconds.

    updates_per_window: how many different tokens of one key are taken within 20 minutes. Apple's figure is not
    published; only that a token must not be renewed more often than once in that time.
    """

    def __init__(
        self, keys: Mapping[str, ProviderKey], clock_s: Callable[[], float], updates_per_window: int = 4
    ) -> None:
        self._keys = keys
        self._clock_s = clock_s
        self._updates_per_window = updates_per_window
        self._known: dict[bytes, Grant | Refusal] = {}
        self._updates: dict[str, deque[float]] = {key_id: deque() for key_id in keys}

    def judge(self, authorization: bytes) -> Grant | Refusal:
        """Return the grant of an authorization header's value, or why there is none."""
        verdict = self._known.get(authorization)
        if verdict is None:
            verdict = self._verify(authorization)
        if isinstance(verdict, Grant) and self._clock_s() - verdict.issued_s > MAX_AGE_S:
            return EXPIRED
        return verdict

    def _verify(self, authorization: bytes) -> Grant | Refusal:
        verdict = self._decode(authorization)
        if isinstance(verdict, Grant) and self._clock_s() - verdict.issued_s <= MAX_AGE_S and self._is_hasty(verdict):
            # Not remembered: the same token may be taken once the window has moved on.
            return TOO_MANY_UPDATES
        if len(self._known) >= CACHE_SIZE:
            self._known.pop(next(iter(self._known)))
        self._known[authorization] = verdict
        return verdict

    def _decode(self, authorization: bytes) -> Grant | Refusal:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            return MISSING
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                return INVALID
            claims = jwt.decode(token, key.public_key, algorithms=["ES256"], options={"verify_iat": False})
        except jwt.InvalidTokenError:
            return INVALID
        issued = claims.get("iat")
        if claims.get("iss") != key.team_id or not isinstance(issued, int | float):
            return INVALID
        if issued > self._clock_s() + MAX_AHEAD_S:
            return INVALID
        return Grant(key, int(issued))

    def _is_hasty(self, grant: Grant) -> bool:
        updates, now_s = self._updates[grant.key.key_id], self._clock_s()
        while updates and updates[0] <= now_s - UPDATE_WINDOW_S:
            updates.popleft()
        if len(updates) >= self._updates_per_window:
            return True
        updates.append(now_s)
        return False
