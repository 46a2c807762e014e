"""Contents that only the device can read: HPKE (RFC 9180) to its public key, behind a text that tells nothing.

A sealed content is base64url, without padding, of: version 1, then the KEM's 32 bytes, then the ciphertext. The suite
is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM in base mode; info is "walletpush content 1 " and the app's id,
there is no associated data. The plaintext is the JSON's length in 4 bytes, big-endian, the JSON, and zeros up to a
multiple of 256 bytes, so that the length tells little. tests/vectors/hpke has examples for those who write clients.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from core.content.message import ApnsOptions, Content, FcmOptions
from core.errors import InvalidRequest

SEALED_KEY = "walletpush_sealed"
VERSION = b"\x01"
PAD_BYTES = 256
_INFO = b"walletpush content 1 "
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_VISIBLE = ("title", "body", "image_url", "video_url", "deep_link")


class GenericText(NamedTuple):
    """What stands in the clear instead of a sealed content."""

    title: str
    body: str


def load_key(field: str, raw: bytes) -> X25519PublicKey:
    """Read a device's public key: 32 bytes. Raises InvalidRequest for another length, or a point of low order."""
    if len(raw) != 32:
        raise InvalidRequest(field, f"must be 32 bytes, not {len(raw)}")
    key = X25519PublicKey.from_public_bytes(raw)
    try:
        _SUITE.encrypt(b"", key, _INFO)
    except ValueError as error:
        raise InvalidRequest(field, "is no usable X25519 public key") from error
    return key


def sealed(content: Content, key: X25519PublicKey, app: str, generic: GenericText) -> Content:
    """Return the content as its device gets it: the generic text, and what was said as data that only the device reads.

    Raises nothing of its own; whether it fits is for the provider's limits to say.
    """
    ciphertext = _SUITE.encrypt(_padded(_plaintext(content)), key, info_of(app))
    text = urlsafe_b64encode(VERSION + ciphertext).rstrip(b"=").decode()
    return _veiled(content, generic, {SEALED_KEY: text})


def veiled(content: Content, generic: GenericText) -> Content:
    """Return the content for a device without a key: the generic text alone."""
    return _veiled(content, generic, {})


def info_of(app: str) -> bytes:
    """Return HPKE's info for an app."""
    return _INFO + app.encode()


def _plaintext(content: Content) -> bytes:
    told: dict[str, object] = {name: getattr(content, name) for name in _VISIBLE if getattr(content, name)}
    if content.apns is not None and content.apns.subtitle:
        told["subtitle"] = content.apns.subtitle
    if content.data:
        told["data"] = dict(content.data)
    return orjson.dumps(told)


def _padded(text: bytes) -> bytes:
    whole = len(text).to_bytes(4, "big") + text
    return whole + bytes(-len(whole) % PAD_BYTES)


def _veiled(content: Content, generic: GenericText, data: Mapping[str, str]) -> Content:
    apns = (content.apns or ApnsOptions())._replace(subtitle="", mutable_content=True, raw_payload_json=b"")
    # Android shows a notification message by itself, without asking the app that could decrypt it.
    fcm = (content.fcm or FcmOptions())._replace(data_only=True, raw_message_json=b"")
    return content._replace(
        title=generic.title, body=generic.body, image_url="", video_url="", deep_link="", data=data, apns=apns, fcm=fcm
    )
