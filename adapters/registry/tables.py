"""The registry's tables, defined once for every database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, PrimaryKeyConstraint, SmallInteger, Table, Text, UniqueConstraint

metadata = MetaData()

# The key begins with the user: the hot lookup finds a user's devices side by side, and comparing stops at the user.
devices = Table(
    "devices",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("provider", SmallInteger, nullable=False),
    Column("token", Text, nullable=False),
    Column("environment", SmallInteger, nullable=False),
    Column("registered_unix_ms", BigInteger, nullable=False),
    Column("locale", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("app_version", Text, nullable=False),
    Column("permission", SmallInteger, nullable=False, server_default="0"),
    # In hexadecimal, since batches travel as JSON.
    Column("encryption_key", Text, nullable=False, server_default=""),
    Column("manufacturer", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("user_id", "app", "provider", "token", name="devices_pkey"),
    UniqueConstraint("app", "provider", "token", name="devices_token_key"),
    sqlite_with_rowid=False,
)
