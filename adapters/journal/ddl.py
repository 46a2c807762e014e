"""Tables as the statements that create them, for the schemas of SQLite files."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable


def create_statements(tables: Iterable[Table]) -> tuple[str, ...]:
    """Return what creates the tables, in their order, and then their indexes."""
    # The compilers ask for a dialect instance; no database is spoken to here.
    dialect, members = sqlite.dialect(), list(tables)
    return (
        *(str(CreateTable(table).compile(dialect=dialect)) for table in members),
        *(str(CreateIndex(index).compile(dialect=dialect)) for table in members for index in table.indexes),
    )
