"""Erasing, from the parts of one worker: what it does itself, and what goes through all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from adapters.erasures.sqlite import SqliteErasures
from adapters.journal.options import JournalOptions
from adapters.journal.page_gaps import clean_gaps
from adapters.journal.sqlite import SqliteJournal
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.hashing import SipHash
from gateway.count_moves import CounterMoves
from gateway.erasure.eraser import UserEraser
from gateway.erasure.local import LocalErasure, Releasing
from gateway.erasure.workers import HostWorkers
from gateway.metrics import Metrics
from gateway.peers import Peers
from gateway.pipeline.clock import Clock
from gateway.pipeline.deferral import Deferrals
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.revival import Reviver
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway


class Sending(Protocol):
    """From the lanes to the providers and back."""

    @property
    def settler(self) -> Settler:
        """What ends deliveries."""

    @property
    def queue(self) -> DeliveryQueue:
        """The lanes."""

    @property
    def retries(self) -> RetryWheel:
        """What waits between attempts."""


FILES = ("people.db", "registry.db")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Where notifications are in one worker."""

    journal: SqliteJournal
    underway: Underway
    schedule: Schedule
    reviver: Reviver
    sending: Sending
    deferrals: Deferrals
    gates: Releasing


@dataclass(frozen=True, slots=True)
class Holdings:
    """What all workers hold of users together."""

    data_dir: Path
    people: SqlitePeople
    registry: SqliteRegistry
    counts: CounterMoves
    peers: Peers


@dataclass(frozen=True, slots=True)
class ErasureParts:
    """local: of this worker. eraser: of all."""

    local: LocalErasure
    eraser: UserEraser


class StoreFiles:
    """Implements gateway.erasure.eraser.Files."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def clean(self, needles: Sequence[bytes]) -> int:
        """Rid the files of leftovers of what was deleted; return how many stay, in what is too large."""
        return sum([await asyncio.to_thread(clean_gaps, self._data_dir / name, needles) for name in FILES])


def list_journals(data_dir: Path) -> list[int]:
    """Return the numbers of all journals."""
    return sorted(int(path.stem.removeprefix("journal-")) for path in data_dir.glob("journal-*.db"))


async def open_erasure(
    pipeline: Pipeline, holdings: Holdings, options: JournalOptions, secret: SipHash, metrics: Metrics, clock: Clock
) -> ErasureParts:
    """Open the file of erasures and wire what erases. Raises StoreFailure or Unavailable."""
    hasher = secret.derive("devices")
    local = LocalErasure(
        journal=pipeline.journal, underway=pipeline.underway, schedule=pipeline.schedule, reviver=pipeline.reviver,
        settler=pipeline.sending.settler, queue=pipeline.sending.queue, retries=pipeline.sending.retries,
        deferrals=pipeline.deferrals, gates=pipeline.gates, hasher=hasher, clock=clock,
    )  # fmt: skip
    workers = HostWorkers(
        number=pipeline.journal.number, own=local, peers=holdings.peers, hasher=hasher,
        list_journals=partial(list_journals, holdings.data_dir),
        open_idle=lambda number: SqliteJournal.open(holdings.data_dir, number, options),
    )  # fmt: skip
    files = StoreFiles(holdings.data_dir)
    eraser = UserEraser(
        erasures=await SqliteErasures.open(holdings.data_dir), people=holdings.people, registry=holdings.registry,
        files=files, counts=holdings.counts, workers=workers, secret=secret, metrics=metrics, clock=clock,
    )  # fmt: skip
    return ErasureParts(local, eraser)
