"""(e) Memory: what waiting notifications, registered devices and users take, and a restart over a backlog."""

from __future__ import annotations

import os

import uvloop

from bench.memory.devices import DEVICES_EACH, Registered, look_all_up
from bench.memory.figures import (
    device_figures,
    device_table,
    memory_series,
    pending_figures,
    pending_table,
    restart_table,
)
from bench.memory.pending import Pending, fill_and_restart
from bench.results import SectionResult
from bench.section import BenchOptions, Progress
from bench.stand import OTHER_CORE, StandOptions, simulators

_PENDING = (5_000, 200_000, 1_000_000)
_USERS = (1_000, 20_000, 100_000)
_NOTES = (
    "Waiting: one device each, payloads of about 230 bytes, and APNs refuses every connection; bytes each are slopes "
    "over eleven sizes, from none on.",
    "RSS counts the shared dedup window as far as it was touched, some 80 bytes a notification, once per worker "
    "although all share it; own is what no other process has.",
    "Devices: registries of two numbers of users with one and with three devices each, and as many payments over each, "
    "to all users in turn; bytes a device and bytes a user beside their devices are fitted together.",
    "Mapped are pages of the registry's file, shared by all workers, which the system takes back when it needs them; "
    "heap is what the worker keeps; rss is both.",
)


class Memory:
    """The section."""

    letter = "e"
    name = "memory"
    title = "Memory: per waiting notification, per device, per user; a restart over a backlog"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure on stands of its own; this process becomes the caller and keeps to its core."""
        os.sched_setaffinity(0, {OTHER_CORE})
        return uvloop.run(_Run(options, progress).measure())


SECTION = Memory()


class _Run:
    def __init__(self, options: BenchOptions, progress: Progress) -> None:
        self._options, self._progress = options, progress
        users = options.of(*_USERS)
        self._shapes = [(size, each) for size in (users, 2 * users) for each in DEVICES_EACH]
        self._done = 0

    async def measure(self) -> SectionResult:
        repeats = range(self._options.repeats)
        runs = [await self._pending(self._options.of(*_PENDING)) for _ in repeats]
        laps = [await self._devices() for _ in repeats]
        return SectionResult(
            Memory.name, (*pending_figures(runs), *device_figures(laps)),
            (pending_table(runs), restart_table(runs), device_table(laps)),
            series=tuple(memory_series(runs, laps)), notes=_NOTES,
        )  # fmt: skip

    async def _pending(self, count: int) -> Pending:
        self._step(f"{count:,} notifications wait")
        async with simulators(StandOptions(mode="truthful")) as found:
            return await fill_and_restart(found, count)

    async def _devices(self) -> list[Registered]:
        most = max(users for users, _ in self._shapes)
        made = []
        async with simulators(StandOptions()) as found:
            for users, each in self._shapes:
                self._step(f"{users:,} users with {each}")
                made.append(await look_all_up(found, users, each, most))
        return made

    def _step(self, doing: str) -> None:
        self._progress.step(self._done, self._options.repeats * (1 + len(self._shapes)), doing)
        self._done += 1
