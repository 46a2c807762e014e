"""The registry of devices in a real file: what is registered, moved, retired and found."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite

from adapters.registry.sqlite import RegistryOptions, SqliteRegistry
from adapters.registry.statements import DELETE, DELETE_USER, MOVE, TARGETS_OF, TRIM, USER_DEVICES
from core.errors import Overloaded, StoreFailure, Unavailable
from core.model import Device, Environment, Provider, Target
from core.policy.people import Permission

APP = "com.example.wallet"
FIRST_VERSION = f"""
CREATE TABLE devices (
    user_id TEXT NOT NULL, app TEXT NOT NULL, provider SMALLINT NOT NULL, token TEXT NOT NULL,
    environment SMALLINT NOT NULL, registered_unix_ms BIGINT NOT NULL, locale TEXT NOT NULL, time_zone TEXT NOT NULL,
    app_version TEXT NOT NULL,
    CONSTRAINT devices_pkey PRIMARY KEY (user_id, app, provider, token),
    CONSTRAINT devices_token_key UNIQUE (app, provider, token)
) WITHOUT ROWID;
INSERT INTO devices VALUES ('anna', '{APP}', 1, 't', 0, 1000, '', '', '');
PRAGMA application_id = {0x57505247};
PRAGMA user_version = 1;
"""


def device(
    user_id: str, token: str, at_unix_ms: int = 1_000, provider: Provider = Provider.APNS, app: str = APP,
) -> Device:
    target = Target(provider, token, Environment.SANDBOX, at_unix_ms)
    return Device(app, user_id, target, "de-DE", "Europe/Berlin", "1.2")


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SqliteRegistry]:
    opened = await SqliteRegistry.open(tmp_path)
    yield opened
    await opened.close()


async def tokens_of(registry: SqliteRegistry, user_id: str) -> list[str]:
    return sorted(target.token for target in (await registry.devices_of(APP, [user_id])).get(user_id, []))


async def test_devices_come_back_as_they_were_registered(registry: SqliteRegistry) -> None:
    made = [device("anna", "t1", 1_000), device("anna", "t2:'\"ü", 2_000, Provider.FCM), device("bob", "t3", 3_000)]
    await registry.register(made)
    found = await registry.devices_of(APP, ["anna", "bob", "nobody", "anna"])
    assert set(found) == {"anna", "bob"}
    assert set(found["anna"]) == {made[0].target, made[1].target}
    assert await registry.list_devices(APP, "anna") == [made[1], made[0]]
    assert await registry.devices_of("another app", ["anna"]) == {}
    assert await registry.devices_of(APP, []) == {}


async def test_a_token_moves_to_the_user_who_registers_it_last(registry: SqliteRegistry) -> None:
    await registry.register([device("anna", "t1", 1_000), device("anna", "t2", 1_000)])
    await registry.register([device("bob", "t1", 2_000)])
    assert await tokens_of(registry, "anna") == ["t2"]
    assert await registry.list_devices(APP, "bob") == [device("bob", "t1", 2_000)]
    assert await registry.count(APP, Provider.APNS) == 2


async def test_what_policy_asks_of_devices_comes_with_them(registry: SqliteRegistry) -> None:
    key = bytes(range(32))
    full = Device(APP, "anna", device("anna", "t1").target, "zh-CN", "Asia/Shanghai", "2.0", 3, key, "vivo")
    await registry.register([full, device("anna", "t2", provider=Provider.FCM)])
    first, second = sorted((await registry.user_devices(APP, ["anna", "nobody"]))["anna"], key=lambda one: one.target)
    assert first == (full.target, "zh-CN", "Asia/Shanghai", Permission.DENIED, "vivo", key)
    assert (second.permission, second.manufacturer, second.encryption_key) == (Permission.UNKNOWN, "", b"")
    assert full in await registry.list_devices(APP, "anna")
    renewed = device("anna", "t1", 2_000)
    await registry.register([renewed])
    assert renewed in await registry.list_devices(APP, "anna")


async def test_devices_move_or_go_with_their_user(tmp_path: Path) -> None:
    registry = await SqliteRegistry.open(tmp_path, RegistryOptions(devices_per_user=3))
    await registry.register([device(name, f"{name[0]}{at}", at) for name, at in (("anna", 1), ("anna", 3))])
    await registry.register([device("bob", f"b{at}", at) for at in (2, 4)])
    await registry.register([device("anna", "elsewhere", app="b")])
    assert await registry.move(APP, "anna", "bob") == 2
    assert await tokens_of(registry, "anna") == []
    assert await tokens_of(registry, "bob") == ["a3", "b2", "b4"]
    assert list(await registry.devices_of("b", ["anna"])) == ["anna"]
    assert await registry.remove_user(APP, "bob") == 3
    assert await registry.remove_user(APP, "bob") == 0
    await registry.close()


async def test_a_file_of_the_first_version_is_migrated(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "registry.db")
    connection.executescript(FIRST_VERSION)
    connection.close()
    registry = await SqliteRegistry.open(tmp_path)
    (kept,) = await registry.list_devices(APP, "anna")
    assert (kept.target.token, kept.permission, kept.encryption_key, kept.manufacturer) == ("t", 0, b"", "")
    await registry.register([device("anna", "t2")])
    assert await tokens_of(registry, "anna") == ["t", "t2"]
    await registry.close()


async def test_an_older_registration_changes_nothing_later_or_together(registry: SqliteRegistry) -> None:
    await registry.register([device("bob", "t1", 2_000), device("anna", "t1", 1_000)])
    assert await tokens_of(registry, "bob") == ["t1"]
    await registry.register([device("anna", "t1", 1_999)])
    newest, older = device("carl", "t1", 3_000), device("anna", "t1", 2_500)
    await asyncio.gather(registry.register([newest]), registry.register([older]))
    assert await tokens_of(registry, "carl") == ["t1"]
    assert await tokens_of(registry, "anna") == []


async def test_same_token_of_another_app_or_provider_is_another_device(registry: SqliteRegistry) -> None:
    others = [device("bob", "t", provider=Provider.FCM), device("carl", "t", app="b")]
    await registry.register([device("anna", "t"), *others])
    assert await registry.unregister(APP, Provider.APNS, ["t", "unknown"]) == 1
    assert await tokens_of(registry, "bob") == ["t"]
    assert list(await registry.devices_of("b", ["carl"])) == ["carl"]


async def test_a_token_registered_at_or_after_the_time_of_its_death_stays(registry: SqliteRegistry) -> None:
    tokens = ("before", "same", "after", "untimed", "unnamed")
    await registry.register([device("anna", token, 1_000) for token in tokens])
    gone = [(Provider.APNS, "before", 1_001), (Provider.APNS, "same", 1_000), (Provider.APNS, "after", 999),
            (Provider.APNS, "untimed", 0), (Provider.FCM, "unnamed", 5_000), (Provider.APNS, "nowhere", 5_000)]
    assert await registry.retire(APP, gone) == 2
    assert await tokens_of(registry, "anna") == ["after", "same", "unnamed"]
    assert await registry.retire("another app", [(Provider.APNS, "after", 0)]) == 0
    assert await registry.retire(APP, []) == 0


async def test_retiring_and_registering_keep_their_order_in_one_commit(registry: SqliteRegistry) -> None:
    results = await asyncio.gather(
        registry.register([device("anna", "t", 1_000)]), registry.retire(APP, [(Provider.APNS, "t", 2_000)]),
        registry.register([device("bob", "t", 3_000)]), registry.retire(APP, [(Provider.APNS, "t", 2_000)]),
    )
    assert list(results) == [None, 1, None, 0]
    assert await tokens_of(registry, "bob") == ["t"]


async def test_a_users_newest_devices_are_kept_up_to_the_bound(tmp_path: Path) -> None:
    registry = await SqliteRegistry.open(tmp_path, RegistryOptions(devices_per_user=5))
    await registry.register([device("anna", f"t{at}", at) for at in range(1, 9)] + [device("bob", "b", 1)])
    assert [one.target.token for one in await registry.list_devices(APP, "anna")] == ["t8", "t7", "t6", "t5", "t4"]
    await registry.register([device("anna", "older", 2, app="b"), device("anna", "t9", 9)])
    assert await tokens_of(registry, "anna") == ["t5", "t6", "t7", "t8", "t9"]
    assert await tokens_of(registry, "bob") == ["b"]
    await registry.close()


async def test_ten_thousand_users_are_one_question_and_more_are_refused(registry: SqliteRegistry) -> None:
    users = [f"user-{number}" for number in range(10_000)]
    await registry.register([device(user, f"token-{user}") for user in users])
    found = await registry.devices_of(APP, users)
    assert {user: targets[0].token for user, targets in found.items()} == {user: f"token-{user}" for user in users}
    with pytest.raises(ValueError, match="10000"):
        await registry.devices_of(APP, [*users, "one more"])


@pytest.mark.parametrize(
    ("statement", "search"),
    [(TARGETS_OF, "user_id=? AND app=?"), (USER_DEVICES, "user_id=? AND app=?"), (MOVE, "user_id=? AND app=?"),
     (DELETE_USER, "user_id=? AND app=?"), (TRIM, "user_id=? AND app=?"), (DELETE, "app=? AND provider=? AND token=?")],
)
async def test_batches_search_an_index_and_never_walk_the_table(
    tmp_path: Path, registry: SqliteRegistry, statement: ClauseElement, search: str,
) -> None:
    await registry.register([device("anna", "t")])
    query = str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
    connection = sqlite3.connect(tmp_path / "registry.db")
    values = {"app": APP, "users": "[]", "gone": "[]", "most": 1, "of_app": APP, "from_user": "a", "into_user": "b"}
    steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values)]
    connection.close()
    assert any(search in step for step in steps)
    assert not any(re.search(r"SCAN (d|devices)\b", step) for step in steps)


async def test_registrations_survive_a_restart_and_are_seen_by_other_workers(tmp_path: Path) -> None:
    first, second = await asyncio.gather(SqliteRegistry.open(tmp_path), SqliteRegistry.open(tmp_path))
    await asyncio.gather(*(
        (first, second)[number % 2].register([device(f"user-{number}", f"t{number}")]) for number in range(100)
    ))
    assert await first.count(APP, Provider.APNS) == await second.count(APP, Provider.APNS) == 100
    await first.close()
    await second.close()
    again = await SqliteRegistry.open(tmp_path)
    assert await tokens_of(again, "user-99") == ["t99"]
    await again.close()


async def test_workers_that_start_together_make_one_registry(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from adapters.registry.sqlite import SqliteRegistry\n"
        "async def main():\n    await (await SqliteRegistry.open(Path(sys.argv[1]))).close()\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
    assert [await process.wait() for process in processes] == [0, 0, 0]


async def test_full_disk_refuses_a_registration_and_later_ones_succeed(registry: SqliteRegistry) -> None:
    await registry.register([device("anna", "t1")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(Unavailable, match="registry"):
            await registry.register([device("bob", f"t{number}") for number in range(2, 2000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert await tokens_of(registry, "bob") == []
    await registry.register([device("bob", "t2")])
    assert await tokens_of(registry, "bob") == ["t2"]


async def test_queue_is_bounded_and_closed_registry_refuses(tmp_path: Path) -> None:
    registry = await SqliteRegistry.open(tmp_path, RegistryOptions(queue_bytes=1_000))
    results = await asyncio.gather(
        *(registry.register([device("anna", f"t{number}")]) for number in range(5)), return_exceptions=True,
    )
    assert [type(result) for result in results][:1] == [type(None)]
    assert any(isinstance(result, Overloaded) for result in results)
    await registry.close()
    with pytest.raises(Unavailable):
        await registry.register([device("anna", "t")])
    with pytest.raises(Unavailable):
        await registry.devices_of(APP, ["anna"])


async def test_newer_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreFailure, match="not a registry"):
        await SqliteRegistry.open(tmp_path)
