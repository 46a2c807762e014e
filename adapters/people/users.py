"""The writing of users: each change put onto what is stored, all of a commit read and written in one step each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields
from functools import partial
from typing import TypeAlias

import orjson
from sqlalchemy import Connection

from adapters.people.changes import Stored, Upsert
from adapters.people.rows import pack_head, seal_attributes, seal_private, unpack_user
from adapters.people.sealing import Sealer
from adapters.people.statements import (
    DELETE_EXTERNAL_IDS,
    ENSURE_USERS,
    INSERT_EXTERNAL_IDS,
    OWNERS,
    UPSERT_USERS,
    USERS,
)
from core.errors import InvalidRequest, Refusal
from core.people import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, User, UserChange, attribute_bytes

ATTRIBUTE = "attributes."
# The fields that a change may name, in their order in User, after app and user_id and before the times of storing.
CHANGEABLE = tuple(field.name for field in fields(User))[2:-2]
LAST_OPEN = CHANGEABLE.index("last_open_unix_ms")
ATTRIBUTES = CHANGEABLE.index("attributes")
BLANK = User("", "")
Key: TypeAlias = tuple[str, str]
Hash: TypeAlias = tuple[str, str, str]


class Fold:
    """Users of one commit as they will be; owners: whose each external id is, "" for nobody's."""

    def __init__(self, users: dict[Key, User], sealer: Sealer) -> None:
        self.users = users
        self.owners: dict[Hash, str] = {}
        self.changed: set[Key] = set()
        self.moved: set[Key] = set()
        self._sealer = sealer
        self._hashes: dict[tuple[str, str, str], Hash] = {}

    def take(self, item: Upsert) -> Stored | Refusal:
        """Put an item's changes onto the users; one that is refused leaves no trace."""
        before = self.users.copy(), self.owners.copy(), self.changed.copy(), self.moved.copy()
        results: Stored = []
        for place, change in enumerate(item.changes):
            try:
                results.append(self._put(change, item.now_unix_ms, place))
            except InvalidRequest as refusal:
                if not item.each:
                    self.users, self.owners, self.changed, self.moved = before
                    return refusal
                results.append(refusal)
        return results

    def _put(self, change: UserChange, now_unix_ms: int, place: int) -> bool:
        key = (change.user.user_id, change.user.app)
        known = self.users.get(key)
        user = put_onto(known, change, now_unix_ms)
        # A whole map was bounded with the request; one that is put together here may have grown beyond.
        if user.attributes is not change.user.attributes:
            check_bounds(user, place)
        if "external_ids" in change.fields and (known or user.external_ids):
            self._move_ids(known, user, place)
        self.users[key] = user
        self.changed.add(key)
        return known is None

    def _move_ids(self, known: User | None, user: User, place: int) -> None:
        wanted = {system: self.hash_of(user.app, system, told) for system, told in user.external_ids.items()}
        for system, one in wanted.items():
            if self.owners.get(one, "") not in ("", user.user_id):
                path = f"changes[{place}].user.external_ids[{system}]"
                raise InvalidRequest(path, "is another user's")
        for system, told in known.external_ids.items() if known else ():
            self.owners[self.hash_of(user.app, system, told)] = ""
        self.owners.update(dict.fromkeys(wanted.values(), user.user_id))
        self.moved.add((user.user_id, user.app))

    def hash_of(self, app: str, system: str, told: str) -> Hash:
        """Return the key under which an external id is found, reckoned once in a commit."""
        asked = (app, system, told)
        known = self._hashes.get(asked)
        if known is None:
            known = self._hashes[asked] = hash_of(self._sealer, app, system, told)
        return known


def put_onto(known: User | None, change: UserChange, now_unix_ms: int) -> User:
    """Return a user with the named fields changed. An opening of the app only moves forward, unless it is cleared."""
    told, named = change.user, change.fields
    base = BLANK if known is None else known
    values = [getattr(told if name in named else base, name) for name in CHANGEABLE]
    if told.last_open_unix_ms and values[LAST_OPEN] < base.last_open_unix_ms:
        values[LAST_OPEN] = base.last_open_unix_ms
    if "attributes" not in named:
        single = {field.removeprefix(ATTRIBUTE) for field in named if field.startswith(ATTRIBUTE)}
        kept = {name: value for name, value in base.attributes.items() if name not in single}
        values[ATTRIBUTES] = kept | {name: told.attributes[name] for name in single if name in told.attributes}
    values += now_unix_ms if known is None else known.created_unix_ms, now_unix_ms
    return User(told.app, told.user_id, *values)


