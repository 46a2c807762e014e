"""Users, consents and preferences in a real file: what is stored, found, merged, taken back and sealed."""

from __future__ import annotations

import asyncio
import mmap
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import event

from adapters.hotstate import shared_file
from adapters.people.marks import MARKS_BYTES, ChangeMarks, RecipientMemory
from adapters.people.sealing import make_ring
from adapters.people.source import SqliteRecipients
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.errors import InvalidRequest, StoreFailure, Unavailable, UnknownUser
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.model import Device, Provider, Target
from core.people import Consent, ConsentMethod, User, UserChange
from core.policy.counting import Counting
from core.policy.people import Channel, LockScreenDetail, QuietWindow, Recipient, Suppression
from core.policy.rules import AppRules
from core.values import Moment, Money
from gateway.count_moves import CounterMoves

APP = "com.example.wallet"
PUSH, SMS = int(Channel.PUSH), int(Channel.SMS)
FULL = User(
    APP, "anna", "zh-CN", "Asia/Shanghai", "CN", "CNY", "+8613800138000", "anna@example.org", "1990-02-28", "gold",
    ("vip", "beta"),
    {"text": "Grüße '\"", "whole": -(1 << 63), "number": 1.0, "flag": True, "seen": Moment(5), "day": date(2024, 2, 29),
     "balance": Money(1250, "CNY"), "spent": Money(3)},
    {"crm": "4711", "bank": "B-1"}, LockScreenDetail.FULL, 9,
)  # fmt: skip
EVERY_FIELD = frozenset(User.__dataclass_fields__) - {"app", "user_id", "created_unix_ms", "updated_unix_ms"}


def change(user: User, *fields: str) -> UserChange:
    return UserChange(user, frozenset(fields) or EVERY_FIELD)


def yes(category: str = "promotion", channel: int = PUSH, at: int = 1) -> Consent:
    return Consent(category, channel, True, ConsentMethod.APP, "v1", "app", at, "ticket 1")


def no(category: str = "", channel: int = 0, at: int = 2) -> Consent:
    return Consent(category, channel, False, ConsentMethod.REPLY, "", "app", at)


def held_in(directory: Path) -> bytes:
    """Return all bytes of the file of users and of its log."""
    return b"".join(path.read_bytes() for path in directory.glob("people.db*"))


async def open_people(directory: Path, registry: SqliteRegistry, marks: ChangeMarks | None = None) -> SqlitePeople:
    make_ring(directory / "keys" / "people.json")
    return await SqlitePeople.open(
        directory, directory / "keys" / "people.json", registry, marks=marks,
        spared=lambda _: frozenset({"account"}), now_unix_ms=lambda: 1_000,
    )  # fmt: skip


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SqliteRegistry]:
    opened = await SqliteRegistry.open(tmp_path)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def people(tmp_path: Path, registry: SqliteRegistry) -> AsyncIterator[SqlitePeople]:
    opened = await open_people(tmp_path, registry)
    yield opened
    await opened.close()


async def recipient(people: SqlitePeople, user_id: str = "anna", attributes: bool = False) -> Recipient:
    return (await people.recipients(APP, [user_id], attributes))[user_id]


async def test_a_user_comes_back_as_stored_and_is_found_by_each_id(people: SqlitePeople) -> None:
    assert await people.upsert([change(FULL)], 100) == [True]
    stored = replace(FULL, created_unix_ms=100, updated_unix_ms=100)
    assert await people.get(APP, "anna") == stored
    assert await people.find(APP, "crm", "4711") == stored
    assert await people.upsert([change(FULL)], 200) == [False]
    assert await people.get(APP, "anna") == replace(stored, updated_unix_ms=200)
    for nobody in (people.get("other", "anna"), people.find(APP, "crm", "1"), people.find(APP, "bank", "4711")):
        assert await nobody is None


