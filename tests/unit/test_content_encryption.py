"""Sealed contents: read again by a second implementation of RFC 9180, and by the vectors that client developers use."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from core.content.encryption import PAD_BYTES, SEALED_KEY, GenericText, info_of, load_key, sealed, veiled
from core.content.message import ApnsOptions, Content, FcmOptions
from core.errors import InvalidRequest

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "hpke" / "vectors.json"
GENERIC = GenericText("Wallet", "You have a new message.")
PAYMENT = Content(
    title="Payment received", body="CNY 1,234.56 from 王芳", deep_link="wallet://transactions/9",
    image_url="https://img.example.com/a.png", data={"transaction": "9"}, apns=ApnsOptions(subtitle="Balance CNY 9.00"),
)  # fmt: skip
KEM_ID, KDF_ID, AEAD_ID = b"\x00\x20", b"\x00\x01", b"\x00\x01"


def extract(salt: bytes, suite: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def expand(key: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    whole = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, whole + b"\x01", hashlib.sha256)[:length]


def open_sealed(text: str, private: X25519PrivateKey, app: str) -> dict[str, object]:
    """RFC 9180, sections 4.1 and 5.1, by hand: what a client does."""
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert raw[:1] == b"\x01"
    enc, ciphertext = raw[1:33], raw[33:]
    kem, suite = b"KEM" + KEM_ID, b"HPKE" + KEM_ID + KDF_ID + AEAD_ID
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = extract(b"", kem, b"eae_prk", shared)
    secret = expand(eae, kem, b"shared_secret", enc + private.public_key().public_bytes_raw(), 32)
    context = b"\x00" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info_of(app))
    master = extract(secret, suite, b"secret", b"")
    key, nonce = (expand(master, suite, label, context, n) for label, n in ((b"key", 16), (b"base_nonce", 12)))
    plain = AESGCM(key).decrypt(nonce, ciphertext, b"")
    assert len(plain) % PAD_BYTES == 0
    told: dict[str, object] = json.loads(plain[4 : 4 + int.from_bytes(plain[:4], "big")])
    return told


def new_key() -> tuple[X25519PrivateKey, X25519PublicKey]:
    private = X25519PrivateKey.generate()
    return private, load_key("device.encryption_key", private.public_key().public_bytes_raw())


def test_the_device_reads_what_was_said_and_nobody_else_does() -> None:
    private, key = new_key()
    content = sealed(PAYMENT, key, "wallet", GENERIC)
    assert content.data is not None
    assert open_sealed(content.data[SEALED_KEY], private, "wallet") == {
        "title": "Payment received", "body": "CNY 1,234.56 from 王芳", "subtitle": "Balance CNY 9.00",
        "deep_link": "wallet://transactions/9", "image_url": "https://img.example.com/a.png",
        "data": {"transaction": "9"},
    }  # fmt: skip
    for wrong_key, app in ((X25519PrivateKey.generate(), "wallet"), (private, "other")):
        with pytest.raises(InvalidTag):
            open_sealed(content.data[SEALED_KEY], wrong_key, app)


@pytest.mark.parametrize("with_key", [True, False])
def test_nothing_of_the_content_stands_in_the_clear(with_key: bool) -> None:
    content = sealed(PAYMENT, new_key()[1], "wallet", GENERIC) if with_key else veiled(PAYMENT, GENERIC)
    assert (content.title, content.body) == GENERIC
    clear = repr(content)
    assert not any(secret in clear for secret in ("1,234", "王芳", "9.00", "transactions", "img.example", "Payment"))
    assert content.apns is not None
    assert content.apns.mutable_content
    assert content.fcm is not None
    assert content.fcm.data_only
    assert (SEALED_KEY in (content.data or {})) is with_key


def test_raw_payloads_do_not_go_around_the_seal() -> None:
    raw = Content(title="x", apns=ApnsOptions(raw_payload_json=b'{"a":1}'), fcm=FcmOptions(raw_message_json=b'{"a":1}'))
    content = veiled(raw, GENERIC)
    assert content.apns is not None
    assert content.fcm is not None
    assert content.apns.raw_payload_json == content.fcm.raw_message_json == b""


@settings(max_examples=40, deadline=None)
@given(body=st.text(max_size=600))
def test_the_length_tells_only_the_bucket(body: str) -> None:
    private, key = new_key()
    content = sealed(Content(body=body), key, "wallet", GENERIC)
    assert content.data is not None
    text = content.data[SEALED_KEY]
    assert open_sealed(text, private, "wallet").get("body", "") == body
    raw_bytes = len(text) * 3 // 4
    assert (raw_bytes - 1 - 32 - 16) % PAD_BYTES == 0


@pytest.mark.parametrize(
    "raw",
    [b"", bytes(31), bytes(33), bytes(32), b"\x01" + bytes(31), bytes.fromhex("ecffffff" + "ff" * 27 + "7f")],
)
def test_a_key_that_is_none_is_refused_at_registration(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"device\.encryption_key"):
        load_key("device.encryption_key", raw)


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text("utf-8")), ids=lambda vector: vector["name"])
def test_the_vectors_for_client_developers_are_true(vector: dict[str, str]) -> None:
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private_key"]))
    assert private.public_key().public_bytes_raw().hex() == vector["public_key"]
    assert open_sealed(vector["sealed"], private, vector["app"]) == json.loads(vector["content_json"])
