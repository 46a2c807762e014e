"""The writing of users against a plain reference: commits of many changes, refused ones among them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from adapters.people.changes import Stored, Upsert
from adapters.people.sealing import Sealer, make_ring
from adapters.people.statements import PEOPLE
from adapters.people.users import hash_of, load, load_owners, upsert
from core.errors import InvalidRequest, Refusal
from core.people import MAX_ATTRIBUTE_BYTES, User, UserChange, attribute_bytes
from core.policy.people import LockScreenDetail
from core.values import Value

APPS, USER_IDS, SYSTEMS, IDS = ("wallet", "bank"), ("anna", "bob"), ("crm", "core"), ("1", "2")
KEYS = [(user_id, app) for user_id in USER_IDS for app in APPS]
# Three of these fit a user, four do not.
BIG = "x" * 5_000
NAMES = ("a", "b", "c", "d")
SINGLE = [f"attributes.{name}" for name in NAMES]
FIELDS = ("locale", "phone", "tags", "attributes", "external_ids", "lock_screen", "last_open_unix_ms")
Users = dict[tuple[str, str], User]
Told = bool | tuple[str, str]

values: st.SearchStrategy[Value] = st.sampled_from((1, "text", BIG))
users = st.builds(
    User,
    app=st.sampled_from(APPS), user_id=st.sampled_from(USER_IDS), locale=st.sampled_from(("", "zh-CN", "en")),
    phone=st.sampled_from(("", "+8613800138000")), tags=st.sampled_from(((), ("vip",))),
    attributes=st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
    external_ids=st.dictionaries(st.sampled_from(SYSTEMS), st.sampled_from(IDS), max_size=2),
    lock_screen=st.sampled_from(LockScreenDetail), last_open_unix_ms=st.sampled_from((0, 5, 9)),
)  # fmt: skip
# Whose an id is makes most of the work, so that every second change is about it.
named = st.frozensets(st.sampled_from((*FIELDS, *SINGLE)), max_size=6)
changes = st.builds(UserChange, users, st.one_of(named, named.map(lambda fields: fields | {"external_ids"})))
items = st.builds(
    Upsert, st.lists(changes, min_size=1, max_size=4), st.integers(1, 1_000), st.booleans()
)  # fmt: skip
commits = st.lists(st.lists(items, min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def sealer() -> Iterator[Sealer]:
    with tempfile.TemporaryDirectory() as directory:
        make_ring(Path(directory) / "people.json")
        yield Sealer(Path(directory) / "people.json")


@given(commits)
def test_commits_store_what_one_change_after_another_does(sealer: Sealer, told: list[list[Upsert]]) -> None:
    engine = create_engine("sqlite://")
    kept: Users = {}
    with engine.begin() as connection:
        for statement in PEOPLE.create:
            connection.exec_driver_sql(statement)
        for commit in told:
            results = [shown(one) for one in upsert(connection, commit, sealer)]
            assert results == [put_plainly(kept, item) for item in commit]
            assert load(connection, KEYS, sealer) == kept
            assert owners(connection, sealer) == {
                (user.app, system, one): user.user_id
                for user in kept.values() for system, one in user.external_ids.items()
            }  # fmt: skip
    engine.dispose()


def owners(connection: Connection, sealer: Sealer) -> dict[tuple[str, str, str], str]:
    asked = {
        hash_of(sealer, *one): one for one in ((a, system, told) for a in APPS for system in SYSTEMS for told in IDS)
    }
    return {asked[one]: user_id for one, user_id in load_owners(connection, asked).items()}


def shown(result: Stored | Refusal) -> Told | list[Told]:
    if isinstance(result, InvalidRequest):
        return result.field, result.why
    assert not isinstance(result, Refusal)
    return [one if isinstance(one, bool) else (one.field, one.why) for one in narrowed(result)]


def narrowed(results: Stored) -> Sequence[bool | InvalidRequest]:
    return [one for one in results if isinstance(one, (bool, InvalidRequest))]


def put_plainly(kept: Users, item: Upsert) -> Told | list[Told]:
    """Put an item onto the users, change by change; what stops it takes all of it back."""
    before = kept.copy()
    results: list[Told] = []
    for place, change in enumerate(item.changes):
        key = (change.user.user_id, change.user.app)
        user = changed(kept.get(key) or User(key[1], key[0], created_unix_ms=item.now_unix_ms), change)
        wrong = fault(kept, user, change.fields)
        if wrong is None:
            results.append(key not in kept)
            kept[key] = replace(user, updated_unix_ms=item.now_unix_ms)
        elif item.each:
            results.append((f"changes[{place}].user.{wrong[0]}", wrong[1]))
        else:
            kept.clear()
            kept.update(before)
            return f"changes[{place}].user.{wrong[0]}", wrong[1]
    return results


def changed(user: User, change: UserChange) -> User:
    told, named = change.user, change.fields
    attributes = dict(user.attributes)
    for name in NAMES:
        if f"attributes.{name}" in named:
            attributes.pop(name, None)
            if name in told.attributes:
                attributes[name] = told.attributes[name]
    opened = max(told.last_open_unix_ms, user.last_open_unix_ms) if told.last_open_unix_ms else 0
    return replace(
        user,
        locale=told.locale if "locale" in named else user.locale,
        phone=told.phone if "phone" in named else user.phone,
        tags=told.tags if "tags" in named else user.tags,
        attributes=told.attributes if "attributes" in named else attributes,
        external_ids=told.external_ids if "external_ids" in named else user.external_ids,
        lock_screen=told.lock_screen if "lock_screen" in named else user.lock_screen,
        last_open_unix_ms=opened if "last_open_unix_ms" in named else user.last_open_unix_ms,
    )


def fault(kept: Users, user: User, named: frozenset[str]) -> tuple[str, str] | None:
    if attribute_bytes(user.attributes) > MAX_ATTRIBUTE_BYTES:
        return "attributes", "at most 128 attributes of 16,384 bytes in all, with those that are stored"
    for system, one in user.external_ids.items() if "external_ids" in named else ():
        for other in kept.values():
            if other.app == user.app and other.user_id != user.user_id and other.external_ids.get(system) == one:
                return f"external_ids[{system}]", "is another user's"
    return None