async def test_only_named_fields_change_and_attributes_one_by_one(people: SqlitePeople) -> None:
    await people.upsert([change(FULL)], 1)
    new = User(APP, "anna", locale="en", attributes={"flag": False, "ignored": 1})
    await people.upsert([change(new, "locale", "email", "attributes.flag", "attributes.text")], 2)
    found = await people.get(APP, "anna")
    assert found is not None
    assert (found.locale, found.email, found.phone, found.tags) == ("en", "", FULL.phone, FULL.tags)
    assert {**FULL.attributes, "flag": False} == {**found.attributes, "text": FULL.attributes["text"]}
    assert "text" not in found.attributes
    await people.upsert([change(new, "attributes")], 3)
    assert (await recipient(people, attributes=True)).attributes == {"flag": False, "ignored": 1}


async def test_an_opening_moves_forward_alone_unless_it_is_cleared(people: SqlitePeople) -> None:
    await people.upsert([change(replace(FULL, last_open_unix_ms=50))], 1)
    await people.upsert([change(replace(FULL, last_open_unix_ms=40), "last_open_unix_ms")], 1)
    await people.opened(APP, {"anna": 45, "new": 7})
    assert (await recipient(people)).last_open_unix_ms == 50
    assert (await recipient(people, "new")).last_open_unix_ms == 7
    await people.upsert([change(replace(FULL, last_open_unix_ms=0), "last_open_unix_ms")], 1)
    assert (await recipient(people)).last_open_unix_ms == 0


async def test_an_external_id_has_one_user_and_a_refused_change_leaves_nothing(people: SqlitePeople) -> None:
    await people.upsert([change(FULL)], 1)
    bob = User(APP, "bob", locale="de", external_ids={"crm": "4711"})
    with pytest.raises(InvalidRequest, match=r"changes\[1\]\.user\.external_ids\[crm\]"):
        await people.upsert([change(replace(bob, user_id="carl", external_ids={})), change(bob)], 2)
    assert await people.get(APP, "carl") is None
    results = await people.upsert_each([change(bob), change(replace(bob, user_id="carl", external_ids={}))], 2)
    assert isinstance(results[0], InvalidRequest)
    assert results[1] is True
    assert await people.get(APP, "bob") is None
    await people.upsert([change(User(APP, "anna"), "external_ids"), change(bob)], 3)
    found = await people.find(APP, "crm", "4711")
    assert found is not None
    assert found.user_id == "bob"
    assert await people.find(APP, "bank", "B-1") is None


async def test_changes_of_one_commit_build_on_each_other(people: SqlitePeople) -> None:
    one, two = User(APP, "anna", locale="en", tier="gold"), User(APP, "anna", locale="de", external_ids={"crm": "1"})
    results = await asyncio.gather(
        people.upsert([change(one, "locale", "tier"), change(two, "locale", "external_ids")], 1),
        people.upsert([change(replace(two, user_id="bob"), "external_ids")], 2), return_exceptions=True,
    )  # fmt: skip
    assert results[0] == [True, False]
    assert isinstance(results[1], InvalidRequest)
    found = await people.get(APP, "anna")
    assert found is not None
    assert (found.locale, found.tier, found.external_ids) == ("de", "gold", {"crm": "1"})
    assert await people.get(APP, "bob") is None


async def test_attributes_are_bounded_with_those_that_are_stored(people: SqlitePeople) -> None:
    many = {f"a{n}": n for n in range(128)}
    await people.upsert([change(User(APP, "anna", attributes=many), "attributes")], 1)
    with pytest.raises(InvalidRequest, match=r"changes\[0\]\.user\.attributes"):
        await people.upsert([change(User(APP, "anna", attributes={"one_more": 1}), "attributes.one_more")], 1)
    assert len((await recipient(people, attributes=True)).attributes) == 128


