"""The gateway's own secret: made once per data directory, so that hashes mean the same after a restart."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from core.errors import StoreFailure
from core.hashing import SipHash

SECRET_FILE = "secret.key"  # noqa: S105  # a name
_BYTES = 16


def load_secret(data_dir: Path) -> SipHash:
    """Return the hasher of this data directory; make its key, mode 0600, if there is none.

    Derive one for each purpose from it. Raises StoreFailure if the file holds something else.
    """
    return SipHash(read_secret(data_dir))


def read_secret(data_dir: Path) -> bytes:
    """Return the key itself, 16 bytes, for what derives keys from it by other means. Raises as load_secret."""
    path = data_dir / SECRET_FILE
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise StoreFailure(f"{path} holds {len(key)} bytes, not {_BYTES}: restore it, or remove it with the journals")
    return key


def _make(path: Path) -> None:
    """Write a new key under another name first: whoever looks, or was killed in between, finds it whole or not."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
