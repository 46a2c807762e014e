"""Memory that the workers of one host share: a file in tmpfs, mapped by each."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

from core.errors import StoreFailure

_TMPFS = Path("/dev/shm")  # noqa: S108  # a directory of our own below it, only ours to open


def shared_directory(data_dir: Path) -> Path:
    """Return the directory for a gateway's shared memory, made if missing and only ours to open.

    It lies in tmpfs where there is one, and in data_dir otherwise; the same data_dir gives the same directory.
    Raises StoreFailure if somebody else owns it.
    """
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    directory = _TMPFS / f"walletpush-{os.getuid()}-{name}" if _TMPFS.is_dir() else data_dir / "shared"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = directory.lstat()
    if state.st_uid != os.getuid() or directory.is_symlink():
        raise StoreFailure(f"{directory} belongs to somebody else")
    directory.chmod(0o700)
    return directory


def create(path: Path, size_bytes: int) -> mmap.mmap:
    """Make a new file of zeros in place of any old one, and map it; pages take memory only once they are touched.

    Raises StoreFailure if it cannot be made.
    """
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, size_bytes)
            return mmap.mmap(descriptor, size_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreFailure(f"cannot make {size_bytes:,} bytes of shared memory at {path}: {error}") from error


def attach(path: Path) -> mmap.mmap:
    """Map a file that create made. Raises StoreFailure if it is not there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise StoreFailure(f"cannot map the shared memory at {path}: {error}") from error


def remove(directory: Path) -> None:
    """Remove the files and the directory; processes that have them mapped keep them."""
    for path in directory.glob("*"):
        path.unlink(missing_ok=True)
    directory.rmdir()
