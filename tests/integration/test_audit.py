"""The audit log over a real file: appended by several writers, chained, read, purged, and found out when changed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.audit.sqlite import SqliteAudit, newest_lines
from adapters.audit.verification import verify
from core.audit import NO_HASH, AuditLine, Link, hash_of
from core.errors import Unavailable

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


def line(number: int, subject: str = "", app: str = "wallet") -> AuditLine:
    return AuditLine(1_000 + number, app, f"care-{number % 3}", "UserService.GetUser", subject, f"line {number}")


async def fill(directory: Path, count: int) -> None:
    audit = await SqliteAudit.open(directory, KEY)
    await audit.append([line(number) for number in range(count)])
    await audit.close()


def tamper(directory: Path, *statements: str) -> None:
    """Change the file as one who may write it: without its triggers."""
    with closing(sqlite3.connect(directory / "audit.db")) as connection, connection:
        for trigger in ("records_stay", "records_leave_in_order"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


async def test_lines_come_back_newest_first_by_app_and_subject(tmp_path: Path) -> None:
    audit = await SqliteAudit.open(tmp_path, KEY)
    await audit.append([line(0, "lin"), line(1, "wei"), line(2, "lin", "other")])
    await audit.append([line(3, "lin"), line(4)])
    numbers = [link.number for link in await audit.lines("wallet", "", 0, 10)]
    assert numbers == [5, 4, 2, 1]
    assert [link.line for link in await audit.lines("wallet", "lin", 0, 10)] == [line(3, "lin"), line(0, "lin")]
    assert [link.number for link in await audit.lines("wallet", "lin", 4, 10)] == [1]
    assert [link.number for link in await audit.lines("wallet", "", 0, 2)] == [5, 4]
    await audit.close()
    with pytest.raises(Unavailable):
        await audit.lines("wallet", "", 0, 1)
    assert verify(tmp_path / "audit.db", KEY) == (5, 5, "")


async def test_writers_in_several_connections_make_one_chain(tmp_path: Path) -> None:
    logs = [await SqliteAudit.open(tmp_path, KEY) for _ in range(3)]
    await asyncio.gather(*(log.append([line(number), line(number)]) for number in range(40) for log in logs))
    assert verify(tmp_path / "audit.db", KEY) == (240, 240, "")
    for log in logs:
        await log.close()


async def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    await fill(tmp_path, 0)
    assert verify(tmp_path / "audit.db", KEY) == (0, 0, "")


@pytest.mark.parametrize(
    ("statement", "number", "fault"),
    [
        ("UPDATE records SET actor = 'nobody' WHERE number = 4", 5, "line 4 before it was changed"),
        ("UPDATE records SET at_unix_ms = at_unix_ms + 1 WHERE number = 1", 2, "line 1 before it was changed"),
        ("UPDATE records SET detail = 'x' WHERE number = 10", 10, "it was changed, or added"),
        ("UPDATE records SET previous = 'x' WHERE number = 7", 7, "line 6 before it was changed"),
        ("DELETE FROM records WHERE number = 5", 6, "lines between 4 and it are missing"),
        ("DELETE FROM records WHERE number = 1", 2, "lines between 0 and it are missing"),
        ("DELETE FROM records WHERE number > 8", 8, "lines behind it are missing"),
        ("DELETE FROM records", 0, "lines behind it are missing"),
        ("INSERT INTO records SELECT 11, 1, '', '', '', '', '', x'00'", 11, "line 10 before it was changed"),
        ("UPDATE ends SET number = 9 WHERE name = 'head'", 9, "the chain's head is not what the gateway wrote"),
        ("INSERT INTO ends SELECT 'base', 3, x'00', x'00'", 3, "the chain's base is not what the gateway wrote"),
        ("DELETE FROM ends", 10, "it was changed, or added"),
    ],
)
async def test_a_changed_log_is_found_out(tmp_path: Path, statement: str, number: int, fault: str) -> None:
    await fill(tmp_path, 10)
    tamper(tmp_path, statement)
    found = verify(tmp_path / "audit.db", KEY)
    assert (found.number, found.fault) == (number, fault)


async def test_a_chain_remade_without_the_key_is_found_out(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    forged = Link(2, AuditLine(1_001, "wallet", "somebody else", "UserService.GetUser"), b"")
    with closing(sqlite3.connect(tmp_path / "audit.db")) as connection:
        (previous,) = connection.execute("SELECT previous FROM records WHERE number = 2").fetchone()
    head = hash_of(forged._replace(previous=previous)).hex()
    tamper(
        tmp_path,
        "UPDATE records SET actor = 'somebody else', subject_hash = '', detail = '' WHERE number = 2",
        f"UPDATE ends SET line_hash = x'{head}' WHERE name = 'head'",
    )
    assert verify(tmp_path / "audit.db", KEY).fault == "the chain's head is not what the gateway wrote"


async def test_lines_are_neither_changed_nor_deleted_through_the_file_s_own_rules(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    with closing(sqlite3.connect(tmp_path / "audit.db")) as connection:
        for statement in ("UPDATE records SET actor = 'x'", "DELETE FROM records WHERE number = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                connection.execute(statement)


async def test_old_lines_leave_in_their_order_and_the_rest_stays_whole(tmp_path: Path) -> None:
    audit = await SqliteAudit.open(tmp_path, KEY)
    await audit.append([line(number) for number in range(10)])
    assert await audit.purge(0, 1_007, 5) == (5, True)
    assert await audit.purge(0, 1_007, 5) == (2, False)
    assert await audit.purge(0, 1_007, 5) == (0, False)
    assert [link.number for link in await audit.lines("wallet", "", 0, 100)] == [10, 9, 8]
    assert verify(tmp_path / "audit.db", KEY) == (3, 10, "")
    assert await audit.purge(0, 9_999, 5) == (3, False)
    await audit.append([line(10)])
    assert verify(tmp_path / "audit.db", KEY) == (1, 11, "")
    assert verify(tmp_path / "audit.db", OTHER_KEY).fault == "the chain's base is not what the gateway wrote"
    await audit.close()


async def test_the_newest_lines_are_shown_in_their_order(tmp_path: Path) -> None:
    await fill(tmp_path, 10)
    seen: list[int] = []
    newest_lines(tmp_path / "audit.db", 3, lambda link: seen.append(link.number))
    assert seen == [8, 9, 10]


texts = st.text(st.characters(codec="utf-8"), max_size=8)
links = st.builds(
    Link, st.integers(0, 1 << 62), st.builds(AuditLine, st.integers(0, 1 << 62), texts, texts, texts, texts, texts),
    st.sampled_from((NO_HASH, b"\1" * 32)),
)  # fmt: skip


@given(links, links)
def test_different_lines_have_different_hashes(one: Link, other: Link) -> None:
    assert (hash_of(one) == hash_of(other)) == (one == other)
