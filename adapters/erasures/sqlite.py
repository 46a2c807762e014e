"""Erasures in an SQLite file that all workers of a host share: noted before they begin, and proven when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import orjson
from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.sqlite import insert

from adapters.erasures.tables import ERASURES, erasures, under_way
from adapters.journal.sqlite_file import make_directory, open_writable, waited_lock
from adapters.registry.store import engine_of, mapped_errors
from adapters.registry.threaded_file import ThreadedFile
from core.privacy import Erasure, Purged, UnderWay


class SqliteErasures:
    """Implements core.privacy.ErasureRecord; made by `open`, used on one event loop."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._file = ThreadedFile(path, engine)

    @classmethod
    async def open(cls, directory: Path) -> SqliteErasures:
        """Open or create erasures.db.

        Raises StoreFailure if it is damaged, foreign or of a newer version, Unavailable if it cannot be opened.
        """
        path = directory / "erasures.db"
        return cls(path, await asyncio.to_thread(_open_engine, path))

    async def begin(self, noted: UnderWay) -> None:
        """Note an erasure, durably, before anything is removed; one of the same subject is replaced."""
        await self._file.write(partial(_begin, noted=noted))

    async def under_way(self) -> list[UnderWay]:
        """Return what was begun and is not done, oldest first, at most 1,000."""
        return await self._file.read(_under_way)

    async def find_under_way(self, subject_hash: str) -> UnderWay | None:
        """Return a subject's erasure that is not done."""
        return await self._file.read(partial(_find_under_way, subject_hash=subject_hash))

    async def note(self, subject_hash: str, removed_counts: Mapping[str, int]) -> None:
        """Keep the counts of the steps that are done."""
        await self._file.write(partial(_note, subject_hash=subject_hash, removed_counts=removed_counts))

    async def forget_deleted(self) -> bool:
        """Empty the log, where what was sealed still stands; tell whether no other worker held it."""
        return await self._file.maintain(_empty_log)

    async def finish(self, proof: Erasure | None, subject_hash: str) -> None:
        """Keep the proof, unless an earlier one stands for it, and forget in the same commit that it was under way."""
        await self._file.write(partial(_finish, proof=proof, subject_hash=subject_hash))

    async def newest(self, subject_hash: str) -> Erasure | None:
        """Return a subject's newest proof."""
        return await self._file.read(partial(_newest, subject_hash=subject_hash))

    async def purge(self, _now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Let the oldest proofs go, at most so many, that are older. Raises Unavailable."""
        rows = await self._file.write(partial(_purge, before_unix_ms=before_unix_ms, most=most))
        return Purged(rows, rows == most)

    async def close(self) -> None:
        """Let go of the file."""
        await self._file.close()


def _open_engine(path: Path) -> Engine:
    make_directory(path.parent)
    with waited_lock(path.with_suffix(".lock")):
        connection = open_writable(path, ERASURES)
    with mapped_errors(path):
        for setting in ("wal_autocheckpoint = 100", "secure_delete = ON"):
            connection.execute(f"PRAGMA {setting}").fetchall()
    return engine_of(connection)


def _json(counts: Mapping[str, int]) -> str:
    return orjson.dumps(dict(counts), option=orjson.OPT_SORT_KEYS).decode()


def _begin(connection: Connection, noted: UnderWay) -> None:
    values = {**noted._asdict(), "removed_counts": _json(noted.removed_counts)}
    connection.execute(
        insert(under_way).values(values).on_conflict_do_update(index_elements=["subject_hash"], set_=values)
    )


def _under_way(connection: Connection) -> list[UnderWay]:
    rows = connection.execute(select(under_way).order_by(under_way.c.begun_unix_ms).limit(1_000))
    return [UnderWay(**{**row, "removed_counts": orjson.loads(row["removed_counts"])}) for row in rows.mappings()]


def _find_under_way(connection: Connection, subject_hash: str) -> UnderWay | None:
    query = select(under_way).where(under_way.c.subject_hash == subject_hash)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else UnderWay(**{**row, "removed_counts": orjson.loads(row["removed_counts"])})


def _note(connection: Connection, subject_hash: str, removed_counts: Mapping[str, int]) -> None:
    meant = under_way.update().where(under_way.c.subject_hash == subject_hash)
    connection.execute(meant.values(removed_counts=_json(removed_counts)))


def _finish(connection: Connection, proof: Erasure | None, subject_hash: str) -> None:
    connection.execute(under_way.delete().where(under_way.c.subject_hash == subject_hash))
    if proof is not None:
        connection.execute(
            erasures.insert().values(
                subject_hash=proof.subject_hash, erased_unix_ms=proof.erased_unix_ms, actor=proof.actor,
                removed_counts=_json(proof.removed_counts), reason=proof.reason, signature=proof.signature,
            )
        )  # fmt: skip


def _purge(connection: Connection, before_unix_ms: int, most: int) -> int:
    # In the order of their numbers, which is that of time but for erasures that ran side by side.
    oldest = select(erasures.c.number, erasures.c.erased_unix_ms).order_by(erasures.c.number).limit(most)
    old = [row.number for row in connection.execute(oldest) if row.erased_unix_ms < before_unix_ms]
    if old:
        connection.execute(erasures.delete().where(erasures.c.number.in_(old)))
    return len(old)


def _empty_log(connection: Connection) -> bool:
    busy: int = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    return not busy


def _newest(connection: Connection, subject_hash: str) -> Erasure | None:
    query = select(erasures).where(erasures.c.subject_hash == subject_hash).order_by(erasures.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    counts = orjson.loads(row.removed_counts)
    return Erasure(row.subject_hash, row.erased_unix_ms, counts, row.actor, row.reason, row.signature)
