"""How an SQLite file of ours is opened: who may, which version, which settings, and what its errors become."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from core.errors import StoreFailure, Unavailable

BUSY_TIMEOUT_S = 5.0
# Bulk costs the same at 4, 8 and 16 KiB (1.4 us of CPU per message, within the noise), a single send 145, 156 and
# 186 us: medians of 15 interleaved runs of bench/kernels/journal.py.
PAGE_BYTES = 4096


class Schema(NamedTuple):
    """A kind of file. migrations: by the version they start from, each leads to the next one."""

    name: str
    application_id: int
    version: int
    create: tuple[str, ...]
    migrations: Mapping[int, tuple[str, ...]]


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into Unavailable."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{path.name}: {error}") from error


class FileLock:
    """Exclusive ownership of what is called name, by flock on a side file: the kernel lets go when the process dies.

    name: for the error; without one it is the database beside the side file. Raises StoreFailure if another owns it.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            held = name or path.with_suffix(".db").name
            raise StoreFailure(f"{held} is in use by another process (pid {owner})") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


@contextmanager
def waited_lock(path: Path) -> Iterator[None]:
    """Hold a side file's lock for a short work that processes do one after another. Raises Unavailable."""
    with mapped_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Create the directory for its owner alone, since what is stored there is private. Raises Unavailable."""
    with mapped_errors(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def open_writable(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open or create a file for writing; every commit is synced.

    Raises StoreFailure if it is damaged, foreign or of a version that is not known here; Unavailable if it cannot be
    opened or written.
    """
    with mapped_errors(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    try:
        with mapped_errors(path):
            prepare(connection, path, schema)
            sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def open_readable(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open an existing file for reading. Raises StoreFailure and Unavailable as open_writable does."""
    with mapped_errors(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
        )
    try:
        with mapped_errors(path):
            if check_version(connection, path, schema) != schema.version:
                raise StoreFailure(f"{path.name} has not been migrated to version {schema.version} yet")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Set the connection up and bring the file to the schema's version."""
    version = check_version(connection, path, schema)
    if version == 0:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for setting in (
        "journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0",
        # Zeroing freed pages would send each payload through the WAL again: 1.50 -> 1.87 us of CPU per message.
        "secure_delete = FAST", "cache_size = -16384", "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {setting}").fetchall()
    if version < schema.version:
        migrate(connection, path, schema)


def migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Create or migrate in one transaction; another process may have done it in the meantime."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = check_version(connection, path, schema)
        while version < schema.version:
            for statement in schema.migrations[version] if version else schema.create:
                connection.execute(statement)
            version = version + 1 if version else schema.version
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def check_version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """Return the file's version, 0 if it is empty. Raises StoreFailure if it is not ours to open."""
    try:
        application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise StoreFailure(f"{path.name} is not a {schema.name}: {error}") from error
    if not tables and not version:
        return 0
    if application_id != schema.application_id:
        raise StoreFailure(f"{path.name} is not a {schema.name}: its application id is {application_id:#x}")
    if version > schema.version:
        raise StoreFailure(
            f"{path.name} has version {version}, made by a newer walletpush; this one knows up to {schema.version}"
        )
    if version < schema.version and version not in schema.migrations:
        raise StoreFailure(f"{path.name} has version {version}, which this walletpush cannot migrate")
    return version


def sync_directory(directory: Path) -> None:
    """Make a new file's name durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
