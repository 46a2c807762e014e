"""The writing that makes two users one, or removes one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import orjson
from sqlalchemy import Connection, TextClause

from adapters.people.changes import Counts, Merge, Remove, Reseal, Resealed
from adapters.people.preference_statements import (
    DELETE_CONSENTS,
    DELETE_OF,
    END_PERMIT,
    INSERT_WINDOWS,
    MOVE_CONSENTS,
    PERMIT,
    SET_TOO_MANY,
    SUPPRESS,
    SUPPRESSIONS,
    TOO_MANY,
    WINDOWS,
)
from adapters.people.preferences import load_choices, rewrite_said, write_choices
from adapters.people.rows import unpack_suppressions
from adapters.people.sealing import Sealer
from adapters.people.statements import NEXT_SEALED
from adapters.people.users import load, write, write_ids
from core.choices import merged_answers, merged_suppressions
from core.errors import Refusal, UnknownUser
from core.people import User

# Of these fields the own value goes before the other user's; of a map, each name.
SINGLE = (
    "locale", "time_zone", "country", "currency", "phone", "email", "birthday", "tier", "tags", "lock_screen",
)  # fmt: skip


def merge(connection: Connection, item: Merge, sealer: Sealer, spared: Collection[str]) -> Refusal | None:
    """Make two users one; return a refusal, with nothing written, if one of them is not known."""
    gone, stays = (item.from_user_id, item.app), (item.into_user_id, item.app)
    users = load(connection, [gone, stays], sealer)
    if gone not in users or stays not in users:
        return UnknownUser(f"user {item.from_user_id if gone not in users else item.into_user_id} is not known")
    merged = replace(merged_user(users[stays], users[gone]), updated_unix_ms=item.now_unix_ms)
    answers = load_choices(connection, [gone, stays])
    choices = merged_answers(answers[stays], answers[gone], spared)
    _merge_scopes(connection, item)
    permitted(connection, gone, MOVE_CONSENTS.bindparams(into_user_id=item.into_user_id))
    for statement in DELETE_OF.values():
        connection.execute(statement, {"user_id": gone[0], "app": gone[1]})
    write(connection, [merged], sealer)
    write_ids(connection, [merged], sealer)
    write_choices(connection, {stays: choices})
    rewrite_said(connection, [stays])
    return None


def merged_user(stays: User, gone: User) -> User:
    """Return a user with what another knew better."""
    missing = {field: getattr(gone, field) for field in SINGLE if not getattr(stays, field)}
    return replace(
        stays, **missing,
        attributes={**gone.attributes, **stays.attributes}, external_ids={**gone.external_ids, **stays.external_ids},
        last_open_unix_ms=max(stays.last_open_unix_ms, gone.last_open_unix_ms),
        created_unix_ms=min(stays.created_unix_ms, gone.created_unix_ms),
    )  # fmt: skip


def _merge_scopes(connection: Connection, item: Merge) -> None:
    """Merge suppressions, quiet windows (the own go before the other's) and what the user thinks of how many."""
    gone = {"user_id": item.from_user_id, "app": item.app}
    stays = {"user_id": item.into_user_id, "app": item.app}
    theirs, ours = (
        unpack_suppressions([tuple(row) for row in connection.execute(SUPPRESSIONS, whose)]) for whose in (gone, stays)
    )
    rows = [(one[0], one[1], int(one[2]), one[3], one[4]) for one in merged_suppressions(ours, theirs)]
    connection.execute(SUPPRESS, {**stays, "rows": orjson.dumps(rows).decode()})
    if not connection.execute(WINDOWS, stays).all():
        windows = [tuple(row) for row in connection.execute(WINDOWS, gone)]
        connection.execute(INSERT_WINDOWS, {**stays, "rows": orjson.dumps(windows).decode()})
    if connection.execute(TOO_MANY, gone).scalar_one():
        connection.execute(SET_TOO_MANY, {**stays, "too_many": 1})


def remove(connection: Connection, item: Remove) -> Counts:
    """Delete a user; return how many rows went by table."""
    whose = {"user_id": item.user_id, "app": item.app}
    counts = {table: connection.execute(statement, whose).rowcount for table, statement in DELETE_OF.items()}
    if item.history:
        counts["consents"] = permitted(connection, (item.user_id, item.app), DELETE_CONSENTS)
    return counts


def permitted(connection: Connection, key: tuple[str, str], statement: TextClause) -> int:
    """Change the history of one user, which needs a permit; return how many lines."""
    whose = {"user_id": key[0], "app": key[1]}
    connection.execute(PERMIT, whose)
    count = connection.execute(statement, whose).rowcount
    connection.execute(END_PERMIT, whose)
    return count


def reseal(connection: Connection, item: Reseal, sealer: Sealer) -> Resealed:
    """Seal the next users with the newest key, where an older one was used."""
    asked = {"user_id": item.user_id, "app": item.app, "most": item.most, "newest": sealer.newest.hex().upper()}
    seen = orjson.loads(connection.execute(NEXT_SEALED, asked).scalar_one())
    if not seen:
        return Resealed(item.user_id, item.app, 0, 0)
    old: Mapping[tuple[str, str], User] = load(
        connection, [(user_id, app) for user_id, app, is_old in seen if is_old], sealer
    )
    write(connection, list(old.values()), sealer)
    return Resealed(seen[-1][0], seen[-1][1], len(seen), len(old))
