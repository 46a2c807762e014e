"""Credential files: read, checked, never shown."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters.credentials import GOOGLE_TOKEN_URI, load_apns_key, load_service_account
from core.errors import CredentialFailure

ACCOUNT = {
    "client_email": "a@p.iam", "project_id": "p", "private_key_id": "k", "private_key": "SECRET",
    "token_uri": "https://oauth2.googleapis.com/token",
}  # fmt: skip


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def written(directory: Path, content: bytes) -> Path:
    path = directory / "credential"
    path.write_bytes(content)
    return path


def test_apns_key_is_read_and_not_shown(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    loaded = load_apns_key(written(tmp_path, pem(key)), "KID", "TEAM")
    assert loaded.private_key.private_numbers() == key.private_numbers()
    assert repr(loaded) == "ApnsKey(key_id='KID', team_id='TEAM')"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ec.generate_private_key(ec.SECP256R1()), b"password"),
    ],
    ids=["empty", "damaged", "P-384", "RSA", "encrypted"],
)
def test_what_is_no_p256_key_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CredentialFailure) as caught:
        load_apns_key(written(tmp_path, content), "KID", "TEAM")
    assert "SECRET" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialFailure, match=r"absent\.p8 cannot be read"):
        load_apns_key(tmp_path / "absent.p8", "KID", "TEAM")


def test_service_account_is_read_and_not_shown(tmp_path: Path) -> None:
    account = load_service_account(written(tmp_path, orjson.dumps(ACCOUNT)))
    assert account.private_key_pem == "SECRET"
    assert "SECRET" not in repr(account)


def test_token_uri_defaults_to_googles(tmp_path: Path) -> None:
    fields = {name: value for name, value in ACCOUNT.items() if name != "token_uri"}
    assert load_service_account(written(tmp_path, orjson.dumps(fields))).token_uri == GOOGLE_TOKEN_URI


@pytest.mark.parametrize("name", ["client_email", "project_id", "private_key_id", "private_key"])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    fields = {key: value for key, value in ACCOUNT.items() if key != name}
    with pytest.raises(CredentialFailure, match=name):
        load_service_account(written(tmp_path, orjson.dumps(fields)))


@pytest.mark.parametrize("content", [b"{", b"[]", orjson.dumps(ACCOUNT | {"token_uri": "http://plain"})])
def test_what_is_no_account_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CredentialFailure) as caught:
        load_service_account(written(tmp_path, content))
    assert "SECRET" not in str(caught.value)
