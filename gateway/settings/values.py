"""The kinds of values that settings are made of: addresses, rates, paths and credential files."""

from __future__ import annotations

import hashlib
import ipaddress
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


class Component(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file with a credential; open it by path. digest changes with its content, so that a reload sees a rotation."""

    path: Path
    digest: str

    def __fspath__(self) -> str:
        """Let the file be opened as it is."""
        return str(self.path)

    def __str__(self) -> str:
        """Show where it is, never what it holds."""
        return str(self.path)


class Rate(Component):
    """A long-run rate and the burst allowed above it."""

    per_s: float = Field(gt=0, le=1e9, examples=[1000.0])
    """Events per second in the long run."""
    burst: int = Field(ge=1, le=1_000_000_000, examples=[2000])
    """Events at once after a pause."""


def is_loopback(listen: str) -> bool:
    """Tell whether only this host can reach the address."""
    if listen.startswith("unix:"):
        return True
    host, _ = split_address(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(listen: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port"; raise ValueError for anything else."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 host stands in brackets: [::1]:50051")
    return host, int(port)


def _address(listen: str) -> str:
    split_address(listen)
    return listen


def _address_or_socket(listen: str) -> str:
    return listen if listen.startswith("unix:/") else _address(listen)


def _under_base(path: Path, info: ValidationInfo) -> Path:
    base = info.context.get("base") if isinstance(info.context, Mapping) else None
    return (base or Path.cwd()) / path


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        with path.open("rb"):
            return path
    except PermissionError:
        raise ValueError(f"not readable by this user: {path}") from None


def _secret(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, (str, Path)):
        return value
    if "-----BEGIN" in str(value):
        raise ValueError("must be the path of a file, never the credential itself")
    path = _readable(_under_base(Path(value), info))
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ValueError(f"others may use this credential (mode {mode & 0o777:04o}), run: chmod 600 {path}")
    return SecretFile(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def _proxy(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme != "http":
        raise ValueError("must be http://host:port (HTTP CONNECT)")
    if "@" in rest:
        raise ValueError("must not hold a password; name a file in proxy_auth_file")
    split_address(rest.rstrip("/"))
    return url


def _public_url(url: str) -> str:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname is not None and is_loopback(f"{parts.hostname}:0")
    if not (parts.hostname and (parts.scheme == "https" or plain)):
        raise ValueError("must be https://host, or http://localhost for trials")
    if parts.query or parts.fragment or "@" in parts.netloc or len(url) > 512:
        raise ValueError("must have no user, query or fragment")
    return url.rstrip("/")


Listen = Annotated[str, AfterValidator(_address_or_socket)]
WebListen = Annotated[str, AfterValidator(_address)]
Directory = Annotated[Path, AfterValidator(_under_base)]
PublicFile = Annotated[Path, AfterValidator(_under_base), AfterValidator(_readable)]
CredentialFile = Annotated[SecretFile, BeforeValidator(_secret)]
Proxy = Annotated[str, AfterValidator(_proxy)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
