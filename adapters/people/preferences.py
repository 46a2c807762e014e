"""The writing of what users said: the history and what is in force, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import orjson
from sqlalchemy import Connection

from adapters.people.changes import Record, SetTooMany, Suppress, Unsuppress
from adapters.people.preference_statements import (
    CHOICES,
    DELETE_CHOICES,
    DELETE_WINDOWS,
    INSERT_CHOICES,
    INSERT_CONSENTS,
    INSERT_WINDOWS,
    REWRITE_SAID,
    SET_TOO_MANY,
    SUPPRESS,
    UNSUPPRESS,
)
from adapters.people.users import Key, ensure
from core.choices import Answers, Choice, answer
from core.policy.people import QuietWindow

# Which categories of an app are no marketing.
Spared: TypeAlias = Callable[[str], Collection[str]]


def record(connection: Connection, items: Sequence[Record], spared: Spared) -> None:
    """Append what was said to the history and put it into force."""
    now_of = {(item.user_id, item.app): item.now_unix_ms for item in items}
    for now_unix_ms in set(now_of.values()):
        ensure(connection, [key for key, now in now_of.items() if now == now_unix_ms], now_unix_ms)
    lines = [
        (
            item.user_id, item.app, one.category, one.channel, int(one.granted), int(one.method), one.wording_version,
            one.actor, one.evidence, one.said_unix_ms, item.now_unix_ms,
        )
        for item in items for one in item.consents
    ]  # fmt: skip
    connection.execute(INSERT_CONSENTS, {"rows": orjson.dumps(lines).decode()})
    answers = load_choices(connection, now_of)
    for item in items:
        answer(answers[item.user_id, item.app], item.consents, spared(item.app))
    write_choices(connection, answers)
    for item in items:
        if item.windows is not None:
            write_windows(connection, (item.user_id, item.app), item.windows)
    rewrite_said(connection, now_of)


def load_choices(connection: Connection, keys: Iterable[Key]) -> dict[Key, Answers]:
    """Return what is in force for each of these users."""
    asked = list(keys)
    found: dict[Key, Answers] = {key: {} for key in asked}
    rows = connection.execute(CHOICES, {"users": orjson.dumps(asked).decode()}).scalar_one()
    for user_id, app, category, channel, granted, said_unix_ms in orjson.loads(rows):
        found[user_id, app][category, channel] = Choice(granted == 1, said_unix_ms)
    return found


def write_choices(connection: Connection, answers: dict[Key, Answers]) -> None:
    """Replace what is in force for these users."""
    connection.execute(DELETE_CHOICES, {"users": orjson.dumps(list(answers)).decode()})
    rows = [
        (user_id, app, category, channel, int(one.granted), one.said_unix_ms)
        for (user_id, app), choices in answers.items() for (category, channel), one in choices.items()
    ]  # fmt: skip
    connection.execute(INSERT_CHOICES, {"rows": orjson.dumps(rows).decode()})


def rewrite_said(connection: Connection, keys: Iterable[Key]) -> None:
    """Write what is in force into the rows that policy reads."""
    connection.execute(REWRITE_SAID, {"users": orjson.dumps(list(keys)).decode()})


def write_windows(connection: Connection, key: Key, windows: Sequence[QuietWindow]) -> None:
    """Replace a user's quiet windows."""
    whose = {"user_id": key[0], "app": key[1]}
    connection.execute(DELETE_WINDOWS, whose)
    rows = [(one.start_minute, one.end_minute, one.weekdays, one.category, int(one.holidays)) for one in windows]
    connection.execute(INSERT_WINDOWS, {**whose, "rows": orjson.dumps(rows).decode()})


def suppress(connection: Connection, item: Suppress, now_unix_ms: int) -> None:
    """Add a suppression, or replace the one of its scope."""
    one = item.suppression
    ensure(connection, [(item.user_id, item.app)], now_unix_ms)
    rows = [(one.category, one.channel, int(one.includes_transactional), one.reason, one.end_unix_ms)]
    whose = {"user_id": item.user_id, "app": item.app}
    connection.execute(SUPPRESS, {**whose, "rows": orjson.dumps(rows).decode()})
    rewrite_said(connection, [(item.user_id, item.app)])


def unsuppress(connection: Connection, item: Unsuppress) -> bool:
    """Take a suppression back; return whether there was one."""
    gone = connection.execute(UNSUPPRESS, item._asdict()).rowcount > 0
    if gone:
        rewrite_said(connection, [(item.user_id, item.app)])
    return gone


def set_too_many(connection: Connection, item: SetTooMany, now_unix_ms: int) -> None:
    """Note what a user thinks of how many they get."""
    ensure(connection, [(item.user_id, item.app)], now_unix_ms)
    connection.execute(SET_TOO_MANY, {**item._asdict(), "too_many": int(item.too_many)})
