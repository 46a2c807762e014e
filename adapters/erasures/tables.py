"""The tables of erasures.db: what is under way, and what was done."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from adapters.journal.ddl import create_statements
from adapters.journal.sqlite_file import Schema

metadata = MetaData()

# sealed: whom it is about, readable with the gateway's secret alone; the row goes when it is done.
under_way = Table(
    "under_way", metadata,
    Column("subject_hash", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("removed_counts", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("begun_unix_ms", BigInteger, nullable=False),
)  # fmt: skip

erasures = Table(
    "erasures", metadata,
    Column("number", Integer, primary_key=True),
    Column("subject_hash", Text, nullable=False),
    Column("erased_unix_ms", BigInteger, nullable=False),
    Column("removed_counts", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Index("erasures_subject", "subject_hash", "number"),
)  # fmt: skip

ERASURES = Schema(
    "record of erasures", application_id=0x57504552, version=1, migrations={},
    create=create_statements(metadata.sorted_tables),
)  # fmt: skip
