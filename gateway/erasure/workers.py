"""All workers of a host, as an erasure goes through them: this one, its siblings, and journals that nobody has open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters.journal.options import JournalOptions
from adapters.journal.page_gaps import clean_gaps
from adapters.journal.sqlite import SqliteJournal
from core.errors import StoreFailure, Unavailable
from core.hashing import SipHash
from gateway.erasure.local import LEFTOVERS, LocalErasure
from gateway.erasure.subject import Subject
from gateway.peers import Peers


class StoreFiles:
    """Implements gateway.erasure.eraser.Files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    async def clean(self, needles: Sequence[bytes]) -> int:
        """Rid the files of leftovers of what was deleted; return how many stay, in what is too large."""
        return sum([await asyncio.to_thread(clean_gaps, path, needles) for path in self._paths])


class HostWorkers:
    """Implements gateway.erasure.eraser.Workers. number: this worker's. hasher: receipts have their keys from."""

    def __init__(
        self, *, data_dir: Path, number: int, own: LocalErasure, peers: Peers, options: JournalOptions,
        hasher: SipHash,
    ) -> None:  # fmt: skip
        self._data_dir = data_dir
        self._number = number
        self._own = own
        self._peers = peers
        self._options = options
        self._hasher = hasher

    def numbers(self) -> list[int]:
        """Return the numbers of all journals, and so of all workers."""
        return sorted(int(path.stem.removeprefix("journal-")) for path in self._data_dir.glob("journal-*.db"))

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
            journal = await SqliteJournal.open(self._data_dir, number, self._options)
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
