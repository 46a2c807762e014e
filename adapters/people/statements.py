"""What is asked of the file of users: batches travel as JSON and come back as JSON, each in one step.

Written by hand where several tables meet: CROSS JOIN fixes the order, json_each first, which the planner would turn
round. `value ->> n` is the n-th field of a batch's row.
"""

from __future__ import annotations

from sqlalchemy import text

from adapters.journal.ddl import create_statements
from adapters.journal.sqlite_file import Schema
from adapters.people.tables import departures, metadata

_NOT_PERMITTED = "NOT EXISTS (SELECT 1 FROM permits p WHERE p.user_id = OLD.user_id AND p.app = OLD.app)"
_LINE = (
    "number, app, category, channel, granted, method, wording_version, actor, evidence, said_unix_ms, recorded_unix_ms"
)
# A line of the history never changes; only whose it is, when two users turn out to be one.
TRIGGERS = (
    f"CREATE TRIGGER consents_stay BEFORE UPDATE OF {_LINE} ON consents "
    "BEGIN SELECT RAISE(ABORT, 'the history of consents is never changed'); END",
    f"CREATE TRIGGER consents_keep_owner BEFORE UPDATE OF user_id ON consents WHEN {_NOT_PERMITTED} "
    "BEGIN SELECT RAISE(ABORT, 'the history of consents is never changed'); END",
    f"CREATE TRIGGER consents_last BEFORE DELETE ON consents WHEN {_NOT_PERMITTED} "
    "BEGIN SELECT RAISE(ABORT, 'the history of consents is never deleted'); END",
)
PEOPLE = Schema(
    "file of users", application_id=0x57505045, version=2,
    migrations={1: create_statements([departures])},
    create=(*create_statements(metadata.sorted_tables), *TRIGGERS),
)

# users: JSON array of ids. -> [user_id, last_open, too_many, head, said, attributes in hexadecimal or ""] each.
# head and said are JSON already, so they are joined as they are, not parsed and written again.
_RECIPIENTS = """
SELECT '[' || coalesce(group_concat(
    '[' || json_quote(u.user_id) || ',' || u.last_open_unix_ms || ',' || u.too_many || ',' || u.head || ',' || u.said
    || ',"{attributes}"]'
), '') || ']'
FROM json_each(:users) AS j CROSS JOIN users AS u ON u.user_id = j.value AND u.app = :app
"""
RECIPIENTS = text(_RECIPIENTS.format(attributes=""))
RECIPIENTS_WITH_ATTRIBUTES = text(_RECIPIENTS.format(attributes="' || hex(u.attributes) || '"))

# users: JSON array of [user_id, app]. -> rows.unpack_user's fields each.
USERS = text(
    """
    SELECT json_group_array(json_array(
        u.user_id, u.app, json(u.head), u.last_open_unix_ms, u.created_unix_ms, u.updated_unix_ms,
        hex(u.private), hex(u.attributes)
    ))
    FROM json_each(:users) AS j CROSS JOIN users AS u ON u.user_id = j.value ->> 0 AND u.app = j.value ->> 1
    """
)

# rows: [user_id, app, head, last_open, created, updated, private's place and length in blobs, attributes' place and
# length] each; JSON holds no bytes, so these come beside it in one piece.
UPSERT_USERS = text(
    """
    INSERT INTO users (
        user_id, app, head, said, last_open_unix_ms, too_many, created_unix_ms, updated_unix_ms, private, attributes
    )
    SELECT value ->> 0, value ->> 1, value ->> 2, '[[],[],[]]', value ->> 3, 0, value ->> 4, value ->> 5,
        substr(:blobs, value ->> 6, value ->> 7), substr(:blobs, value ->> 8, value ->> 9)
    FROM json_each(:rows) WHERE true
    ON CONFLICT (user_id, app) DO UPDATE SET
        head = excluded.head, last_open_unix_ms = excluded.last_open_unix_ms,
        updated_unix_ms = excluded.updated_unix_ms, private = excluded.private, attributes = excluded.attributes
    """
)

# rows: [user_id, app, head, now] each. A user who is there stays as they are.
ENSURE_USERS = text(
    """
    INSERT INTO users (
        user_id, app, head, said, last_open_unix_ms, too_many, created_unix_ms, updated_unix_ms, private, attributes
    )
    SELECT value ->> 0, value ->> 1, value ->> 2, '[[],[],[]]', 0, 0, value ->> 3, value ->> 3, x'', x''
    FROM json_each(:rows) WHERE true
    ON CONFLICT (user_id, app) DO NOTHING
    """
)

# rows: [user_id, app, unix_ms] each.
OPENED = text(
    """
    UPDATE users SET last_open_unix_ms = j.value ->> 2 FROM json_each(:rows) AS j
    WHERE users.user_id = j.value ->> 0 AND users.app = j.value ->> 1 AND users.last_open_unix_ms < j.value ->> 2
    """
)

# hashes: [id_hash, app, system] each. -> the same with the user's id.
OWNERS = text(
    """
    SELECT json_group_array(json_array(e.id_hash, e.app, e.system, e.user_id))
    FROM json_each(:hashes) AS j CROSS JOIN external_ids AS e
    ON e.id_hash = j.value ->> 0 AND e.app = j.value ->> 1 AND e.system = j.value ->> 2
    """
)
FIND = text("SELECT user_id FROM external_ids WHERE id_hash = :id_hash AND app = :app AND system = :system")

# users: [user_id, app] each.
DELETE_EXTERNAL_IDS = text(
    """
    DELETE FROM external_ids WHERE (id_hash, app, system) IN (
        SELECT e.id_hash, e.app, e.system
        FROM json_each(:users) AS j CROSS JOIN external_ids AS e
        ON e.user_id = j.value ->> 0 AND e.app = j.value ->> 1
    )
    """
)
# rows: [id_hash, app, system, user_id] each.
INSERT_EXTERNAL_IDS = text(
    """
    INSERT INTO external_ids (id_hash, app, system, user_id)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows)
    """
)

# The next users in the order of their ids, from after (user_id, app), whose seals are not the newest key's.
NEXT_SEALED = text(
    """
    SELECT json_group_array(json_array(
        user_id, app, length(private) > 0 AND hex(substr(private, 1, 4)) <> :newest
        OR length(attributes) > 0 AND hex(substr(attributes, 1, 4)) <> :newest
    ))
    FROM (SELECT * FROM users WHERE (user_id, app) > (:user_id, :app) ORDER BY user_id, app LIMIT :most)
    """
)
