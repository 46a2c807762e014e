"""When the WAL is moved into the database: mostly beside the writer, so that appends do not wait for it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from adapters.journal.sqlite_file import PAGE_BYTES

log = logging.getLogger(__name__)

IDLE_BYTES = 1 << 20
# The leaf pages that a commit touches beside its payload: segments, payloads, receipts, their index and a pointer map.
COMMIT_BYTES = 5 * PAGE_BYTES


class Checkpoints:
    """Counts what went into the WAL; a short-lived thread moves it, the writer then moves the little that came since.

    Only when the writer's part finds nothing left may the next commit begin the WAL anew, which keeps it bounded.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, wal_bytes: int) -> None:
        self._connection = connection
        self._path = path
        self._wal_bytes = wal_bytes
        self._written_bytes = 0
        self._thread: threading.Thread | None = None
        connection.execute(f"PRAGMA journal_size_limit = {wal_bytes}").fetchall()

    def note(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Count a commit's bytes."""
        self._written_bytes += COMMIT_BYTES
        for row in rows:
            for value in row:
                if type(value) is bytes:
                    self._written_bytes += len(value)

    def step(self, idle: bool) -> bool:
        """Begin or finish a checkpoint if one is due; return whether the writer has just finished one."""
        if self._thread:
            if self._thread.is_alive():
                return False
            self._thread = None
            _, frames, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._written_bytes = max(0, frames - moved) * PAGE_BYTES
            return True
        if self._written_bytes > (IDLE_BYTES if idle else self._wal_bytes):
            self._thread = threading.Thread(target=self._move, name=f"{self._path.stem}-checkpoint", daemon=True)
            self._thread.start()
        return False

    def close(self) -> None:
        """Wait for a checkpoint under way."""
        if self._thread:
            self._thread.join()

    def _move(self) -> None:
        checkpoint(self._path)


def checkpoint(path: Path) -> None:
    """Move what is in the WAL now into the database, beside its writer; blocks. What fails is logged."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        log.warning("checkpoint_failed", extra={"file": path.name, "reason": str(error)})