async def test_policy_sees_what_was_said_of_all_in_one_row(people: SqlitePeople) -> None:
    windows = [QuietWindow(1320, 480, 0b11111, "", True), QuietWindow(0, 60, 0, "promotion")]
    stop = Suppression("survey", SMS, True, "asked", 99)
    await people.upsert([change(FULL)], 1)
    await people.record(APP, "anna", [yes(), no("loyalty", 0)], 5)
    await people.set_quiet_windows(APP, "anna", windows)
    await people.suppress(APP, "anna", stop)
    await people.suppress(APP, "anna", stop._replace(reason="asked again"))
    await people.set_too_many(APP, "anna", True)
    seen = await recipient(people)
    assert seen == Recipient(
        "anna", "zh-CN", "Asia/Shanghai", "CN", "CNY", LockScreenDetail.FULL, "gold", frozenset({"vip", "beta"}),
        {("promotion", PUSH): True, ("loyalty", 0): False}, (stop._replace(reason="asked again"),), tuple(windows), 9,
        True,
    )  # fmt: skip
    assert await people.unsuppress(APP, "anna", "survey", SMS)
    assert not await people.unsuppress(APP, "anna", "survey", SMS)
    await people.set_quiet_windows(APP, "anna", [])
    await people.set_too_many(APP, "anna", False)
    seen = await recipient(people, attributes=True)
    assert (seen.suppressions, seen.quiet_windows, seen.too_many, seen.attributes) == ((), (), False, FULL.attributes)


async def test_preferences_create_a_user_who_is_not_known(people: SqlitePeople) -> None:
    await people.record(APP, "a", [no()], 5)
    await people.suppress(APP, "b", Suppression("", 0, False, "why"))
    await people.set_quiet_windows(APP, "c", [QuietWindow(0, 1)])
    await people.set_too_many(APP, "d", True)
    found = await people.recipients(APP, ["a", "b", "c", "d", "nobody"], False)
    assert found["a"] == Recipient("a", choices={("", 0): False})
    assert set(found) == {"a", "b", "c", "d"}


async def test_history_keeps_each_line_and_comes_newest_first_in_parts(people: SqlitePeople) -> None:
    said = [yes(at=1), no(at=3), yes(at=2), yes("account", at=4)]
    await people.record(APP, "bob", [no()], 10)
    await asyncio.gather(*(people.record(APP, "anna", [one], 10) for one in said))
    lines = await people.history(APP, "anna", 0, 3)
    rest = await people.history(APP, "anna", lines[-1][0], 3)
    assert [consent for _, consent in [*lines, *rest]] == said[::-1]
    assert (await recipient(people)).choices == {("", 0): False, ("account", PUSH): True}
    with pytest.raises(ValueError, match="only a no"):
        await people.record(APP, "anna", [yes("")], 10)


async def test_the_file_itself_refuses_to_change_the_history(people: SqlitePeople, tmp_path: Path) -> None:
    await people.record(APP, "anna", [yes()], 1)
    connection = sqlite3.connect(tmp_path / "people.db")
    for statement in ("UPDATE consents SET granted = 0", "UPDATE consents SET user_id = 'x'", "DELETE FROM consents"):
        with pytest.raises(sqlite3.IntegrityError, match="history"):
            connection.execute(statement)
    connection.close()


async def test_merging_moves_everything_and_the_more_careful_answer_stays(
    people: SqlitePeople, registry: SqliteRegistry
) -> None:
    await registry.register([Device(APP, "old", Target(Provider.APNS, "aa", registered_unix_ms=1))])
    await people.upsert([change(replace(FULL, user_id="old")), change(User(APP, "new", locale="en", tags=("x",)))], 1)
    await people.record(APP, "old", [yes("promotion"), yes("loyalty", SMS), no("survey", PUSH, 1)], 1)
    await people.record(APP, "new", [no("", SMS), yes("survey", PUSH, 9)], 2)
    await people.suppress(APP, "old", Suppression("", SMS, True, "old", 5))
    await people.set_quiet_windows(APP, "old", [QuietWindow(1, 2)])
    await people.set_too_many(APP, "old", True)
    assert await people.merge(APP, "old", "new", 50) == 1
    assert await people.get(APP, "old") is None
    found = await people.find(APP, "crm", "4711")
    assert found is not None
    assert (found.user_id, found.locale, found.tags, found.phone) == ("new", "en", ("x",), FULL.phone)
    seen = await recipient(people, "new")
    assert seen.choices == {("promotion", PUSH): True, ("survey", PUSH): False, ("", SMS): False}
    assert (seen.suppressions[0].reason, seen.quiet_windows, seen.too_many) == ("old", (QuietWindow(1, 2),), True)
    assert len(await people.history(APP, "new", 0, 10)) == 5
    assert list(await registry.devices_of(APP, ["old", "new"])) == ["new"]
    with pytest.raises(UnknownUser):
        await people.merge(APP, "old", "new", 60)


