"""The journal's tables, and the one statement that a group commit is."""

from __future__ import annotations

from adapters.journal.sqlite_file import Schema

# A payload row exists as long as its segment has open messages: recovery reads that table alone.
CREATE = (
    """
    CREATE TABLE segments (
        seq INTEGER PRIMARY KEY,
        accepted_unix_ms INTEGER NOT NULL,
        open INTEGER NOT NULL,
        states BLOB NOT NULL,
        keys BLOB NOT NULL,
        fingerprints BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE payloads (
        seq INTEGER PRIMARY KEY,
        kept INTEGER NOT NULL,
        frames BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE receipts (
        seq INTEGER PRIMARY KEY,
        segment INTEGER NOT NULL,
        at_unix_ms INTEGER NOT NULL,
        events BLOB NOT NULL
    )
    """,
    "CREATE INDEX receipts_by_segment ON receipts (segment)",
)

JOURNAL = Schema("journal", application_id=0x57504A4C, version=1, create=CREATE, migrations={})

# The sqlite3 module releases the GIL in each step, and beside a busy event loop each reacquisition may take a switch
# interval (5 ms). Commits of 8 segments beside a loop that never rests, medians of 6 interleaved runs: as one statement
# on this view 10 to 14 ms, with one statement per table 13 to 77, row by row 12 to 290, as the threads happen to fall.
# The rows are told apart by what they leave NULL: only an append has frames.
COMMIT_VIEW = (
    """
    CREATE TEMP VIEW commits AS SELECT
        0 AS seq, 0 AS at_unix_ms, 0 AS open, 0 AS states, 0 AS frames, 0 AS keys, 0 AS fingerprints, 0 AS events
    """,
    """
    CREATE TEMP TRIGGER append_segment INSTEAD OF INSERT ON commits WHEN new.frames IS NOT NULL BEGIN
        INSERT INTO segments VALUES (new.seq, new.at_unix_ms, new.open, new.states, new.keys, new.fingerprints);
        INSERT INTO payloads VALUES (new.seq, new.open, new.frames);
    END
    """,
    """
    CREATE TEMP TRIGGER record_events INSTEAD OF INSERT ON commits WHEN new.events IS NOT NULL BEGIN
        INSERT INTO receipts (segment, at_unix_ms, events) VALUES (new.seq, new.at_unix_ms, new.events);
    END
    """,
    """
    CREATE TEMP TRIGGER close_messages INSTEAD OF INSERT ON commits
    WHEN new.frames IS NULL AND new.states IS NOT NULL BEGIN
        UPDATE segments SET states = new.states, open = new.open WHERE seq = new.seq;
    END
    """,
    """
    CREATE TEMP TRIGGER drop_payload INSTEAD OF INSERT ON commits WHEN new.frames IS NULL AND new.open = 0 BEGIN
        DELETE FROM payloads WHERE seq = new.seq;
    END
    """,
)
COLUMNS = 8


def commit_statement(rows: int) -> str:
    """Return the statement that writes so many rows of COLUMNS values at once."""
    row = "(" + ",".join("?" * COLUMNS) + ")"
    return "INSERT INTO commits VALUES " + ",".join([row] * rows)  # noqa: S608 - only marks are formatted in
