"""What is asked of the tables that hold what users said; batches as in statements.py."""

from __future__ import annotations

from sqlalchemy import text

# rows: [user_id, app, category, channel, granted, method, wording_version, actor, evidence, said, recorded] each.
INSERT_CONSENTS = text(
    """
    INSERT INTO consents (
        user_id, app, category, channel, granted, method, wording_version, actor, evidence, said_unix_ms,
        recorded_unix_ms
    )
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
        value ->> 8, value ->> 9, value ->> 10
    FROM json_each(:rows) ORDER BY key
    """
)

# -> number, category, channel, granted, method, wording_version, actor, said_unix_ms, evidence, newest first.
HISTORY = text(
    """
    SELECT number, category, channel, granted, method, wording_version, actor, said_unix_ms, evidence FROM consents
    WHERE user_id = :user_id AND app = :app AND number < :before ORDER BY number DESC LIMIT :most
    """
)

# users: [user_id, app] each. -> [user_id, app, category, channel, granted, said_unix_ms] each.
CHOICES = text(
    """
    SELECT json_group_array(json_array(c.user_id, c.app, c.category, c.channel, c.granted, c.said_unix_ms))
    FROM json_each(:users) AS j CROSS JOIN choices AS c ON c.user_id = j.value ->> 0 AND c.app = j.value ->> 1
    """
)
# users: [user_id, app] each.
DELETE_CHOICES = text(
    """
    DELETE FROM choices WHERE (user_id, app, category, channel) IN (
        SELECT c.user_id, c.app, c.category, c.channel
        FROM json_each(:users) AS j CROSS JOIN choices AS c ON c.user_id = j.value ->> 0 AND c.app = j.value ->> 1
    )
    """
)
# rows: as CHOICES answers.
INSERT_CHOICES = text(
    """
    INSERT INTO choices (user_id, app, category, channel, granted, said_unix_ms)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(:rows)
    """
)

SUPPRESSIONS = text(
    """
    SELECT category, channel, includes_transactional, reason, end_unix_ms FROM suppressions
    WHERE user_id = :user_id AND app = :app
    """
)
MINDS_TRANSACTIONAL = text(
    "SELECT EXISTS (SELECT 1 FROM suppressions WHERE app = :app AND includes_transactional = 1)"
)
SUPPRESS = text(
    """
    INSERT INTO suppressions (user_id, app, category, channel, includes_transactional, reason, end_unix_ms)
    SELECT :user_id, :app, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each(:rows) WHERE true
    ON CONFLICT (user_id, app, category, channel) DO UPDATE SET
        includes_transactional = excluded.includes_transactional, reason = excluded.reason,
        end_unix_ms = excluded.end_unix_ms
    """
)
UNSUPPRESS = text(
    """
    DELETE FROM suppressions
    WHERE user_id = :user_id AND app = :app AND category = :category AND channel = :channel
    """
)

WINDOWS = text(
    """
    SELECT start_minute, end_minute, weekdays, category, holidays FROM quiet_windows
    WHERE user_id = :user_id AND app = :app ORDER BY place
    """
)
DELETE_WINDOWS = text("DELETE FROM quiet_windows WHERE user_id = :user_id AND app = :app")
INSERT_WINDOWS = text(
    """
    INSERT INTO quiet_windows (user_id, app, place, start_minute, end_minute, weekdays, category, holidays)
    SELECT :user_id, :app, key, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(:rows)
    """
)

SET_TOO_MANY = text("UPDATE users SET too_many = :too_many WHERE user_id = :user_id AND app = :app")
TOO_MANY = text("SELECT too_many FROM users WHERE user_id = :user_id AND app = :app")

# users: [user_id, app] each. Writes their choices, suppressions and windows into the row that policy reads.
REWRITE_SAID = text(
    """
    UPDATE users SET said = json_array(
        json((SELECT json_group_array(json_array(category, channel, granted)) FROM choices AS c
              WHERE c.user_id = users.user_id AND c.app = users.app)),
        json((SELECT json_group_array(json_array(category, channel, includes_transactional, reason, end_unix_ms))
              FROM suppressions AS s WHERE s.user_id = users.user_id AND s.app = users.app)),
        json((SELECT json_group_array(json_array(start_minute, end_minute, weekdays, category, holidays)) FROM (
              SELECT * FROM quiet_windows AS q WHERE q.user_id = users.user_id AND q.app = users.app ORDER BY place)))
    ) WHERE (user_id, app) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:users))
    """
)

PERMIT = text("INSERT INTO permits (user_id, app) VALUES (:user_id, :app)")
END_PERMIT = text("DELETE FROM permits WHERE user_id = :user_id AND app = :app")
MOVE_CONSENTS = text("UPDATE consents SET user_id = :into_user_id WHERE user_id = :user_id AND app = :app")
DELETE_CONSENTS = text("DELETE FROM consents WHERE user_id = :user_id AND app = :app")
DEPARTURE = text("SELECT left_unix_ms FROM departures WHERE user_id = :user_id AND app = :app")
DELETE_OF = {
    table: text(f"DELETE FROM {table} WHERE user_id = :user_id AND app = :app")  # noqa: S608  # our own names
    for table in ("users", "external_ids", "choices", "suppressions", "quiet_windows", "departures")
}
