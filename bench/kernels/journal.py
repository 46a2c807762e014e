"""What the journal costs per message on a real disk, and how long an append waits, alone and beside a busy loop."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapters.journal.sqlite import SqliteJournal
from bench.latency import LatencyRecorder
from bench.quiet import QUIET_PERCENT, CoreWatch
from bench.section import BenchOptions, Scale
from core.storage import Segment, SegmentUpdate

FRAME_BYTES = 250
# What core.receipts packs for a delivery with an apns-id: 37 bytes and the id's 36.
EVENT_BYTES = 73
_IN_FLIGHT = 4
_COSTS = ((500, 100_000), (100, 40_000), (10, 8_000), (1, 2_000))
_TURN_S = 0.002


@dataclass(frozen=True, slots=True)
class Arrivals:
    """An open loop: segments of so many messages, so many a second, beside work that holds the loop for a share."""

    messages: int
    per_s: int
    busy_share: float

    @property
    def name(self) -> str:
        """What tells it from others, for people."""
        busy = f", loop {self.busy_share:.0%} busy" if self.busy_share else ""
        return f"{self.per_s} a second of {self.messages}{busy}"


ARRIVALS = (
    Arrivals(1, 50, 0.0), Arrivals(1, 500, 0.0), Arrivals(500, 80, 0.0), Arrivals(500, 80, 0.5), Arrivals(500, 80, 0.9),
)  # fmt: skip


@dataclass(slots=True)
class JournalRuns:
    """By messages per segment, CPU and wall time per message in us, one of each per repeat; and appends' latencies.

    quiet: in how many repeats the costs were undisturbed.
    """

    cpu_us: dict[int, list[float]] = field(default_factory=dict)
    wall_us: dict[int, list[float]] = field(default_factory=dict)
    appends: dict[Arrivals, LatencyRecorder] = field(default_factory=dict)
    quiet: int = 0


def measure(options: BenchOptions, on_step: Callable[[str], None]) -> JournalRuns:
    """Measure in a temporary directory, which decides what disk it is."""
    with tempfile.TemporaryDirectory(prefix="walletpush-bench-") as directory:
        return asyncio.run(_measure(Path(directory), options, on_step))


class _Load:
    """Ready-made segments and updates, so that only the journal is measured."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._frames = [os.urandom(FRAME_BYTES) for _ in range(messages)]
        self._keys = os.urandom(16 * messages)
        self._fingerprints = os.urandom(8 * messages)
        self._closed = struct.pack(f"={messages}I", *(index << 8 | 1 for index in range(messages)))
        self._events = os.urandom(EVENT_BYTES * messages)

    def segment(self, seq: int) -> Segment:
        """Return a segment of the load's size."""
        return Segment(seq, time.time_ns() // 1_000_000, self._frames, self._keys, self._fingerprints)

    def update(self, seq: int) -> SegmentUpdate:
        """Return what closes all of a segment."""
        return SegmentUpdate(seq, time.time_ns() // 1_000_000, self._closed, self._events)


async def _measure(directory: Path, options: BenchOptions, on_step: Callable[[str], None]) -> JournalRuns:
    runs, journal = JournalRuns(), await SqliteJournal.open(directory, 0)
    divisor, seconds = options.of(20, 4, 1), options.of(1, 2, 5)
    await _cost(journal, 500, 20_000 // divisor)
    for _ in range(options.repeats):
        on_step("journal: cost per message")
        watch = CoreWatch()
        for messages, total in _COSTS:
            cpu_us, wall_us = await _cost(journal, messages, total // divisor)
            runs.cpu_us.setdefault(messages, []).append(cpu_us)
            runs.wall_us.setdefault(messages, []).append(wall_us)
        runs.quiet += watch.foreign_percent() <= QUIET_PERCENT
        on_step("journal: appends in an open loop")
        for arrivals in ARRIVALS if options.scale is not Scale.SMOKE else ARRIVALS[::4]:
            recorder = runs.appends.setdefault(arrivals, LatencyRecorder())
            recorder.record_all(await _open_loop(journal, arrivals, seconds))
    await journal.close()
    return runs


async def _accept_and_settle(journal: SqliteJournal, load: _Load) -> None:
    seq = journal.next_segment()
    await journal.append(load.segment(seq))
    await journal.record([load.update(seq)])


async def _cost(journal: SqliteJournal, messages: int, total: int) -> tuple[float, float]:
    """Push messages with some segments in flight; return CPU and wall time per message in us."""
    load = _Load(messages)
    rounds = max(1, total // messages // _IN_FLIGHT)
    cpu_s, began_s = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        await asyncio.gather(*(_accept_and_settle(journal, load) for _ in range(_IN_FLIGHT)))
    done = rounds * _IN_FLIGHT * messages
    return (time.process_time() - cpu_s) * 1e6 / done, (time.perf_counter() - began_s) * 1e6 / done


async def _open_loop(journal: SqliteJournal, arrivals: Arrivals, seconds: int) -> list[float]:
    """Let segments arrive at fixed moments whatever the journal does; return from due to durable in us, each."""
    load = _Load(arrivals.messages)
    loop = asyncio.get_running_loop()

    async def arrive(due_s: float) -> float:
        seq = journal.next_segment()
        await journal.append(load.segment(seq))
        waited_us = (loop.time() - due_s) * 1e6
        await journal.record([load.update(seq)])
        return waited_us

    busy = loop.create_task(_keep_busy(arrivals.busy_share))
    began_s = loop.time()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(arrivals.per_s * seconds):
            due_s = began_s + number / arrivals.per_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            tasks.append(group.create_task(arrive(due_s)))
    busy.cancel()
    with suppress(asyncio.CancelledError):
        await busy
    return [task.result() for task in tasks]


async def _keep_busy(share: float) -> None:
    """Hold the loop for its share of every turn, as a working gateway does."""
    while share:
        ends_s = time.perf_counter() + _TURN_S * share
        while time.perf_counter() < ends_s:
            sum(range(200))
        await asyncio.sleep(_TURN_S * (1 - share))
