"""The provider credentials that stand in files, read once and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from core.errors import CredentialFailure

GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """A token signing key of an Apple developer team; two are the same if key id and team are."""

    key_id: str
    team_id: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A Google service account; project_id is where its messages are sent unless settings say otherwise."""

    client_email: str
    project_id: str
    private_key_id: str
    token_uri: str
    private_key_pem: str = field(repr=False)


def load_apns_key(path: Path, key_id: str, team_id: str) -> ApnsKey:
    """Read a .p8 file as Apple gives it out. Raises CredentialFailure if it holds no unencrypted P-256 key."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # The parser's words may quote the file.
        raise CredentialFailure(f"{path} holds no readable private key") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialFailure(f"{path} holds no EC P-256 key, which ES256 needs")
    return ApnsKey(key_id, team_id, key)


def load_service_account(path: Path) -> ServiceAccount:
    """Read a service account's JSON file. Raises CredentialFailure if a field is missing or its token_uri is no URL."""
    try:
        fields = orjson.loads(_read(path))
    except orjson.JSONDecodeError:
        raise CredentialFailure(f"{path} is not JSON") from None
    if not isinstance(fields, dict):
        raise CredentialFailure(f"{path} is not a JSON object")
    account = ServiceAccount(
        client_email=_text(fields, "client_email", path),
        project_id=_text(fields, "project_id", path),
        private_key_id=_text(fields, "private_key_id", path),
        token_uri=_text({"token_uri": GOOGLE_TOKEN_URI} | fields, "token_uri", path),
        private_key_pem=_text(fields, "private_key", path),
    )
    if not account.token_uri.startswith("https://"):
        raise CredentialFailure(f"{path}: token_uri must begin with https://")
    return account


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CredentialFailure(f"{path} cannot be read: {exc.strerror}") from exc


def _text(fields: Mapping[str, object], name: str, path: Path) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise CredentialFailure(f"{path} has no {name}")
    return value