async def test_users_who_are_merged_in_a_ring_by_two_workers_keep_their_devices(
    people: SqlitePeople, registry: SqliteRegistry, tmp_path: Path
) -> None:
    other = await open_people(tmp_path, registry)
    names = [f"user-{number}" for number in range(6)]
    await people.upsert([change(User(APP, name), "tier") for name in names], 1)
    targets = [Target(Provider.APNS, f"a{number}", registered_unix_ms=1) for number in range(6)]
    await registry.register([Device(APP, name, target) for name, target in zip(names, targets, strict=True)])
    ring = zip(names, [*names[1:], names[0]], strict=True)
    merges = [(people, other)[place % 2].merge(APP, *pair, 2) for place, pair in enumerate(ring)]
    ended = await asyncio.gather(*merges, return_exceptions=True)
    await other.close()
    assert {type(one) for one in ended} <= {int, UnknownUser}
    known = [name for name in names if await people.get(APP, name) is not None]
    owned = await registry.devices_of(APP, names)
    assert sorted(owned) == known
    assert sum(map(len, owned.values())) == 6


async def test_a_deleted_user_leaves_the_history_alone_and_an_erased_one_nothing(
    people: SqlitePeople, registry: SqliteRegistry, tmp_path: Path
) -> None:
    for user_id in ("anna", "bertha-who-is-erased"):
        await people.upsert([change(replace(FULL, user_id=user_id, external_ids={"crm": user_id}))], 1)
        await people.record(APP, user_id, [yes()], 1)
    await registry.register([Device(APP, "anna", Target(Provider.APNS, "aa", registered_unix_ms=1))])
    assert await people.delete(APP, "anna")
    assert not await people.delete(APP, "anna")
    assert await people.recipients(APP, ["anna"], False) == {}
    assert await people.find(APP, "crm", "anna") is None
    assert await registry.devices_of(APP, ["anna"]) == {}
    assert len(await people.history(APP, "anna", 0, 10)) == 1
    held = [row async for row in people.export(APP, "bertha-who-is-erased")]
    assert [table for table, _ in held] == ["users", "choices", "consents"]
    assert held[0][1]["phone"] == FULL.phone
    counts = await people.erase(APP, "bertha-who-is-erased")
    assert {table: count for table, count in counts.items() if count} == {
        "users": 1, "external_ids": 1, "choices": 1, "consents": 1,
    }  # fmt: skip
    assert [row async for row in people.export(APP, "bertha-who-is-erased")] == []
    assert b"bertha" not in held_in(tmp_path)


async def test_no_file_holds_what_names_a_person(people: SqlitePeople, tmp_path: Path) -> None:
    await people.upsert([change(FULL)], 1)
    held = held_in(tmp_path)
    assert b"anna" in held
    for secret in (FULL.phone, FULL.email, FULL.birthday, "4711", "Gr\u00fc\u00dfe", "balance"):
        assert secret.encode() not in held, secret


async def test_ten_thousand_users_are_one_statement_in_each_file(
    people: SqlitePeople, registry: SqliteRegistry
) -> None:
    users = [f"user-{number}" for number in range(10_000)]
    for start in range(0, 10_000, 1_000):
        some = users[start : start + 1_000]
        await people.upsert([change(replace(FULL, user_id=one, external_ids={})) for one in some], 1)
    await registry.register([Device(APP, one, Target(Provider.APNS, one, registered_unix_ms=1)) for one in users])
    asked: list[str] = []
    for store in (people, registry):
        event.listen(store._reader, "before_cursor_execute", lambda *told: asked.append(told[2]))
    source = SqliteRecipients(people, registry)
    found = await source.recipients(APP, users, attributes=True)
    devices = await source.user_devices(APP, users)
    assert len(asked) == 2
    assert len(found) == len(devices) == 10_000
    assert found["user-9999"].attributes == FULL.attributes
    with pytest.raises(ValueError, match="10000"):
        await people.recipients(APP, [*users, "one more"], False)


