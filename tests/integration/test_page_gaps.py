"""What SQLite leaves in the gaps of its pages is found there, told from what is held, and gone after a copy."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.journal.page_gaps import clean_gaps, leftovers
from adapters.journal.sqlite_file import Schema, open_writable

FILE = Schema(
    "users", application_id=7, version=1, migrations={},
    create=("CREATE TABLE users (user_id TEXT PRIMARY KEY, said TEXT, private BLOB) WITHOUT ROWID",),
)  # fmt: skip
TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)"


class History(NamedTuple):
    """A file, who is left in it and who was deleted."""

    path: Path
    kept: list[bytes]
    gone: list[bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> History:
    path = tmp_path_factory.mktemp("gaps") / "users.db"
    with closing(open_writable(path, FILE)) as connection:
        for setting in ("secure_delete = ON", "synchronous = OFF"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        return History(path, *live(connection, seed=1, steps=12_000))


@pytest.fixture
def history(made: History, tmp_path: Path) -> History:
    """Give each test a file of its own."""
    return made._replace(path=Path(shutil.copy(made.path, tmp_path / "users.db")))


def live(connection: sqlite3.Connection, seed: int, steps: int) -> tuple[list[bytes], list[bytes]]:
    """Write a random history; return who is left and who is gone."""
    rng = random.Random(seed)
    users: dict[str, None] = {}
    gone: list[bytes] = []
    connection.execute("BEGIN")
    for step in range(steps):
        kind = rng.random()
        user = next(iter(users)) if users and step % 8 else rng.choice(list(users)) if users else ""
        values = "x" * rng.randint(0, 300), rng.randbytes(rng.randint(0, 1_200))
        if kind < 0.5 or len(users) < 50:
            name = f"user-{rng.getrandbits(64):016x}"
            users[name] = None
            connection.execute("INSERT INTO users VALUES (?, ?, ?)", (name, *values))
        elif kind < 0.8:
            connection.execute("UPDATE users SET said = ?, private = ? WHERE user_id = ?", (*values, user))
        else:
            del users[user]
            gone.append(user.encode())
            connection.execute("DELETE FROM users WHERE user_id = ?", (user,))
    connection.execute("COMMIT")
    connection.execute(TRUNCATE).fetchall()
    return [user.encode() for user in users], gone


def found_in(path: Path) -> set[bytes]:
    """Return every user who stands anywhere in a file."""
    return set(re.findall(rb"user-[0-9a-f]{16}", path.read_bytes()))


def test_whatever_a_deleted_row_leaves_is_in_a_gap_and_gone_after_cleaning(history: History) -> None:
    path, kept, gone = history
    left = found_in(path) & set(gone)
    assert left, "this history is one that leaves something"
    content = path.read_bytes()
    assert leftovers(path, list(left)) == sum(content.count(name) for name in left)
    assert clean_gaps(path, list(left)) == 0
    assert found_in(path) == set(kept)
    with closing(open_writable(path, FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone()[0] == len(kept)


def test_a_file_without_leftovers_is_not_copied(history: History) -> None:
    before = history.path.stat().st_mtime_ns
    assert clean_gaps(history.path, [b"nobody"]) == 0
    assert history.path.stat().st_mtime_ns == before


def test_a_file_that_is_too_large_to_be_copied_tells_what_is_left(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.journal.page_gaps.MAX_COPIED_BYTES", 4_096)
    left = found_in(history.path) & set(history.gone)
    assert clean_gaps(history.path, list(left)) >= len(left) > 0
    assert found_in(history.path) & set(history.gone) == left
