"""The tables of users and of what they said."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def text_column(name: str) -> Column[str]:
    """Return a column of text that is never NULL."""
    return Column(name, Text, nullable=False)


def time_column(name: str) -> Column[int]:
    """Return a column of Unix milliseconds, 0 where there is none."""
    return Column(name, BigInteger, nullable=False)


def number_column(name: str) -> Column[int]:
    """Return a column of a small number."""
    return Column(name, SmallInteger, nullable=False)


# head and said are JSON as rows.py packs it: all that policy asks of a user comes from one place in one table. What is
# sealed stands last, so that it spills to pages of its own before the rest does.
users = Table(
    "users",
    metadata,
    text_column("user_id"),
    text_column("app"),
    text_column("head"),
    text_column("said"),
    time_column("last_open_unix_ms"),
    number_column("too_many"),
    time_column("created_unix_ms"),
    time_column("updated_unix_ms"),
    Column("private", LargeBinary, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("user_id", "app", name="users_pkey"),
    sqlite_with_rowid=False,
)

# The ids themselves are sealed in users.private; here are their keyed hashes.
external_ids = Table(
    "external_ids",
    metadata,
    text_column("id_hash"),
    text_column("app"),
    text_column("system"),
    text_column("user_id"),
    PrimaryKeyConstraint("id_hash", "app", "system", name="external_ids_pkey"),
    UniqueConstraint("user_id", "app", "system", name="external_ids_user_key"),
    sqlite_with_rowid=False,
)

consents = Table(
    "consents",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    text_column("user_id"),
    text_column("app"),
    text_column("category"),
    number_column("channel"),
    number_column("granted"),
    number_column("method"),
    text_column("wording_version"),
    text_column("actor"),
    text_column("evidence"),
    time_column("said_unix_ms"),
    time_column("recorded_unix_ms"),
    Index("consents_user", "user_id", "app", "number"),
    sqlite_autoincrement=True,
)

choices = Table(
    "choices",
    metadata,
    text_column("user_id"),
    text_column("app"),
    text_column("category"),
    number_column("channel"),
    number_column("granted"),
    time_column("said_unix_ms"),
    PrimaryKeyConstraint("user_id", "app", "category", "channel", name="choices_pkey"),
    sqlite_with_rowid=False,
)

suppressions = Table(
    "suppressions",
    metadata,
    text_column("user_id"),
    text_column("app"),
    text_column("category"),
    number_column("channel"),
    number_column("includes_transactional"),
    text_column("reason"),
    time_column("end_unix_ms"),
    PrimaryKeyConstraint("user_id", "app", "category", "channel", name="suppressions_pkey"),
    # A few among millions, and each batch of payments asks whether there are any.
    Index("suppressions_transactional", "app", sqlite_where=text("includes_transactional = 1")),
    sqlite_with_rowid=False,
)

quiet_windows = Table(
    "quiet_windows",
    metadata,
    text_column("user_id"),
    text_column("app"),
    number_column("place"),
    number_column("start_minute"),
    number_column("end_minute"),
    number_column("weekdays"),
    text_column("category"),
    number_column("holidays"),
    PrimaryKeyConstraint("user_id", "app", "place", name="quiet_windows_pkey"),
    sqlite_with_rowid=False,
)

# Whose history may be moved or erased right now; rows live within one transaction.
permits = Table(
    "permits",
    metadata,
    text_column("user_id"),
    text_column("app"),
    PrimaryKeyConstraint("user_id", "app", name="permits_pkey"),
    sqlite_with_rowid=False,
)

# Since when the history of somebody who is no user any more is kept.
departures = Table(
    "departures",
    metadata,
    text_column("user_id"),
    text_column("app"),
    time_column("left_unix_ms"),
    PrimaryKeyConstraint("user_id", "app", name="departures_pkey"),
    sqlite_with_rowid=False,
)

# Which ring of keys the file belongs to.
seals = Table("seals", metadata, Column("fingerprint", Text, primary_key=True), sqlite_with_rowid=False)
