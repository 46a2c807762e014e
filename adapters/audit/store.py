"""The audit log as its writer thread sees it: lines in, the chain goes on from wherever any worker left it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adapters.audit.schema import END_OF, INSERT, OLDEST, PURGE, SET_END
from adapters.journal.compaction import transaction
from adapters.journal.sqlite_file import mapped_errors
from core.audit import NO_HASH, AuditLine, ChainEnd, End, Link, hash_of, seal_of

IDLE_S = 3600.0
FREE_PAGES = 256


class Append(NamedTuple):
    """Lines to append."""

    lines: Sequence[AuditLine]


class Purge(NamedTuple):
    """The oldest lines leave, as long as they are older than this; at most so many."""

    before_unix_ms: int
    most: int


class AuditStore:
    """Writes batches; two workers take turns by SQLite's lock, so that no line is ever chained to an older one."""

    def __init__(self, connection: sqlite3.Connection, path: Path, key: bytes) -> None:
        self._connection = connection
        self._path = path
        self._key = key

    def write(self, items: Sequence[Append | Purge]) -> list[int]:
        """Write all in one commit; return for each how many lines it brought or took. Raises Unavailable."""
        with mapped_errors(self._path), transaction(self._connection):
            return [self._append(item) if isinstance(item, Append) else self._purge(item) for item in items]

    def upkeep(self, idle: bool) -> float:
        """Return pages that purges left free; SQLite checkpoints this file by itself."""
        if idle:
            with mapped_errors(self._path):
                # By executescript: the pragma answers with a row per page, and execute stops at the first one.
                self._connection.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")
        return IDLE_S

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _append(self, item: Append) -> int:
        head = end_of(self._connection, "head")
        number, previous = head.number, head.line_hash
        for line in item.lines:
            number += 1
            link = Link(number, line, previous)
            self._connection.execute(INSERT, row_of(link))
            previous = hash_of(link)
        self._set_end("head", number, previous)
        return len(item.lines)

    def _purge(self, item: Purge) -> int:
        last: Link | None = None
        count = 0
        for row in self._connection.execute(OLDEST, (item.most,)).fetchall():
            link = link_of(row)
            if link.line.at_unix_ms >= item.before_unix_ms:
                break
            last, count = link, count + 1
        if last is not None:
            self._set_end("base", last.number, hash_of(last))
            self._connection.execute(PURGE, (last.number,))
        return count

    def _set_end(self, end: End, number: int, line_hash: bytes) -> None:
        self._connection.execute(SET_END, (end, number, line_hash, seal_of(self._key, end, number, line_hash)))


def end_of(connection: sqlite3.Connection, end: End) -> ChainEnd:
    """Return an end of the chain; an empty log begins and ends at number 0, unsealed."""
    row = connection.execute(END_OF, (end,)).fetchone()
    return ChainEnd(*row) if row else ChainEnd(0, NO_HASH, b"")


def row_of(link: Link) -> tuple[object, ...]:
    """Return a line's values in the order of schema.COLUMNS."""
    line = link.line
    return (
        link.number, line.at_unix_ms, line.app, line.actor, line.action, line.subject_hash, line.detail, link.previous,
    )


def link_of(row: Sequence[object]) -> Link:
    """Return a line from its row, whatever the row holds: a file that was tampered with must be read too."""
    number, at_unix_ms, app, actor, action, subject_hash, detail, previous = row
    line = AuditLine(_int(at_unix_ms), str(app), str(actor), str(action), str(subject_hash), str(detail))
    return Link(_int(number), line, previous if isinstance(previous, bytes) else b"")


def _int(value: object) -> int:
    return value if isinstance(value, int) else -1
