"""Whose device a token is, for notifications that name tokens instead of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import Engine, text

from core.model import Environment, Provider, Target
from core.policy.people import Permission, UserDevice

# rows: JSON array of [provider, token] -> one JSON array, by the unique index on (app, provider, token). CROSS JOIN
# fixes the order: left to itself the planner may scan all devices of the app.
OWNERS = text(
    """
    SELECT json_group_array(json_array(
        d.user_id, d.provider, d.token, d.environment, d.registered_unix_ms, d.locale, d.time_zone, d.permission,
        d.manufacturer, d.encryption_key
    ))
    FROM json_each(:rows) AS j CROSS JOIN devices AS d
    ON d.app = :app AND d.provider = j.value ->> 0 AND d.token = j.value ->> 1
    """
)


def read_owners(
    reader: Engine, app: str, targets: Sequence[Target]
) -> Mapping[tuple[int, str], tuple[str, UserDevice]]:
    """Return user and device by (provider, token); what is not registered is not in the answer."""
    rows = orjson.dumps([(int(one.provider), one.token) for one in targets]).decode()
    with reader.connect() as connection:
        answer = connection.execute(OWNERS, {"app": app, "rows": rows}).scalar_one()
    return {(row[1], row[2]): (row[0], device_of(*row[1:])) for row in orjson.loads(answer)}


def device_of(
    provider: int, token: str, environment: int, registered_unix_ms: int, locale: str, zone: str, permission: int,
    maker: str, key: str,
) -> UserDevice:  # fmt: skip
    """Return a device from its row."""
    target = Target(Provider(provider), token, Environment(environment), registered_unix_ms)
    return UserDevice(target, locale, zone, Permission(permission), maker, bytes.fromhex(key) if key else b"")
