"""The tables of audit.db: lines that never change, and where their chain begins and ends."""

from __future__ import annotations

from adapters.journal.sqlite_file import Schema

# A line leaves only after the chain's beginning was moved behind it.
AUDIT = Schema(
    "audit log", application_id=0x57504155, version=1, migrations={},
    create=(
        """
        CREATE TABLE records (
            number INTEGER PRIMARY KEY,
            at_unix_ms INTEGER NOT NULL,
            app TEXT NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            subject_hash TEXT NOT NULL,
            detail TEXT NOT NULL,
            previous BLOB NOT NULL
        )
        """,
        "CREATE INDEX records_app ON records (app, number)",
        "CREATE INDEX records_subject ON records (subject_hash, number) WHERE subject_hash <> ''",
        """
        CREATE TABLE ends (
            name TEXT PRIMARY KEY,
            number INTEGER NOT NULL,
            line_hash BLOB NOT NULL,
            seal BLOB NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE TRIGGER records_stay BEFORE UPDATE ON records "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END",
        "CREATE TRIGGER records_leave_in_order BEFORE DELETE ON records "
        "WHEN OLD.number > coalesce((SELECT number FROM ends WHERE name = 'base'), 0) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END",
    ),
)  # fmt: skip
COLUMNS = "number, at_unix_ms, app, actor, action, subject_hash, detail, previous"
INSERT = f"INSERT INTO records ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # our own names
END_OF = "SELECT number, line_hash, seal FROM ends WHERE name = ?"
SET_END = "INSERT OR REPLACE INTO ends (name, number, line_hash, seal) VALUES (?, ?, ?, ?)"
OLDEST = f"SELECT {COLUMNS} FROM records ORDER BY number LIMIT ?"  # noqa: S608  # our own names
AFTER = f"SELECT {COLUMNS} FROM records WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608  # our own names
PURGE = "DELETE FROM records WHERE number <= ?"
OF_APP = f"SELECT {COLUMNS} FROM records WHERE app = ? AND number < ? ORDER BY number DESC LIMIT ?"  # noqa: S608
OF_SUBJECT = (
    f"SELECT {COLUMNS} FROM records "  # noqa: S608  # our own names
    "WHERE subject_hash = ? AND subject_hash <> '' AND app = ? AND number < ? ORDER BY number DESC LIMIT ?"
)
