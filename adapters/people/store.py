"""The file of users as its writer thread sees it: batches of changes, one transaction per commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import orjson
from sqlalchemy import Connection, Engine

from adapters.people.changes import (
    Answer,
    Change,
    Merge,
    Opened,
    Record,
    Remove,
    Reseal,
    SetTooMany,
    Step,
    Suppress,
    Unsuppress,
    Upsert,
)
from adapters.people.marks import ChangeMarks
from adapters.people.preferences import Spared, record, set_too_many, suppress, unsuppress
from adapters.people.removal import merge, remove, reseal
from adapters.people.sealing import Sealer
from adapters.people.statements import OPENED
from adapters.people.users import Key, ensure, upsert
from adapters.registry.store import mapped_errors
from core.errors import StoreFailure, Unavailable

IDLE_S = 3600.0
ITEM = TypeVar("ITEM")


class PeopleStore:
    """Applies changes in their order; a run of one kind is one step where the kind allows it.

    marks: hears of each user who changed, after the commit. now_unix_ms: when users are created who were not known.
    """

    def __init__(
        self, engine: Engine, path: Path, sealer: Sealer, spared: Spared, marks: ChangeMarks | None,
        now_unix_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._path = path
        self._sealer = sealer
        self._spared = spared
        self._marks = marks
        self._now_unix_ms = now_unix_ms

    def write(self, items: Sequence[Change]) -> list[Answer]:
        """Write all in one commit; return each one's answer. Raises Unavailable; then nothing was written."""
        answers: list[Answer] = []
        with mapped_errors(self._path), self._engine.begin() as connection:
            # At once, since a read lock that must grow while another worker writes fails without waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                for kind, run in groupby(items, type):
                    answers += self._run(connection, kind, list(run))
            except StoreFailure as failure:
                raise Unavailable(str(failure)) from failure
        if self._marks is not None:
            for item in items:
                self._marks.touch(touched(item))
        return self._after_erasure(items, answers)

    def upkeep(self, idle: bool) -> float:
        """Do nothing: SQLite checkpoints this file by itself."""
        del idle
        return IDLE_S

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _run(self, connection: Connection, kind: type, run: list[Change]) -> list[Answer]:
        if kind is Upsert:
            return [*upsert(connection, of(run, Upsert), self._sealer)]
        if kind is Record:
            record(connection, of(run, Record), self._spared)
            return [True] * len(run)
        return [self._one(connection, item) for item in run]

    def _one(self, connection: Connection, item: Change) -> Answer:
        match item:
            case Opened():
                return opened(connection, item, self._now_unix_ms())
            case Suppress():
                suppress(connection, item, self._now_unix_ms())
            case Unsuppress():
                return unsuppress(connection, item)
            case SetTooMany():
                set_too_many(connection, item, self._now_unix_ms())
            case Merge():
                return merge(connection, item, self._sealer, self._spared(item.app)) or True
            case Remove():
                return remove(connection, item)
            case Reseal():
                return reseal(connection, item, self._sealer)
            case Step(work):
                return work(connection)
        return True

    def _after_erasure(self, items: Sequence[Change], answers: list[Answer]) -> list[Answer]:
        """Empty the write-ahead log, where what was erased still stands; fail the erasures if readers hold it."""
        if not any(isinstance(item, Remove) and item.history for item in items):
            return answers
        with self._engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if not busy:
            return answers
        late = Unavailable(f"{self._path.name}: erased, but its log is in use; erase again")
        return [
            late if isinstance(item, Remove) and item.history else answer
            for item, answer in zip(items, answers, strict=True)
        ]


def of(run: Sequence[Change], kind: type[ITEM]) -> list[ITEM]:
    """Return a run of changes of one kind as such."""
    return [item for item in run if isinstance(item, kind)]


def opened(connection: Connection, item: Opened, now_unix_ms: int) -> bool:
    """Note openings of the app, also of users who were not known."""
    ensure(connection, [(user_id, item.app) for user_id in item.opened], now_unix_ms)
    rows = [(user_id, item.app, at) for user_id, at in item.opened.items()]
    connection.execute(OPENED, {"rows": orjson.dumps(rows).decode()})
    return True


def touched(item: Change) -> list[Key]:
    """Return whom a change concerns."""
    match item:
        case Upsert():
            return [(change.user.user_id, change.user.app) for change in item.changes]
        case Opened():
            return [(user_id, item.app) for user_id in item.opened]
        case Merge():
            return [(item.from_user_id, item.app), (item.into_user_id, item.app)]
        case Reseal() | Step():
            return []
    return [(item.user_id, item.app)]


def claim(connection: sqlite3.Connection, path: Path, sealer: Sealer) -> None:
    """Bind a new file to its ring of keys. Raises StoreFailure if it belongs to another."""
    connection.execute("INSERT INTO seals SELECT ? WHERE NOT EXISTS (SELECT 1 FROM seals)", (sealer.fingerprint(),))
    if connection.execute("SELECT fingerprint FROM seals").fetchone()[0] != sealer.fingerprint():
        raise StoreFailure(f"{path.name} was sealed with the keys of another key file")
