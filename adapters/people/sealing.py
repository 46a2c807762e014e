"""Personal data at rest: sealed with AES-256-GCM under a ring of keys, found again by a keyed hash."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.journal.sqlite_file import sync_directory, waited_lock
from core.errors import StoreFailure

KEY_BYTES: Final = 32
ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
LOOK_AGAIN_S: Final = 1.0
NOWHERE: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Ring:
    """Keys by id, the newest last, and the key that look-ups are hashed with, which never changes."""

    index_key: bytes
    keys: dict[bytes, bytes]


class Sealer:
    """Seals with the ring's newest key, opens with any; a rotation is noticed within LOOK_AGAIN_S.

    Random nonces of 96 bits are safe for 2^32 sealings under one key: rotate long before, say every billion changes.
    Source: NIST SP 800-38D, section 8.3.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_s = 0.0
        self._seen = (0, 0)
        self.reload()

    @property
    def newest(self) -> bytes:
        """The id of the key that seals now, which every sealed value begins with."""
        return self._newest

    def reload(self) -> None:
        """Read the key file again, after a rotation. Raises StoreFailure if it cannot be read."""
        self._looked_s = time.monotonic()
        self._seen = identity_of(self._path)
        ring = read_ring(self._path)
        self._index_key = ring.index_key
        self._ciphers = {key_id: AESGCM(key) for key_id, key in ring.keys.items()}
        self._newest = list(ring.keys)[-1]

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Return key id, nonce and what is sealed; nothing stays nothing. bound_to: where it belongs."""
        if not plain:
            return b""
        if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._look_again()
        nonce = os.urandom(NONCE_BYTES)
        return self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Return what was sealed. Raises StoreFailure if the key is missing, or it was altered or moved."""
        if not sealed:
            return b""
        cipher = self._ciphers.get(sealed[:ID_BYTES])
        if cipher is None:
            self.reload()
            cipher = self._ciphers.get(sealed[:ID_BYTES])
        if cipher is None:
            raise StoreFailure(f"{self._path.name} lacks key {sealed[:ID_BYTES].hex()}, with which data was sealed")
        try:
            return cipher.decrypt(sealed[ID_BYTES : ID_BYTES + NONCE_BYTES], sealed[ID_BYTES + NONCE_BYTES :], bound_to)
        except InvalidTag as error:
            raise StoreFailure("sealed personal data was altered, or stands where it does not belong") from error

    def _look_again(self) -> None:
        self._looked_s = time.monotonic()
        # A file that is gone for the moment leaves the keys that are known; opening what needs another one fails.
        if identity_of(self._path) not in (self._seen, NOWHERE):
            self.reload()

    def index(self, *parts: str) -> str:
        """Return the keyed hash, in hexadecimal, under which something sealed is looked up."""
        return hmac.digest(self._index_key, orjson.dumps(parts), "sha256")[:16].hex()

    def fingerprint(self) -> str:
        """Return what tells this ring's index key from another's without giving it away."""
        return hmac.digest(self._index_key, b"fingerprint", "sha256")[:16].hex()


def identity_of(path: Path) -> tuple[int, int]:
    """Return what tells one version of a file from the next; NOWHERE if there is none."""
    try:
        state = path.stat()
    except OSError:
        return NOWHERE
    return state.st_ino, state.st_mtime_ns


def read_ring(path: Path) -> Ring:
    """Read a key file. Raises StoreFailure if it is missing, damaged, or others may read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_mode & 0o077:
                raise StoreFailure(f"{path} may be read by others than its owner: chmod 600")
            told = orjson.loads(file.read())
    except OSError as error:
        raise StoreFailure(f"cannot read the key file {path}: {error.strerror}") from error
    except orjson.JSONDecodeError:
        raise StoreFailure(f"{path} is not a key file") from None
    try:
        keys = {bytes.fromhex(one["id"]): base64.b64decode(one["key"], validate=True) for one in told["keys"]}
        ring = Ring(base64.b64decode(told["index_key"], validate=True), keys)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise StoreFailure(f"{path} is not a key file") from None
    whole = all(len(key_id) == ID_BYTES and len(key) == KEY_BYTES for key_id, key in keys.items())
    if not keys or not whole or len(ring.index_key) != KEY_BYTES:
        raise StoreFailure(f"{path} holds a key of a wrong length, or none")
    return ring


def make_ring(path: Path) -> bool:
    """Make a key file, mode 0600, if there is none; return whether it was made. Raises StoreFailure."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with waited_lock(path.with_suffix(".lock")):
            if path.exists():
                return False
            _write(path, _with_new_key(Ring(secrets.token_bytes(KEY_BYTES), {})))
    except OSError as error:
        raise StoreFailure(f"cannot make the key file {path}: {error.strerror}") from error
    return True


def rotate_ring(path: Path) -> str:
    """Add a new key, which seals from now on; return its id. Raises StoreFailure."""
    try:
        with waited_lock(path.with_suffix(".lock")):
            ring = _with_new_key(read_ring(path))
            _write(path, ring)
    except OSError as error:
        raise StoreFailure(f"cannot write the key file {path}: {error.strerror}") from error
    return list(ring.keys)[-1].hex()


def drop_keys(path: Path, newest: bytes) -> int:
    """Remove all keys but the newest, once nothing is sealed with them; return how many.

    Raises StoreFailure if another one is the newest by now.
    """
    with waited_lock(path.with_suffix(".lock")):
        ring = read_ring(path)
        if list(ring.keys)[-1] != newest:
            raise StoreFailure(f"{path} was rotated meanwhile: reseal again")
        _write(path, Ring(ring.index_key, {newest: ring.keys[newest]}))
    return len(ring.keys) - 1


def settles_in_s(path: Path) -> float:
    """Return after how long every process has noticed the last rotation, 0 if by now. Raises StoreFailure."""
    try:
        return max(0.0, 3 * LOOK_AGAIN_S - (time.time() - path.stat().st_mtime))
    except OSError as error:
        raise StoreFailure(f"cannot read the key file {path}: {error.strerror}") from error


def _with_new_key(ring: Ring) -> Ring:
    # Random ids, so that a key of another ring is told from ours.
    return Ring(ring.index_key, {**ring.keys, secrets.token_bytes(ID_BYTES): secrets.token_bytes(KEY_BYTES)})


def _write(path: Path, ring: Ring) -> None:
    """Write beside it, then rename: whoever looks, or was killed in between, finds the old file or the new one."""
    keys = [{"id": key_id.hex(), "key": base64.b64encode(key).decode()} for key_id, key in ring.keys.items()]
    told = {"index_key": base64.b64encode(ring.index_key).decode(), "keys": keys}
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
    sync_directory(path.parent)


def place(column: str, app: str, user_id: str) -> bytes:
    """Return what a sealed value is bound to: its column and user, so that it opens nowhere else."""
    return orjson.dumps((column, app, user_id))
