"""Marks in shared memory that tell all workers whose row was changed, and a bounded memory that heeds them."""

from __future__ import annotations

import mmap
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from core.policy.people import Recipient

MARK_BYTES: Final = 8
SLOTS: Final = 8192
MARKS_BYTES: Final = SLOTS * MARK_BYTES


class ChangeMarks:
    """A mark per slot; users share slots, so a user's mark may change without cause, but never stay without one.

    Marks are random, not counted: two processes that write one slot at a time can never bring an earlier mark back.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._marks = memoryview(memory).cast("Q")

    def touch(self, keys: Iterable[tuple[str, str]]) -> None:
        """Mark users as changed; call it after the commit."""
        mark = secrets.randbits(64)
        for key in keys:
            self._marks[slot_of(key)] = mark

    def of(self, key: tuple[str, str]) -> int:
        """Return a user's mark; read it before the row."""
        return self._marks[slot_of(key)]

    def close(self) -> None:
        """Let go of the memory."""
        self._marks.release()
        self._memory.close()


def slot_of(key: tuple[str, str]) -> int:
    """Return a user's slot, the same in every process."""
    return zlib.crc32("\0".join(key).encode()) % SLOTS


class RecipientMemory:
    """Users looked up one at a time, the least recently used go first; also who is not known.

    What a worker changed and died before marking is believed for max_age_ms at most; nobody was told that it is stored.
    """

    def __init__(self, marks: ChangeMarks, size: int, max_age_ms: int) -> None:
        self._marks = marks
        self._size = size
        self._max_age_ms = max_age_ms
        self._known: OrderedDict[tuple[str, str], tuple[int, int, Recipient | None]] = OrderedDict()

    def mark(self, key: tuple[str, str]) -> int:
        """Return what `keep` needs, before the row is read."""
        return self._marks.of(key)

    def find(self, key: tuple[str, str], now_ms: int) -> tuple[Recipient | None] | None:
        """Return (user,) or (None,) for one who is not known; None if it must be read."""
        kept = self._known.get(key)
        if kept is None:
            return None
        mark, kept_ms, recipient = kept
        if mark != self._marks.of(key) or not 0 <= now_ms - kept_ms <= self._max_age_ms:
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return (recipient,)

    def keep(self, key: tuple[str, str], mark: int, now_ms: int, recipient: Recipient | None) -> None:
        """Remember what was read. mark: read before it."""
        self._known[key] = (mark, now_ms, recipient)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