async def test_damaged_moved_or_foreign_seals_are_told(tmp_path: Path, registry: SqliteRegistry) -> None:
    people = await open_people(tmp_path, registry)
    await people.upsert([change(FULL), change(User(APP, "bob", phone="+1"))], 1)
    connection = sqlite3.connect(tmp_path / "people.db")
    connection.execute("UPDATE users SET private = (SELECT private FROM users WHERE user_id = 'bob')")
    connection.commit()
    connection.close()
    assert await people.get(APP, "bob") is not None
    with pytest.raises(Unavailable, match="does not belong"):
        await people.get(APP, "anna")
    await people.close()
    (tmp_path / "keys" / "people.json").unlink()
    with pytest.raises(StoreFailure, match="another key file"):
        await open_people(tmp_path, registry)


async def test_a_single_look_up_is_remembered_until_any_worker_changes_the_user(tmp_path: Path) -> None:
    shared_file.create(tmp_path / "marks", MARKS_BYTES).close()
    registry = await SqliteRegistry.open(tmp_path)
    ours, theirs = [
        await open_people(tmp_path, registry, ChangeMarks(shared_file.attach(tmp_path / "marks"))) for _ in range(2)
    ]
    asked: list[str] = []
    event.listen(ours._reader, "before_cursor_execute", lambda *told: asked.append(told[2]))
    assert await ours.recipients(APP, ["anna"], False) == {}
    for kept in range(3):
        await theirs.record(APP, "anna", [yes(at=kept) if kept % 2 else no(at=kept)], 1)
        seen = [(await recipient(ours)).choices for _ in range(5)]
        assert seen == [seen[0]] * 5
        assert (("promotion", PUSH) in seen[0]) is (kept % 2 == 1)
    assert len(asked) == 4
    await theirs.delete(APP, "anna")
    assert await ours.recipients(APP, ["anna"], False) == {}
    for opened in (ours, theirs):
        await opened.close()
    await registry.close()


def test_marks_of_all_processes_differ_and_memory_forgets_the_oldest_and_the_old() -> None:
    marks = ChangeMarks(mmap.mmap(-1, MARKS_BYTES))
    memory = RecipientMemory(marks, size=2, max_age_ms=100)
    keys = [(f"user-{number}", APP) for number in range(3)]
    for number, key in enumerate(keys[:2]):
        memory.keep(key, memory.mark(key), 0, Recipient(str(number)))
    assert memory.find(keys[0], 50) == (Recipient("0"),)
    memory.keep(keys[2], memory.mark(keys[2]), 50, None)
    assert memory.find(keys[1], 50) is None
    assert memory.find(keys[2], 60) == (None,)
    assert memory.find(keys[0], 101) is None
    before = memory.mark(keys[2])
    marks.touch([keys[2]])
    assert memory.mark(keys[2]) != before
    assert memory.find(keys[2], 60) is None
    marks.close()


async def test_what_was_counted_moves_with_its_user() -> None:
    memory = bytearray(FrequencyCounters.required_bytes(1_000))
    FrequencyCounters.create(memory, 1_000, 60)
    counters, hashes = FrequencyCounters(memory), SipHash(bytes(16))
    counting = Counting(AppRules(APP), counters, hashes, 1_000)
    old, new = counting.user_keys([Recipient("old"), Recipient("new")])
    counters.add_events(old, [(1, 1, 990, False)], 1_000)
    CounterMoves(counters, hashes).move(APP, "old", "new", 1_000_000)
    assert (counters.events_of(old), counters.events_of(new)) == ([], [(1, 1, 990, False)])
