"""A process that appends and closes segments and says on its pipe what is durable, until it is killed.

Run as: python -m tests.integration.journal_writer DIRECTORY. A line "a SEQ" acknowledges an append, "c SEQ" a closing.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections.abc import Awaitable
from pathlib import Path

from adapters.journal.sqlite import SqliteJournal
from core.model import NotificationState
from core.storage import Segment, SegmentUpdate

MESSAGES = 5


def frame_of(seq: int, index: int) -> bytes:
    """Return a frame that can be told from any other."""
    return b"%d/%d " % (seq, index) * (1 + seq % 400)


def segment_of(seq: int) -> Segment:
    """Return the segment that this process writes under a number."""
    frames = [frame_of(seq, index) for index in range(MESSAGES)]
    return Segment(seq, 1_000 + seq, frames, struct.pack(">Q", seq) * 2 * MESSAGES, struct.pack(">Q", seq) * MESSAGES)


def closing_of(seq: int) -> SegmentUpdate:
    """Return the update that closes all but the last message of a segment."""
    closed = [index << 8 | NotificationState.DELIVERED for index in range(MESSAGES - 1)]
    return SegmentUpdate(seq, 1_000 + seq, struct.pack(f"={len(closed)}I", *closed), b"")


async def acknowledge(kind: str, seq: int, durable: Awaitable[None]) -> None:
    """Say so once it is on the disk."""
    await durable
    os.write(1, f"{kind} {seq}\n".encode())


async def write_on(directory: Path) -> None:
    """Write up to 100,000 segments, 16 in flight."""
    journal = await SqliteJournal.open(directory, 0)
    for _ in range(6_250):
        seqs = [journal.next_segment() for _ in range(16)]
        async with asyncio.TaskGroup() as group:
            for seq in seqs:
                group.create_task(acknowledge("a", seq, journal.append(segment_of(seq))))
        async with asyncio.TaskGroup() as group:
            for seq in seqs[::2]:
                group.create_task(acknowledge("c", seq, journal.record([closing_of(seq)])))


if __name__ == "__main__":
    asyncio.run(write_on(Path(sys.argv[1])))
