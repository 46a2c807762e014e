"""What is asked of the registry's SQLite file: each statement takes a whole batch as JSON and answers in one step.

The sqlite3 module lets go of the GIL at every row, and beside a busy event loop each row may then wait a switch
interval. For 1,000 users rows are mostly as fast (medians 23 and 22 ms), but 2 of 12 runs took 0.7 and 3.3 s, while
JSON was never above 34 ms.
"""

from __future__ import annotations

from sqlalchemy import BindParameter, Integer, Text, bindparam, delete, func, literal_column, select, text, update
from sqlalchemy.dialects import sqlite

from adapters.journal.ddl import create_statements
from adapters.journal.sqlite_file import Schema
from adapters.registry.tables import devices, metadata

REGISTRY = Schema(
    "registry", application_id=0x57505247, version=2,
    migrations={
        1: (
            "ALTER TABLE devices ADD COLUMN permission SMALLINT DEFAULT '0' NOT NULL",
            "ALTER TABLE devices ADD COLUMN encryption_key TEXT DEFAULT '' NOT NULL",
            "ALTER TABLE devices ADD COLUMN manufacturer TEXT DEFAULT '' NOT NULL",
        ),
    },
    create=create_statements(metadata.sorted_tables),
)
COLUMNS = (
    "user_id", "app", "provider", "token", "environment", "registered_unix_ms", "locale", "time_zone", "app_version",
    "permission", "encryption_key", "manufacturer",
)


def json_rows(name: str) -> BindParameter[str]:
    """Return the parameter that holds a batch as a JSON array."""
    return bindparam(name, type_=Text)


users = func.json_each(json_rows("users")).table_valued("value")
rows = func.json_each(json_rows("rows")).table_valued("value")

# user_ids: JSON array of strings. -> one JSON array of [user_id, provider, token, environment, registered_unix_ms].
TARGETS_OF = select(
    func.json_group_array(
        func.json_array(
            devices.c.user_id, devices.c.provider, devices.c.token, devices.c.environment, devices.c.registered_unix_ms,
        )
    )
).where(devices.c.app == bindparam("app"), devices.c.user_id.in_(select(users.c.value)))

# user_ids: as above. -> [user_id, provider, token, environment, registered_unix_ms, locale, time_zone, permission,
# manufacturer, encryption_key in hexadecimal] each.
USER_DEVICES = select(
    func.json_group_array(
        func.json_array(
            devices.c.user_id, devices.c.provider, devices.c.token, devices.c.environment, devices.c.registered_unix_ms,
            devices.c.locale, devices.c.time_zone, devices.c.permission, devices.c.manufacturer,
            devices.c.encryption_key,
        )
    )
).where(devices.c.app == bindparam("app"), devices.c.user_id.in_(select(users.c.value)))

LIST_DEVICES = (
    select(*(devices.c[name] for name in COLUMNS))
    .where(devices.c.user_id == bindparam("user_id"), devices.c.app == bindparam("app"))
    .order_by(devices.c.registered_unix_ms.desc(), devices.c.token)
)

COUNT = select(func.count()).where(devices.c.app == bindparam("app"), devices.c.provider == bindparam("provider"))

_insert = sqlite.insert(devices).from_select(
    COLUMNS,
    select(*(func.json_extract(rows.c.value, f"$[{place}]") for place in range(len(COLUMNS))))
    # SQLite needs a WHERE here, or it reads ON CONFLICT as the ON of a join.
    .where(literal_column("1", Integer) == literal_column("1", Integer)),
)
# rows: JSON array of arrays as COLUMNS. A registration older than the stored one changes nothing.
UPSERT = _insert.on_conflict_do_update(
    index_elements=["app", "provider", "token"],
    set_={name: _insert.excluded[name] for name in COLUMNS if name not in {"app", "provider", "token"}},
    where=devices.c.registered_unix_ms <= _insert.excluded.registered_unix_ms,
)

# users: JSON array of [user_id, app]. Written by hand for the window and for CROSS JOIN, which fixes the order:
# left to itself the planner scans all devices of the app for each batch.
TRIM = text(
    """
    DELETE FROM devices WHERE (user_id, app, provider, token) IN (
        SELECT user_id, app, provider, token FROM (
            SELECT d.user_id, d.app, d.provider, d.token, row_number() OVER (
                PARTITION BY d.user_id, d.app ORDER BY d.registered_unix_ms DESC, d.token
            ) AS place
            FROM json_each(:users) AS j CROSS JOIN devices AS d
            ON d.user_id = j.value ->> 0 AND d.app = j.value ->> 1
        ) WHERE place > :most
    )
    """
)

# A registration keeps its time; what the user it moves to has too many of goes by TRIM.
MOVE = (
    update(devices)
    .where(devices.c.user_id == bindparam("from_user"), devices.c.app == bindparam("of_app"))
    .values(user_id=bindparam("into_user"))
)

DELETE_USER = delete(devices).where(devices.c.user_id == bindparam("from_user"), devices.c.app == bindparam("of_app"))

# gone: JSON array of [provider, token, gone_since_unix_ms]; 0 spares nothing.
DELETE = text(
    """
    DELETE FROM devices WHERE (user_id, app, provider, token) IN (
        SELECT d.user_id, d.app, d.provider, d.token
        FROM json_each(:gone) AS j CROSS JOIN devices AS d
        ON d.app = :app AND d.provider = j.value ->> 0 AND d.token = j.value ->> 1
        WHERE j.value ->> 2 = 0 OR d.registered_unix_ms < j.value ->> 2
    )
    """
)
