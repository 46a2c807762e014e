"""The audit log in one SQLite file for all workers of a host; implements core.audit.AuditLog."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from adapters.audit.schema import AFTER, AUDIT, OF_APP, OF_SUBJECT
from adapters.audit.store import Append, AuditStore, Purge, link_of
from adapters.journal.group_commit import GroupCommit
from adapters.journal.sqlite_file import make_directory, mapped_errors, open_readable, open_writable, waited_lock
from core.audit import AuditLine, Link
from core.errors import Unavailable
from core.privacy import Purged

RESULT = TypeVar("RESULT")
AUDIT_FILE: Final = "audit.db"
LINE_BYTES: Final = 512
QUEUE_BYTES: Final = 4 << 20
COMMIT_BYTES: Final = 256 << 10
NEWEST: Final = (1 << 63) - 1


class SqliteAudit:
    """Made by `open`, used on one event loop."""

    def __init__(self, path: Path, store: AuditStore, reader: sqlite3.Connection) -> None:
        self._path = path
        self._reader = reader
        self._closed = False
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="audit-read")
        self._writer: GroupCommit[Append | Purge, int] = GroupCommit(
            "audit", store, queue_bytes=QUEUE_BYTES, kept_bytes=0, commit_bytes=COMMIT_BYTES
        )

    @classmethod
    async def open(cls, directory: Path, key: bytes) -> SqliteAudit:
        """Open or create audit.db, beside other workers that do the same. key: seals the ends of the chain.

        Raises StoreFailure if it is damaged, foreign or of a newer version, Unavailable if it cannot be opened.
        """
        path = directory / AUDIT_FILE
        writer, reader = await asyncio.to_thread(_open_connections, path)
        return cls(path, AuditStore(writer, path, key), reader)

    async def append(self, lines: Sequence[AuditLine]) -> None:
        """Append in one commit, durable on return. Raises Unavailable or Overloaded; then nothing was written."""
        if lines:
            await self._writer.submit(Append(lines), LINE_BYTES * len(lines))

    async def lines(self, app: str, subject_hash: str, before: int, limit: int) -> list[Link]:
        """Return lines with numbers below `before` (0: all), newest first; subject_hash: "" for all.

        Raises Unavailable.
        """
        asked: tuple[str | int, ...] = (app, before or NEWEST, limit)
        if subject_hash:
            return await self._read(OF_SUBJECT, (subject_hash, *asked))
        return await self._read(OF_APP, asked)

    async def purge(self, _now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Let the oldest lines go, at most so many, as long as they are older.

        Raises Unavailable or Overloaded, then none went.
        """
        rows = await self._writer.submit(Purge(before_unix_ms, most), LINE_BYTES)
        return Purged(rows, rows == most)

    async def close(self) -> None:
        """Write what is queued, then let go of the file."""
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        self._reader.close()
        await self._writer.close()

    async def _read(self, statement: str, values: Sequence[str | int]) -> list[Link]:
        if self._closed:
            raise Unavailable(f"{self._path.stem} is closed")
        return await asyncio.get_running_loop().run_in_executor(
            self._read_thread, partial(_links, self._reader, self._path, statement, values)
        )


def newest_lines(path: Path, limit: int, show: Callable[[Link], None]) -> None:
    """Show the newest lines of all apps, oldest first, beside the workers that write; blocks.

    Raises Unavailable, StoreFailure.
    """
    connection = open_readable(path, AUDIT)
    try:
        with mapped_errors(path):
            last: int = connection.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()[0]
        for link in _links(connection, path, AFTER, (last - limit, limit)):
            show(link)
    finally:
        connection.close()


def _links(connection: sqlite3.Connection, path: Path, statement: str, values: Sequence[str | int]) -> list[Link]:
    with mapped_errors(path):
        return [link_of(row) for row in connection.execute(statement, values).fetchall()]


def _open_connections(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    make_directory(path.parent)
    with waited_lock(path.with_suffix(".lock")):
        writer = open_writable(path, AUDIT)
    with mapped_errors(path):
        writer.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
    return writer, open_readable(path, AUDIT)
