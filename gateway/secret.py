"""The gateway's own secret: made once per data directory, so that hashes mean the same after a restart."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from core.errors import StoreFailure
from core.hashing import SipHash

_BYTES = 16


def load_secret(data_dir: Path) -> SipHash:
    """Return the hasher of this data directory; make its key, mode 0600, if there is none.

    Derive one for each purpose from it. Raises StoreFailure if the file holds something else.
    """
    path = data_dir / "secret.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        key = path.read_bytes()
    else:
        with os.fdopen(descriptor, "wb") as file:
            key = secrets.token_bytes(_BYTES)
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
    if len(key) != _BYTES:
        raise StoreFailure(f"{path} holds {len(key)} bytes, not {_BYTES}: restore it, or remove it with the journals")
    return SipHash(key)
