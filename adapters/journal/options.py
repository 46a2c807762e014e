"""The limits of an embedded journal."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Limits and times of one journal.

    queue_bytes: append refuses above it. kept_bytes: records that wait for a broken disk, at most.
    retention_ms: how long finished segments keep receipts, states and idempotency keys; not below the dedup window.
    max_bytes: the file's bound; near it the oldest receipts go first, whatever retention says, above it append refuses.
    A finished message takes some 75 bytes of receipt and 25 of key and state; the latter stay for the whole retention.
    wal_bytes: a checkpoint starts there at the latest. sparse_after_ms: an older segment with few open messages is
    rewritten without the finished ones.
    """

    queue_bytes: int = 64 * MIB
    kept_bytes: int = 256 * MIB
    commit_bytes: int = 8 * MIB
    retention_ms: int = 24 * HOUR_MS
    max_bytes: int = 16 * 1024 * MIB
    wal_bytes: int = 64 * MIB
    sparse_after_ms: int = 60_000
    upkeep_rows: int = 256
