"""Registries of any size: users with one to three devices, written in bulk as the registry would hold them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from adapters.journal.sqlite_file import make_directory, open_writable
from adapters.registry.statements import COLUMNS, REGISTRY
from adapters.registry.store import row_of
from bench.stand import APP
from core.model import Device, Environment, Provider, Target

REGISTRY_FILE = "registry.db"
_MOST_DEVICES = 3
_TARGET = Target(Provider.APNS, "", Environment.PRODUCTION, registered_unix_ms=1_790_000_000_000)
_DEVICE = Device(APP, "", _TARGET, "zh-CN", "Asia/Shanghai", "9.1.0")
# Rows come in no order, as devices register: all of 10,000,000 lie in memory until the file is written.
_CACHE_KIB = 6 << 20
_INSERT = f"INSERT INTO devices ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def user_id(user: int) -> str:
    """Return a user's id: names are no order, so that neighbours in time are strangers in the registry."""
    return "user-" + hashlib.blake2b(b"%d" % user, digest_size=8).hexdigest()


def devices_of(user: int) -> int:
    """Return how many devices a user has: 1, 2 or 3, in turn."""
    return 1 + user % _MOST_DEVICES


def users_of(devices: int) -> int:
    """Return how many users a registry of at most so many devices has."""
    rounds, rest = divmod(devices, 6)
    return rounds * _MOST_DEVICES + (rest >= 1) + (rest >= 3)


def build(data_dir: Path, users: int, devices_each: int = 0) -> int:
    """Make a registry of so many users; return how many devices it has. 25 us a device, without a sync.

    devices_each: of every user, 0 for one to three.
    """
    make_directory(data_dir)
    connection = open_writable(data_dir / REGISTRY_FILE, REGISTRY)
    try:
        for setting in (f"cache_size = -{_CACHE_KIB}", "synchronous = OFF", "journal_mode = OFF"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        connection.execute("BEGIN")
        connection.executemany(_INSERT, _rows(users, devices_each))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        return _count(connection)
    finally:
        connection.close()


def warm(data_dir: Path) -> None:
    """Read a registry through, so that what follows waits for no disk as far as it fits into memory."""
    with (data_dir / REGISTRY_FILE).open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def _rows(users: int, devices_each: int) -> Iterator[tuple[object, ...]]:
    row = list(row_of(_DEVICE))
    name, token = COLUMNS.index("user_id"), COLUMNS.index("token")
    for user in range(users):
        row[name] = user_id(user)
        for place in range(devices_each or devices_of(user)):
            row[token] = hashlib.blake2b(b"%d/%d" % (user, place), digest_size=32).hexdigest()
            yield tuple(row)


def _count(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM devices").fetchone()[0]
    return count
