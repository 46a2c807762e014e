"""All workers of a host, as an erasure goes through them: this one, its siblings, and journals that nobody has open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from core.errors import StoreFailure, Unavailable
from core.hashing import SipHash
from core.storage import JournalErasing
from gateway.erasure.local import LEFTOVERS, LocalErasure
from gateway.erasure.subject import Subject
from gateway.peers import Peers


class IdleJournal(JournalErasing, Protocol):
    """A journal without a worker."""

    async def close(self) -> None:
        """Let go of it."""


class HostWorkers:
    """Implements gateway.erasure.eraser.Workers.

    number: this worker's. list_journals: the numbers of all there are. open_idle: raises StoreFailure for a journal
    that a worker has open. hasher: receipts have their device keys from.
    """

    def __init__(
        self, *, number: int, own: LocalErasure, peers: Peers, list_journals: Callable[[], list[int]],
        open_idle: Callable[[int], Awaitable[IdleJournal]], hasher: SipHash,
    ) -> None:  # fmt: skip
        self._number = number
        self._own = own
        self._peers = peers
        self._list_journals = list_journals
        self._open_idle = open_idle
        self._hasher = hasher

    def numbers(self) -> list[int]:
        """Return the numbers of all journals, and so of all workers."""
        return self._list_journals()

    async def erase(self, number: int, subject: Subject) -> Mapping[str, int]:
        """Erase a user from a worker and its journal; return counts. Raises Unavailable."""
        if number == self._number:
            return await self._own.erase(subject)
        try:
            return await self._peers.erase(number, subject)
        except Unavailable as error:
            return await self._erase_idle(number, subject, error)

    async def _erase_idle(self, number: int, subject: Subject, why: Unavailable) -> Mapping[str, int]:
        """Erase from a journal whose worker is no more; one that has a worker is locked by it."""
        try:
            journal = await self._open_idle(number)
        except StoreFailure:
            raise why from None
        try:
            traces = subject.traces(self._hasher)
            # What is to end here ends when the journal gets a worker again.
            frames, emptied = await journal.erase_frames(traces)
            while emptied:
                _, emptied = await journal.erase_frames(traces)
            receipts = await journal.unlink_receipts(traces)
            left = await journal.forget_deleted(traces)
        finally:
            await journal.close()
        return {"journal.payloads": frames, "journal.receipts": receipts, LEFTOVERS: left}
