"""The APNs provider token of one key: which JWT is in force at a time, and whether another one may be made.

Every worker and host that holds the key makes the same token at the same time: `iat` stands on a grid of 20 minutes
that is derived from the wall clock and the key, and the signature is deterministic where OpenSSL can do that. So
Apple sees one token per key, changed at most once in 20 minutes, however many processes ask for it.
Source: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from __future__ import annotations

import hashlib

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.utils import der_to_raw_signature

from adapters.credentials import ApnsKey

GRID_S = 20 * 60
SLOT_S = 2 * GRID_S
# APNs refuses a token of an hour; this leaves room for clocks that differ.
MAX_AGE_S = 55 * 60
MIN_RESEND_S = 60


class ProviderToken:
    """One JWT in force. proven: APNs took it. retried: it is already the second chance after a refusal."""

    __slots__ = ("authorization", "in_force_unix_s", "issued_unix_s", "proven", "retried")

    def __init__(self, authorization: bytes, issued_unix_s: int, in_force_unix_s: int, *, retried: bool) -> None:
        self.authorization = authorization
        self.issued_unix_s = issued_unix_s
        self.in_force_unix_s = in_force_unix_s
        self.proven = False
        self.retried = retried

    def __repr__(self) -> str:
        return f"<ProviderToken issued_unix_s={self.issued_unix_s} proven={self.proven}>"


class ProviderTokens:
    """The tokens of one (key id, team), shared by every channel that uses the key. All times are unix seconds."""

    def __init__(self, key: ApnsKey) -> None:
        self.key = key
        self.minted = 0
        self._phase_s = _phase_s(key)
        self._current: ProviderToken | None = None
        self._previous: ProviderToken | None = None
        self._review_unix_s = 0
        self._frozen_until_unix_s = 0

    def at(self, now_unix_s: int) -> ProviderToken:
        """Return the token in force; the same object as long as nothing changed."""
        current = self._current
        if current is not None and current.issued_unix_s <= now_unix_s < self._review_unix_s:
            return current
        return self._review(now_unix_s)

    def refused(self, token: ProviderToken, now_unix_s: int) -> bool:
        """Take APNs' word that a token is expired or invalid; return whether sending again is worth it.

        True once per token: a newer one is in force, or was made if 20 minutes allow it, or the same one gets a new
        connection (after ExpiredProviderToken the old connection may go on refusing). False: the credential is wrong.
        """
        current = self.at(now_unix_s)
        if current is not token:
            return True
        issued_unix_s = self._grid(now_unix_s, GRID_S)
        if issued_unix_s > token.issued_unix_s and now_unix_s >= self._frozen_until_unix_s:
            self._replace(self._mint(issued_unix_s, now_unix_s, retried=True), now_unix_s)
            return True
        if token.retried and not (token.proven and now_unix_s - token.in_force_unix_s >= MIN_RESEND_S):
            return False
        self._current = ProviderToken(token.authorization, token.issued_unix_s, now_unix_s, retried=True)
        return True

    def too_many_updates(self, now_unix_s: int) -> None:
        """Go back to the older token while it is valid, and make none for 20 minutes."""
        self.at(now_unix_s)
        previous = self._previous
        self._frozen_until_unix_s = now_unix_s + GRID_S
        if previous is not None and now_unix_s - previous.issued_unix_s < MAX_AGE_S:
            self._current, self._previous = previous, self._current
            self._review_unix_s = min(self._frozen_until_unix_s, previous.issued_unix_s + MAX_AGE_S)
        elif self._current is not None:
            self._review_unix_s = min(self._frozen_until_unix_s, self._current.issued_unix_s + MAX_AGE_S)

    def _review(self, now_unix_s: int) -> ProviderToken:
        frozen, previous = now_unix_s < self._frozen_until_unix_s, self._previous
        if frozen and previous is not None and now_unix_s - previous.issued_unix_s < MAX_AGE_S:
            self._replace(previous, now_unix_s)
            return previous
        return self._replace(self._mint(self._grid(now_unix_s, SLOT_S), now_unix_s, retried=False), now_unix_s)

    def _replace(self, token: ProviderToken, now_unix_s: int) -> ProviderToken:
        self._previous, self._current = self._current, token
        self._review_unix_s = self._grid(now_unix_s, SLOT_S) + SLOT_S
        return token

    def _grid(self, now_unix_s: int, step_s: int) -> int:
        return now_unix_s - (now_unix_s - self._phase_s) % step_s

    def _mint(self, issued_unix_s: int, now_unix_s: int, *, retried: bool) -> ProviderToken:
        for known in (self._current, self._previous):
            if known is not None and known.issued_unix_s == issued_unix_s:
                return known
        self.minted += 1
        return ProviderToken(sign(self.key, issued_unix_s), issued_unix_s, now_unix_s, retried=retried)


def sign(key: ApnsKey, issued_unix_s: int) -> bytes:
    """Return the value of the authorization header: `bearer` and an ES256 JWT with kid, iss and iat."""
    claims = orjson.dumps({"iss": key.team_id, "iat": issued_unix_s})
    return b"bearer " + _JWS.encode(claims, key.private_key, "ES256", {"kid": key.key_id}).encode("ascii")


class _DeterministicEs256(ECAlgorithm):
    """ES256 whose signature is the same each time (RFC 6979), so that all processes send one and the same token."""

    def __init__(self) -> None:
        super().__init__(ECAlgorithm.SHA256, ec.SECP256R1)

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        """Sign, falling back to a random nonce where OpenSSL is older than 3.2."""
        try:
            der = key.sign(msg, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:
            return super().sign(msg, key)
        return der_to_raw_signature(der, key.curve)


def _jws() -> jwt.PyJWS:
    jws = jwt.PyJWS(algorithms=["ES256"])
    jws.unregister_algorithm("ES256")
    jws.register_algorithm("ES256", _DeterministicEs256())
    return jws


_JWS = _jws()


def _phase_s(key: ApnsKey) -> int:
    # Spread over the keys, or every key of a large gateway would change in the same second.
    digest = hashlib.blake2b(f"{key.team_id}\0{key.key_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % SLOT_S
