"""What leaves the file of users when it is old: histories of who left, ended suppressions, users long unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import orjson
from sqlalchemy import Connection, Engine, text

from adapters.people.changes import Stepped
from adapters.people.preference_statements import DELETE_CONSENTS
from adapters.people.preferences import rewrite_said
from adapters.people.removal import permitted
from adapters.people.sqlite import SqlitePeople
from adapters.people.users import Key
from core.policy.people import UserDevice
from core.privacy import Purged

# Owners of histories after a user, and whether they are no users any more.
_OWNERS = text(
    """
    SELECT user_id, app, NOT EXISTS (
        SELECT 1 FROM users AS u WHERE u.user_id = o.user_id AND u.app = o.app
    ) AS gone FROM (
        SELECT DISTINCT user_id, app FROM consents WHERE (user_id, app) > (:user_id, :app)
        ORDER BY user_id, app LIMIT :most
    ) AS o ORDER BY user_id, app
    """
)
# rows: [user_id, app] each. Who came back in between is no leaver.
_NOTE_LEAVERS = text(
    """
    INSERT OR IGNORE INTO departures (user_id, app, left_unix_ms)
    SELECT value ->> 0, value ->> 1, :now FROM json_each(:rows)
    WHERE NOT EXISTS (SELECT 1 FROM users AS u WHERE u.user_id = value ->> 0 AND u.app = value ->> 1)
    """
)
_OLD_LEAVERS = text(
    """
    SELECT user_id, app, EXISTS (SELECT 1 FROM users AS u WHERE u.user_id = d.user_id AND u.app = d.app) AS back
    FROM departures AS d WHERE left_unix_ms < :before LIMIT :most
    """
)
_FORGET_LEAVER = text("DELETE FROM departures WHERE user_id = :user_id AND app = :app")
_ENDED = text(
    "SELECT user_id, app, category, channel FROM suppressions WHERE end_unix_ms BETWEEN 1 AND :before - 1 LIMIT :most"
)
_DELETE_ENDED = text(
    """
    DELETE FROM suppressions WHERE (user_id, app, category, channel) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows)
    )
    """
)
_SEEN = text(
    """
    SELECT user_id, app, max(last_open_unix_ms, created_unix_ms, updated_unix_ms) AS seen_unix_ms FROM users
    WHERE (user_id, app) > (:user_id, :app) ORDER BY user_id, app LIMIT :most
    """
)
_FIRST: Key = ("", "")


class Devices(Protocol):
    """Who knows when users' devices were registered last."""

    async def user_devices(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[UserDevice]]:
        """Return the devices of users; a user without any is not in the answer. Raises Unavailable."""


class PeoplePurge:
    """Each call is one short step of one walk, which begins anew at its end; of a file, one may walk."""

    def __init__(self, people: SqlitePeople, devices: Devices) -> None:
        self._people = people
        self._devices = devices
        self._owner: Key | None = _FIRST
        self._user: Key = _FIRST

    async def histories(self, now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Note who left since the last walk, then remove the histories of those who left before. Raises Unavailable."""
        if self._owner is not None:
            await self._note_leavers(self._owner, now_unix_ms, most)
            return Purged(0, True)
        done = await self._people.change(partial(_purge_histories, before_unix_ms=before_unix_ms, most=most))
        more = done.seen == most
        self._owner = None if more else _FIRST
        return Purged(done.rows, more)

    async def suppressions(self, _now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Remove suppressions that ended before. Raises Unavailable."""
        done = await self._people.change(partial(_purge_ended, before_unix_ms=before_unix_ms, most=most))
        return Purged(done.rows, done.seen == most)

    async def inactive(self, _now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Delete users who neither opened the app, nor changed, nor registered a device since. Raises Unavailable."""
        seen = await self._people.look(partial(_seen, after=self._user, most=most))
        more = len(seen) == most
        self._user = seen[-1][0] if more else _FIRST
        removed = 0
        for app in {key[1] for key, seen_unix_ms in seen if seen_unix_ms < before_unix_ms}:
            idle = [key[0] for key, seen_unix_ms in seen if key[1] == app and seen_unix_ms < before_unix_ms]
            devices = await self._devices.user_devices(app, idle)
            for user_id in idle:
                if all(one.target.registered_unix_ms < before_unix_ms for one in devices.get(user_id, ())):
                    removed += await self._people.delete(app, user_id)
        return Purged(removed, more)

    async def _note_leavers(self, after: Key, now_unix_ms: int, most: int) -> None:
        owners = await self._people.look(partial(_owners, after=after, most=most))
        gone = [key for key, is_gone in owners if is_gone]
        if gone:
            await self._people.change(partial(_note, keys=gone, now_unix_ms=now_unix_ms))
        self._owner = owners[-1][0] if len(owners) == most else None


def _owners(reader: Engine, after: Key, most: int) -> list[tuple[Key, bool]]:
    with reader.connect() as connection:
        rows = connection.execute(_OWNERS, {"user_id": after[0], "app": after[1], "most": most}).all()
    return [((row.user_id, row.app), row.gone == 1) for row in rows]


def _seen(reader: Engine, after: Key, most: int) -> list[tuple[Key, int]]:
    with reader.connect() as connection:
        rows = connection.execute(_SEEN, {"user_id": after[0], "app": after[1], "most": most}).all()
    return [((row.user_id, row.app), row.seen_unix_ms) for row in rows]


def _note(connection: Connection, keys: Sequence[Key], now_unix_ms: int) -> Stepped:
    noted = connection.execute(_NOTE_LEAVERS, {"rows": orjson.dumps(keys).decode(), "now": now_unix_ms})
    return Stepped(len(keys), noted.rowcount)


def _purge_histories(connection: Connection, before_unix_ms: int, most: int) -> Stepped:
    leavers = connection.execute(_OLD_LEAVERS, {"before": before_unix_ms, "most": most}).all()
    rows = 0
    for leaver in leavers:
        if not leaver.back:
            rows += permitted(connection, (leaver.user_id, leaver.app), DELETE_CONSENTS)
        connection.execute(_FORGET_LEAVER, {"user_id": leaver.user_id, "app": leaver.app})
    return Stepped(len(leavers), rows)


def _purge_ended(connection: Connection, before_unix_ms: int, most: int) -> Stepped:
    ended = [tuple(row) for row in connection.execute(_ENDED, {"before": before_unix_ms, "most": most})]
    if ended:
        connection.execute(_DELETE_ENDED, {"rows": orjson.dumps(ended).decode()})
        rewrite_said(connection, {(row[0], row[1]) for row in ended})
    return Stepped(len(ended), len(ended))
