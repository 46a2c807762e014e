"""Devices that nobody registered anew for long: providers call their tokens stale, and let them die."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from sqlalchemy import Engine, text

from adapters.registry.sqlite import SqliteRegistry
from core.model import Provider
from core.privacy import Purged

_AFTER = text(
    """
    SELECT user_id, app, provider, token, registered_unix_ms FROM devices
    WHERE (user_id, app, provider, token) > (:user_id, :app, :provider, :token)
    ORDER BY user_id, app, provider, token LIMIT :most
    """
)


class _Row(NamedTuple):
    user_id: str
    app: str
    provider: int
    token: str
    registered_unix_ms: int


_FIRST = _Row("", "", 0, "", 0)


class DevicePurge:
    """Each call is one short step of a walk through all devices, which begins anew at its end."""

    def __init__(self, registry: SqliteRegistry) -> None:
        self._registry = registry
        self._last = _FIRST

    async def stale(self, _now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Remove devices whose last registration is older; one that comes in between stays. Raises Unavailable."""
        rows = await self._registry.look(partial(_after, last=self._last, most=most))
        more = len(rows) == most
        self._last = rows[-1] if more else _FIRST
        removed = 0
        for app in {row.app for row in rows if row.registered_unix_ms < before_unix_ms}:
            removed += await self._registry.retire(app, [
                (Provider(row.provider), row.token, before_unix_ms)
                for row in rows if row.app == app and row.registered_unix_ms < before_unix_ms
            ])  # fmt: skip
        return Purged(removed, more)


def _after(reader: Engine, last: _Row, most: int) -> list[_Row]:
    asked = {**last._asdict(), "most": most}
    del asked["registered_unix_ms"]
    with reader.connect() as connection:
        return [_Row(*row) for row in connection.execute(_AFTER, asked)]
