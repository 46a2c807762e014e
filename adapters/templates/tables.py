"""The tables of templates.db: versions that never change, and which of them is current."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, MetaData, Table, Text

from adapters.journal.ddl import create_statements
from adapters.journal.sqlite_file import Schema

metadata = MetaData()

versions = Table(
    "versions", metadata,
    Column("app", Text, primary_key=True),
    Column("template_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("published_unix_ms", Integer, nullable=False),
    Column("publisher", Text, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip

heads = Table(
    "heads", metadata,
    Column("app", Text, primary_key=True),
    Column("template_id", Text, primary_key=True),
    Column("klass", Integer, nullable=False),
    Column("current", Integer, nullable=False),
    Column("retired", Boolean, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip

TEMPLATES = Schema(
    "template store", application_id=0x57505450, version=1, migrations={},
    create=create_statements(metadata.sorted_tables),
)  # fmt: skip
