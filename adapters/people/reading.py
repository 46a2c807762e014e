"""What is read of users, in the reading thread; a batch is one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import orjson
from sqlalchemy import Engine

from adapters.people.preference_statements import (
    CHOICES,
    DEPARTURE,
    HISTORY,
    MINDS_TRANSACTIONAL,
    SUPPRESSIONS,
    WINDOWS,
)
from adapters.people.rows import unpack_recipients, unpack_user
from adapters.people.sealing import Sealer
from adapters.people.statements import FIND, RECIPIENTS, RECIPIENTS_WITH_ATTRIBUTES, USERS
from adapters.people.users import hash_of
from core.people import Consent, ConsentMethod, User
from core.policy.people import Recipient

NEWEST = (1 << 63) - 1


def recipients(
    reader: Engine, sealer: Sealer, app: str, user_ids: Sequence[str], attributes: bool
) -> dict[str, Recipient]:
    """Ask for all users at once."""
    statement = RECIPIENTS_WITH_ATTRIBUTES if attributes else RECIPIENTS
    with reader.connect() as connection:
        answer = connection.execute(statement, {"app": app, "users": orjson.dumps(user_ids).decode()}).scalar_one()
    return unpack_recipients(answer, app, sealer)


def user(reader: Engine, sealer: Sealer, app: str, user_id: str) -> User | None:
    """Ask for a user with all fields."""
    with reader.connect() as connection:
        rows = orjson.loads(connection.execute(USERS, {"users": orjson.dumps([(user_id, app)]).decode()}).scalar_one())
    return unpack_user(rows[0], sealer) if rows else None


def found(reader: Engine, sealer: Sealer, app: str, system: str, external_id: str) -> User | None:
    """Ask for the user with an id in another system."""
    id_hash = hash_of(sealer, app, system, external_id)[0]
    with reader.connect() as connection:
        user_id = connection.execute(FIND, {"id_hash": id_hash, "app": app, "system": system}).scalar()
    return None if user_id is None else user(reader, sealer, app, user_id)


def minds_transactional(reader: Engine, app: str) -> bool:
    """Ask whether any suppression of an app includes transactional notifications."""
    with reader.connect() as connection:
        return bool(connection.execute(MINDS_TRANSACTIONAL, {"app": app}).scalar_one())


def history(reader: Engine, app: str, user_id: str, before: int, limit: int) -> list[tuple[int, Consent]]:
    """Ask for a part of a user's history, newest first."""
    asked = {"user_id": user_id, "app": app, "before": before or NEWEST, "most": limit}
    with reader.connect() as connection:
        rows = connection.execute(HISTORY, asked).all()
    return [
        (
            row.number,
            Consent(
                row.category, row.channel, row.granted == 1, ConsentMethod(row.method), row.wording_version, row.actor,
                row.said_unix_ms, row.evidence,
            ),
        )
        for row in rows
    ]  # fmt: skip


def everything(reader: Engine, sealer: Sealer, app: str, user_id: str) -> list[tuple[str, Mapping[str, object]]]:
    """Ask for all that is held of a user but the history, decrypted, table by table."""
    whose, key = {"user_id": user_id, "app": app}, orjson.dumps([(user_id, app)]).decode()
    known = user(reader, sealer, app, user_id)
    rows: list[tuple[str, Mapping[str, object]]] = [] if known is None else [("users", asdict(known))]
    with reader.connect() as connection:
        said = orjson.loads(connection.execute(CHOICES, {"users": key}).scalar_one())
        rows += [
            ("choices", dict(zip(("category", "channel", "granted", "said_unix_ms"), one[2:], strict=True)))
            for one in said
        ]
        rows += [("suppressions", dict(row)) for row in connection.execute(SUPPRESSIONS, whose).mappings()]
        rows += [("departures", dict(row)) for row in connection.execute(DEPARTURE, whose).mappings()]
        rows += [("quiet_windows", dict(row)) for row in connection.execute(WINDOWS, whose).mappings()]
    return rows
