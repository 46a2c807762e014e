"""Whether an audit log is whole: each line follows from the one before, and both ends are the gateway's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from adapters.audit.schema import AFTER, AUDIT
from adapters.audit.store import end_of, link_of
from adapters.journal.sqlite_file import mapped_errors, open_readable
from core.audit import NO_HASH, ChainEnd, End, Link, hash_of, is_sealed

ROWS = 1_000


class Verified(NamedTuple):
    """What was found. lines: how many follow from each other. fault: "" for a whole log; number: the line it is at."""

    lines: int
    number: int
    fault: str


def verify(path: Path, key: bytes) -> Verified:
    """Read all lines beside the workers that write them; blocks. Raises Unavailable, StoreFailure."""
    with closing(open_readable(path, AUDIT)) as connection, mapped_errors(path):
        # One snapshot, so that ends and lines belong together while workers go on.
        connection.execute("BEGIN")
        base, head = end_of(connection, "base"), end_of(connection, "head")
        if not _is_ours(key, "base", base):
            return Verified(0, base.number, "the chain's base is not what the gateway wrote")
        if not _is_ours(key, "head", head):
            return Verified(0, head.number, "the chain's head is not what the gateway wrote")
        return _walk(connection, base, head)


def _is_ours(key: bytes, name: End, end: ChainEnd) -> bool:
    if not end.seal:
        return (end.number, end.line_hash) == (0, NO_HASH)
    return is_sealed(key, name, end)


def _walk(connection: sqlite3.Connection, base: ChainEnd, head: ChainEnd) -> Verified:
    number, previous, lines = base.number, base.line_hash, 0
    while rows := connection.execute(AFTER, (number if lines else -1, ROWS)).fetchall():
        for link in map(link_of, rows):
            if fault := _fault(link, number, previous):
                return Verified(lines, link.number, fault)
            number, previous, lines = link.number, hash_of(link), lines + 1
    if (number, previous) != (head.number, head.line_hash):
        missing = head.number > number
        return Verified(lines, number, "lines behind it are missing" if missing else "it was changed, or added")
    return Verified(lines, number, "")


def _fault(link: Link, number: int, previous: bytes) -> str:
    if link.number != number + 1:
        return f"lines between {number} and it are missing"
    return "" if link.previous == previous else f"line {number} before it was changed"
