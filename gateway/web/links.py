"""Signed links to the pages of wallet users: sealed tokens that show nothing and open what they were made for alone."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import Refusal
from gateway.services.preferences import Links

MAX_TOKEN_LENGTH: Final = 768
FORM_LIFETIME_S: Final = 12 * 3_600
DAY_MS: Final = 86_400_000
_VERSION: Final = b"\x01"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
# Issued and expiry in Unix seconds, channel, lengths of app and category; then app, category and user.
_HEAD: Final = struct.Struct(">IIBBB")
_FIXED: Final = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class LinkRefused(Refusal):
    """A link does not open the page that it was shown to."""


class LinkMalformed(LinkRefused):
    """It is not of the form of any link of ours, cut short for instance."""


class LinkForged(LinkRefused):
    """It was not made here, not for this purpose, or with a key that no longer counts."""


class LinkExpired(LinkRefused):
    """It was made here, and its time is over."""


class Purpose(Enum):
    """What a link opens."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"


class Link(NamedTuple):
    """Whom a link is for and what of; category and channel: what one click unsubscribes from, "" and 0 for all."""

    purpose: Purpose
    app: str
    user_id: str
    category: str
    channel: int
    issued_unix_s: int
    expires_unix_s: int


class LinkSealer:
    """Makes tokens and opens them. keys: 16 secret bytes or more each, the newest first; all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("at least one key")
        self._keys = [_Key(key) for key in keys]

    def seal(self, link: Link) -> str:
        """Return the token of a link, at most MAX_TOKEN_LENGTH letters, digits, - and _."""
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        sealed = key.aead.encrypt(nonce, _packed(link), _context(link.purpose))
        token = _text(_VERSION + key.id + nonce + sealed)
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError("the names of app, user and category are too long for a link")
        return token

    def open(self, purpose: Purpose, token: str, now_unix_ms: int) -> Link:
        """Return what a token says. Raises LinkMalformed, LinkForged, LinkExpired.

        The tag is compared in constant time, by OpenSSL.
        """
        sealed = _bytes(token)
        key = next((one for one in self._keys if one.id == sealed[1 : 1 + _ID_BYTES]), None)
        if key is None:
            raise LinkForged("no key of ours made this link")
        try:
            plain = key.aead.decrypt(sealed[1 + _ID_BYTES : _FIXED], sealed[_FIXED:], _context(purpose))
        except InvalidTag:
            raise LinkForged("this link was not made here, or for another page") from None
        link = _unpacked(purpose, plain)
        if now_unix_ms >= link.expires_unix_s * 1_000:
            raise LinkExpired("the time of this link is over")
        return link

    def sign_form(self, token: str, content: str, now_unix_ms: int) -> str:
        """Return proof that a form with this content was shown on the page of a link."""
        expires = str(now_unix_ms // 1_000 + FORM_LIFETIME_S)
        return f"{expires}.{self._keys[0].form_mac(token, content, expires)}"

    def form_is_ours(self, token: str, content: str, proof: str, now_unix_ms: int) -> bool:
        """Tell whether a form was shown by us, on this link's page and not too long ago."""
        expires, _, mac = proof[:128].partition(".")
        if not (expires.isascii() and expires.isdigit() and now_unix_ms < int(expires) * 1_000):
            return False
        given = mac.encode("utf-8", "replace")
        macs = [key.form_mac(token, content, expires).encode() for key in self._keys]
        return any(hmac.compare_digest(one, given) for one in macs)


class SealedLinks:
    """Implements gateway.services.preferences.LinkMaker. public_url: without a slash at its end."""

    def __init__(self, sealer: LinkSealer, public_url: str, lifetime_days: int) -> None:
        self._sealer = sealer
        self._public_url = public_url
        self._lifetime_ms = lifetime_days * DAY_MS

    def make(self, app: str, user_id: str, category: str, channel: int, now_unix_ms: int) -> Links:
        """Return links for a user; category and channel: what one click unsubscribes from, "" and 0 for all."""
        issued, expires = now_unix_ms // 1_000, (now_unix_ms + self._lifetime_ms) // 1_000
        one_click = Link(Purpose.UNSUBSCRIBE, app, user_id, category, channel, issued, expires)
        centre = Link(Purpose.PREFERENCES, app, user_id, "", 0, issued, expires)
        return Links(
            f"{self._public_url}/u/{self._sealer.seal(one_click)}", f"{self._public_url}/p/{self._sealer.seal(centre)}",
            expires * 1_000,
        )  # fmt: skip


class _Key:
    """What is derived from one secret: an id that says nothing of it, a cipher for links, a MAC for forms."""

    def __init__(self, secret: bytes) -> None:
        self.id = _derived(secret, b"id", _ID_BYTES)
        self.aead = AESGCMSIV(_derived(secret, b"links", 32))
        self._form_key = _derived(secret, b"forms", 32)

    def form_mac(self, token: str, content: str, expires: str) -> str:
        """Return the MAC of a form."""
        told = "\0".join((expires, token, content)).encode()
        return _text(hmac.digest(self._form_key, told, "sha256"))


def _derived(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=b"walletpush pages 1 " + purpose).derive(secret)


def _context(purpose: Purpose) -> bytes:
    return _VERSION + purpose.value.encode()


def _packed(link: Link) -> bytes:
    app, category, user = link.app.encode(), link.category.encode(), link.user_id.encode()
    head = _HEAD.pack(link.issued_unix_s, link.expires_unix_s, link.channel, len(app), len(category))
    return head + app + category + user


def _unpacked(purpose: Purpose, plain: bytes) -> Link:
    issued, expires, channel, app_size, category_size = _HEAD.unpack_from(plain)
    names = plain[_HEAD.size :]
    app, rest = names[:app_size].decode(), names[app_size:]
    return Link(
        purpose, app, rest[category_size:].decode(), rest[:category_size].decode(), channel, issued, expires
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise LinkMalformed("too long for a link, or with letters that none has")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise LinkMalformed("cut short, or with letters that no link has") from None
    # Another spelling of the same bytes would be another token to whoever counts or compares tokens.
    if _text(raw) != token or len(raw) < _FIXED + _TAG_BYTES + _HEAD.size or raw[:1] != _VERSION:
        raise LinkMalformed("cut short, or of a version that is not known")
    return raw
