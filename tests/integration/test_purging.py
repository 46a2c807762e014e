"""What leaves the real files when it is old, and what stays."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.erasures.sqlite import SqliteErasures
from adapters.people.purging import PeoplePurge
from adapters.people.sealing import make_ring
from adapters.people.sqlite import SqlitePeople
from adapters.people.tables import metadata
from adapters.registry.purging import DevicePurge
from adapters.registry.sqlite import SqliteRegistry
from core.model import Device, Provider, Target
from core.people import Consent, ConsentMethod, User, UserChange
from core.policy.people import Channel, Suppression
from core.privacy import Erasure, Purged

APP = "wallet"
PUSH = int(Channel.PUSH)
Step = Callable[[int, int, int], Awaitable[Purged]]


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SqliteRegistry]:
    opened = await SqliteRegistry.open(tmp_path)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def people(tmp_path: Path, registry: SqliteRegistry) -> AsyncIterator[SqlitePeople]:
    make_ring(tmp_path / "keys")
    opened = await SqlitePeople.open(tmp_path, tmp_path / "keys", registry, now_unix_ms=lambda: 1_000)
    yield opened
    await opened.close()


async def swept(step: Step, now: int, before: int, most: int = 2) -> int:
    """Walk to the end, a few rows a step; return how many rows went."""
    total = 0
    for _ in range(100):
        rows, more = await step(now, before, most)
        total += rows
        if not more:
            return total
    raise AssertionError("the walk has no end")


async def add(people: SqlitePeople, user_id: str, now: int, last_open: int = 0) -> None:
    user = User(APP, user_id, locale="en", last_open_unix_ms=last_open)
    await people.upsert([UserChange(user, frozenset({"locale", "last_open_unix_ms"}))], now)


async def say(people: SqlitePeople, user_id: str) -> None:
    yes = Consent("promotion", PUSH, True, ConsentMethod.APP, "v1", "app", 5)
    await people.record(APP, user_id, [yes], 5)


def device(user_id: str, token: str, registered: int, provider: Provider = Provider.APNS) -> Device:
    return Device(APP, user_id, Target(provider, token, registered_unix_ms=registered))


async def test_the_history_of_who_left_goes_after_its_time_and_that_of_others_stays(
    people: SqlitePeople, registry: SqliteRegistry
) -> None:
    names = [f"u{number}" for number in range(7)]
    for name in names:
        await say(people, name)
    for name in names[:5]:
        await people.delete(APP, name)
    purge = PeoplePurge(people, registry)
    # Noticed at 100, so that the time runs from then; who left is gone once that is before.
    assert await swept(purge.histories, now=100, before=50) == 0
    assert ("departures", {"left_unix_ms": 100}) in [row async for row in people.export(APP, "u0")]
    await say(people, "u1")
    await people.delete(APP, "u5")
    assert await swept(purge.histories, now=200, before=101) == 4
    histories = {name: len(await people.history(APP, name, 0, 9)) for name in names}
    assert histories == {"u0": 0, "u1": 2, "u2": 0, "u3": 0, "u4": 0, "u5": 1, "u6": 1}
    assert [row async for row in people.export(APP, "u0")] == []
    # Who came back and leaves again has a new time.
    await people.delete(APP, "u1")
    assert await swept(purge.histories, now=300, before=101) == 0
    assert await swept(purge.histories, now=400, before=301) == 3


def held_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("people.db*"))


async def test_an_erased_leaver_is_no_leaver_any_more(
    people: SqlitePeople, registry: SqliteRegistry, tmp_path: Path
) -> None:
    await say(people, "leaver-to-erase")
    await people.delete(APP, "leaver-to-erase")
    await swept(PeoplePurge(people, registry).histories, now=100, before=50)
    counts = await people.erase(APP, "leaver-to-erase")
    assert (counts["departures"], counts["consents"]) == (1, 1)
    assert b"leaver-to-erase" not in held_in(tmp_path)


async def test_ended_suppressions_go_from_the_table_and_from_what_policy_reads(
    people: SqlitePeople, registry: SqliteRegistry
) -> None:
    for number, end in enumerate((10, 20, 30, 0, 99)):
        await people.suppress(APP, f"u{number}", Suppression("news", PUSH, False, "asked", end))
        await people.suppress(APP, f"u{number}", Suppression("survey", PUSH, False, "asked"))
    purge = PeoplePurge(people, registry)
    assert await swept(purge.suppressions, now=100, before=99) == 3
    read = await people.recipients(APP, [f"u{number}" for number in range(5)], False)
    assert {user_id: sorted(one.category for one in found.suppressions) for user_id, found in read.items()} == {
        "u0": ["survey"], "u1": ["survey"], "u2": ["survey"], "u3": ["news", "survey"], "u4": ["news", "survey"],
    }  # fmt: skip


async def test_devices_go_that_were_not_registered_anew(registry: SqliteRegistry) -> None:
    await registry.register([device(f"u{number}", f"a{number}", 10 + number) for number in range(5)])
    await registry.register([device("u0", "f0", 11, Provider.FCM), device("u0", "f1", 90, Provider.FCM)])
    purge = DevicePurge(registry)
    assert await swept(purge.stale, now=100, before=13) == 4
    left = await registry.devices_of(APP, [f"u{number}" for number in range(5)])
    assert {(user_id, one.token) for user_id, targets in left.items() for one in targets} == {
        ("u0", "f1"), ("u3", "a3"), ("u4", "a4"),
    }  # fmt: skip


async def test_users_go_who_were_not_seen_in_any_way(people: SqlitePeople, registry: SqliteRegistry) -> None:
    await add(people, "idle", 10)
    await add(people, "opened", 10, last_open=90)
    await add(people, "changed", 90)
    for name in ("renewed", "stale", "more-idle"):
        await add(people, name, 10)
    await registry.register([device("renewed", "aa", 90), device("stale", "bb", 20)])
    await say(people, "more-idle")
    purge = PeoplePurge(people, registry)
    assert await swept(purge.inactive, now=100, before=50) == 3
    names = ("idle", "opened", "changed", "renewed", "stale", "more-idle")
    kept = {name for name in names if await people.get(APP, name) is not None}
    assert kept == {"opened", "changed", "renewed"}
    assert await registry.devices_of(APP, ["stale"]) == {}
    assert len(await people.history(APP, "more-idle", 0, 9)) == 1


async def test_old_proofs_go(tmp_path: Path) -> None:
    erasures = await SqliteErasures.open(tmp_path)
    for number in range(5):
        proof = Erasure(f"{number:032x}", 10 + number, {"users": 1}, "officer", "asked", "s")
        await erasures.finish(proof, proof.subject_hash)
    assert await swept(erasures.purge, now=100, before=13) == 3
    assert await erasures.newest(f"{2:032x}") is None
    assert await erasures.newest(f"{3:032x}") is not None
    await erasures.close()


async def test_a_file_of_the_first_version_learns_who_left(tmp_path: Path, registry: SqliteRegistry) -> None:
    make_ring(tmp_path / "keys")
    first = await SqlitePeople.open(tmp_path, tmp_path / "keys", registry)
    await say(first, "kept")
    await first.close()
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection, connection:
        connection.execute("DROP TABLE departures")
        connection.execute("PRAGMA user_version = 1")
    opened = await SqlitePeople.open(tmp_path, tmp_path / "keys", registry)
    assert len(await opened.history(APP, "kept", 0, 9)) == 1
    await opened.delete(APP, "kept")
    assert await swept(PeoplePurge(opened, registry).histories, now=9, before=8) == 0
    assert await swept(PeoplePurge(opened, registry).histories, now=20, before=10) == 1
    await opened.close()
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert set(metadata.tables) <= names


@pytest.mark.parametrize("most", [1, 3, 500])
async def test_a_walk_ends_whatever_its_steps_are(people: SqlitePeople, registry: SqliteRegistry, most: int) -> None:
    for number in range(6):
        await say(people, f"u{number}")
    for number in range(3):
        await people.delete(APP, f"u{number}")
    purge = PeoplePurge(people, registry)
    assert await swept(purge.histories, now=9, before=8, most=most) == 0
    assert await swept(purge.histories, now=20, before=10, most=most) == 3
