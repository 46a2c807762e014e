"""(f) Growth: what a notification costs with a thousand registered devices, and with ten million."""

from __future__ import annotations

import os

import uvloop

from bench.cpu import quietest
from bench.growth.figures import growth_figures, growth_series, growth_table
from bench.growth.laps import Course, Effort, Lap, places
from bench.received import Received
from bench.results import SectionResult
from bench.section import BenchOptions, Progress, Scale
from bench.stand import OTHER_CORE, StandOptions, simulators

_POWERS = {Scale.SMOKE: (3, 4, 5), Scale.QUICK: (3, 4, 5, 6), Scale.FULL: (3, 4, 5, 6, 7)}
_EFFORTS = {Scale.SMOKE: Effort(2, 2, 3, 5), Scale.QUICK: Effort(30, 8, 3, 50), Scale.FULL: Effort(200, 40, 3, 200)}
_NOTES = (
    "Users have one to three devices of APNs; SendBatch of 500 payments to a user each, durable, fast simulator.",
    "Each size has a worker of its own, warm, all on one core and one working at a time; sizes take turns of a tenth "
    "of a second, so that phases of the machine do not look like growth.",
    "Drawn even: every user is as likely as another and comes once in a batch. Drawn zipf: the k-th user is as likely "
    "as 1/k, and how many devices they have differs by size.",
    "CPU is user and system time of the worker, from the call to the provider's answer; a ratio is that of one lap.",
    "A look-up asks the registry for 500 users at once, in the bench's own process, with its thread and event loop.",
    "Registries are written in bulk, users in no order; the disk's part is left out: files are read through before.",
)


class Growth:
    """The section."""

    letter = "f"
    name = "growth"
    title = "Growth: the cost of a notification by registered devices"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure on a stand of its own; this process becomes the caller and keeps to its core."""
        os.sched_setaffinity(0, {OTHER_CORE})
        return uvloop.run(_Run(options, progress).measure())


SECTION = Growth()


class _Run:
    def __init__(self, options: BenchOptions, progress: Progress) -> None:
        self._options, self._progress = options, progress
        self._sizes = [10**power for power in _POWERS[options.scale]]
        self._done = 0

    async def measure(self) -> SectionResult:
        effort = _EFFORTS[self._options.scale]
        async with (
            simulators(StandOptions()) as found, found.simulator() as simulator,
            places(found, self._sizes, self._step) as ready,
        ):  # fmt: skip
            course = Course(found, ready, effort, Received(simulator))
            self._step("warming up")
            await course.warm_up()

            async def lap(number: int) -> Lap:
                self._step(f"lap {number + 1}")
                return await course.lap(number)

            rounds = await quietest(self._options, lap)
        return SectionResult(
            Growth.name, tuple(growth_figures(rounds)), (growth_table(rounds),), series=tuple(growth_series(rounds)),
            notes=_NOTES,
        )  # fmt: skip

    def _step(self, doing: str) -> None:
        self._progress.step(self._done, len(self._sizes) + 1 + self._options.repeats, doing)
        self._done += 1
