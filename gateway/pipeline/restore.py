"""The journal's idempotency material -> the dedup window, at start."""

from __future__ import annotations

from array import array

from core.dedup import DedupWindow
from core.notification_id import make_id_many
from core.storage import JournalRecovery, KeyReader, SegmentKeys

_BATCH = 64
_GAP = bytes(16)


async def restore_own(dedup: DedupWindow, journal: JournalRecovery, number: int, now_unix_ms: int) -> int:
    """Put back what a journal accepted within the window, before anything new is; return how many keys were missing.

    A reservation that a killed worker left behind becomes permanent if its segment reached the journal.
    """
    missing = 0
    async for segments in journal.recent_keys(now_unix_ms - dedup.window_ms, _BATCH):
        for segment in segments:
            missing += _restore(dedup, number, segment)
    return missing


def restore_all(dedup: DedupWindow, reader: KeyReader, number: int, now_unix_ms: int) -> int:
    """Put back what any journal accepted within the window, read from outside; return how many keys were missing."""
    missing, after = 0, 0
    while segments := reader.keys_since(after, now_unix_ms - dedup.window_ms, _BATCH):
        missing += sum(_restore(dedup, number, segment) for segment in segments)
        after = segments[-1].seq
    return missing


def _restore(dedup: DedupWindow, number: int, segment: SegmentKeys) -> int:
    count = len(segment.keys) // 16
    ids = make_id_many(segment.accepted_unix_ms, number, segment.seq, count)
    keys, fingerprints = segment.keys, segment.fingerprints
    if _GAP in (keys[i : i + 16] for i in range(0, len(keys), 16)):
        # Duplicates left their places empty; their keys belong to the first one.
        kept = [i for i in range(count) if keys[16 * i : 16 * i + 16] != _GAP]
        keys = b"".join(keys[16 * i : 16 * i + 16] for i in kept)
        ids = b"".join(ids[16 * i : 16 * i + 16] for i in kept)
        fingerprints = b"".join(fingerprints[8 * i : 8 * i + 8] for i in kept)
        count = len(kept)
    accepted = array("Q", [segment.accepted_unix_ms]) * count
    return dedup.restore_many(keys, array("Q", fingerprints), ids, accepted)