def check_bounds(user: User, place: int) -> None:
    """Raise InvalidRequest if a user has more attributes than may be, counted with those stored before."""
    if len(user.attributes) > MAX_ATTRIBUTES or attribute_bytes(user.attributes) > MAX_ATTRIBUTE_BYTES:
        why = f"at most {MAX_ATTRIBUTES} attributes of {MAX_ATTRIBUTE_BYTES:,} bytes in all, with those that are stored"
        raise InvalidRequest(f"changes[{place}].user.attributes", why)


def hash_of(sealer: Sealer, app: str, system: str, told: str) -> Hash:
    """Return the key under which an external id is found."""
    return sealer.index(app, system, told), app, system


def upsert(connection: Connection, items: Sequence[Upsert], sealer: Sealer) -> list[Stored | Refusal]:
    """Create or change the users of all items; return each item's results."""
    keys = {(change.user.user_id, change.user.app) for item in items for change in item.changes}
    users = load(connection, keys, sealer)
    had_ids = {key for key, user in users.items() if user.external_ids}
    fold = Fold(users, sealer)
    wanted = {
        fold.hash_of(change.user.app, system, told)
        for item in items for change in item.changes if "external_ids" in change.fields
        for system, told in change.user.external_ids.items()
    }  # fmt: skip
    fold.owners = load_owners(connection, wanted)
    results = [fold.take(item) for item in items]
    # In the order of the table, which then touches each of its pages once.
    write(connection, [fold.users[key] for key in sorted(fold.changed)], sealer)
    delete_ids(connection, fold.moved & had_ids)
    insert_ids(connection, [fold.users[key] for key in fold.moved], fold.hash_of)
    return results


def load(connection: Connection, keys: Iterable[Key], sealer: Sealer) -> dict[Key, User]:
    """Return the users of these (user_id, app) that are known."""
    answer = connection.execute(USERS, {"users": orjson.dumps(list(keys)).decode()}).scalar_one()
    return {(row[0], row[1]): unpack_user(row, sealer) for row in orjson.loads(answer)}


def load_owners(connection: Connection, hashes: Iterable[Hash]) -> dict[Hash, str]:
    """Return whose external ids these are, as far as they are anyone's."""
    asked = list(hashes)
    if not asked:
        return {}
    answer = connection.execute(OWNERS, {"hashes": orjson.dumps(asked).decode()}).scalar_one()
    return {(one, app, system): user_id for one, app, system, user_id in orjson.loads(answer)}


def write(connection: Connection, users: Sequence[User], sealer: Sealer) -> None:
    """Write whole users."""
    if not users:
        return
    # Never empty: of an empty blob substr gives NULL.
    rows, blobs = [], bytearray(1)
    for user in users:
        private, attributes = seal_private(user, sealer), seal_attributes(user, sealer)
        at = len(blobs) + 1
        blobs += private
        blobs += attributes
        rows.append((
            user.user_id, user.app, pack_head(user), user.last_open_unix_ms, user.created_unix_ms,
            user.updated_unix_ms, at, len(private), at + len(private), len(attributes),
        ))  # fmt: skip
    connection.execute(UPSERT_USERS, {"rows": orjson.dumps(rows).decode(), "blobs": bytes(blobs)})


def write_ids(connection: Connection, users: Sequence[User], sealer: Sealer) -> None:
    """Write all external ids of these users, and none else of theirs."""
    delete_ids(connection, [(user.user_id, user.app) for user in users])
    insert_ids(connection, users, partial(hash_of, sealer))


def delete_ids(connection: Connection, keys: Collection[Key]) -> None:
    """Delete the external ids of these users."""
    if keys:
        connection.execute(DELETE_EXTERNAL_IDS, {"users": orjson.dumps(list(keys)).decode()})


def insert_ids(connection: Connection, users: Sequence[User], hashed: Callable[[str, str, str], Hash]) -> None:
    """Insert the external ids of these users."""
    rows = sorted(
        (*hashed(user.app, system, told), user.user_id) for user in users for system, told in user.external_ids.items()
    )
    if rows:
        connection.execute(INSERT_EXTERNAL_IDS, {"rows": orjson.dumps(rows).decode()})


def ensure(connection: Connection, keys: Iterable[Key], now_unix_ms: int) -> None:
    """Create those of these users who are not known."""
    rows = [(user_id, app, pack_head(User(app, user_id)), now_unix_ms) for user_id, app in keys]
    connection.execute(ENSURE_USERS, {"rows": orjson.dumps(rows).decode()})
