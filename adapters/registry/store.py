"""The registry's file as its writer thread sees it: batches of changes, one transaction per commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from adapters.registry.statements import DELETE, DELETE_USER, MOVE, TRIM, UPSERT
from core.errors import Failure, Unavailable
from core.model import Device, Provider

IDLE_S = 3600.0
# Pages of one erasure; with secure_delete what is left in others is zeros.
MAX_RETURNED = 4096


class Register(NamedTuple):
    """Devices to insert or update."""

    devices: Sequence[Device]


class Move(NamedTuple):
    """All devices of a user, to be another's; without another to be deleted."""

    app: str
    from_user_id: str
    into_user_id: str = ""


class Erase(NamedTuple):
    """A user whose devices are to leave the file, its free pages and its log."""

    app: str
    user_id: str


class Remove(NamedTuple):
    """Tokens to delete: (provider, token, gone_since_unix_ms) each; 0 spares nothing."""

    app: str
    gone: Sequence[tuple[int, str, int]]


Change = Register | Remove | Move | Erase


class RegistryStore:
    """Applies changes in their order; a run of registrations is one statement."""

    def __init__(self, engine: Engine, path: Path, devices_per_user: int) -> None:
        self._engine = engine
        self._path = path
        self._devices_per_user = devices_per_user

    def write(self, items: Sequence[Change]) -> list[int | Failure]:
        """Write all in one commit; return for each how many devices it named or removed. Raises Unavailable."""
        results: list[int | Failure] = []
        with mapped_errors(self._path), self._engine.begin() as connection:
            # At once, since a read lock that must grow while another worker writes fails without waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            for kind, run in groupby(items, type):
                if kind is Register:
                    results += self._register(connection, [item for item in run if isinstance(item, Register)])
                elif kind is Remove:
                    results += [remove(connection, item) for item in run if isinstance(item, Remove)]
                else:
                    results += [self._move(connection, item) for item in run if isinstance(item, Move | Erase)]
        return self._after_erasure(items, results)

    def upkeep(self, idle: bool) -> float:
        """Do nothing: SQLite checkpoints this file by itself, and no table grows without a device behind it."""
        del idle
        return IDLE_S

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _register(self, connection: Connection, items: list[Register]) -> list[int]:
        devices = newest_of(device for item in items for device in item.devices)
        users = sorted({(device.user_id, device.app) for device in devices})
        connection.execute(UPSERT, {"rows": orjson.dumps([row_of(device) for device in devices]).decode()})
        connection.execute(TRIM, {"users": orjson.dumps(users).decode(), "most": self._devices_per_user})
        return [len(item.devices) for item in items]

    def _after_erasure(self, items: Sequence[Change], results: list[int | Failure]) -> list[int | Failure]:
        """Give free pages back and empty the log, where what was erased still stands; fail erasures if it is in use."""
        if not any(isinstance(item, Erase) for item in items):
            return results
        with mapped_errors(self._path), closing(self._engine.raw_connection()) as pooled:
            assert isinstance(pooled.driver_connection, sqlite3.Connection)
            emptied = forget_deleted(pooled.driver_connection)
        if emptied:
            return results
        late = Unavailable(f"{self._path.name}: erased, but its log is in use; erase again")
        return [late if isinstance(item, Erase) else result for item, result in zip(items, results, strict=True)]

    def _move(self, connection: Connection, item: Move | Erase) -> int:
        if isinstance(item, Erase):
            item = Move(item.app, item.user_id)
        whose = {"of_app": item.app, "from_user": item.from_user_id}
        if not item.into_user_id:
            return connection.execute(DELETE_USER, whose).rowcount
        moved = connection.execute(MOVE, {**whose, "into_user": item.into_user_id}).rowcount
        users = orjson.dumps([(item.into_user_id, item.app)]).decode()
        connection.execute(TRIM, {"users": users, "most": self._devices_per_user})
        return moved


def forget_deleted(connection: sqlite3.Connection) -> bool:
    """Return free pages to the file system and empty the log; tell whether no reader held it."""
    # By executescript: see adapters/journal/compaction.py.
    connection.executescript(f"PRAGMA incremental_vacuum({MAX_RETURNED})")
    busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy


def newest_of(devices: Iterable[Device]) -> list[Device]:
    """Return each token's newest registration, since a statement may touch a row only once (PostgreSQL insists)."""
    newest: dict[tuple[str, Provider, str], Device] = {}
    for device in devices:
        key = (device.app, device.target.provider, device.target.token)
        if key not in newest or newest[key].target.registered_unix_ms <= device.target.registered_unix_ms:
            newest[key] = device
    return list(newest.values())


def remove(connection: Connection, item: Remove) -> int:
    """Delete the tokens of one change; return how many there were."""
    return connection.execute(DELETE, {"app": item.app, "gone": orjson.dumps(item.gone).decode()}).rowcount


def row_of(device: Device) -> tuple[object, ...]:
    """Return a device's values in the order of statements.COLUMNS."""
    target = device.target
    return (
        device.user_id, device.app, int(target.provider), target.token, int(target.environment),
        target.registered_unix_ms, device.locale, device.time_zone, device.app_version,
        device.permission, device.encryption_key.hex(), device.manufacturer,
    )


def engine_of(connection: sqlite3.Connection) -> Engine:
    """Let SQLAlchemy speak through one connection that we opened."""
    return create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn what SQLAlchemy and SQLite raise into Unavailable."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise Unavailable(f"{path.name}: {getattr(error, 'orig', None) or error}") from error
