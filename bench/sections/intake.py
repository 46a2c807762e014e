"""(c) What each way of calling costs, and how long callers wait: in a closed loop, and in an open one."""

from __future__ import annotations

import gc
import os
from itertools import chain

import uvloop

from bench.cpu import Watch, quietest
from bench.intake.cases import ClosedCase, OpenCase, closed_cases, open_cases
from bench.intake.closed_loop import ClosedRun, run_closed
from bench.intake.figures import (
    OpenRound,
    closed_bars,
    closed_figures,
    closed_table,
    not_held,
    open_figures,
    open_latencies,
    open_table,
    opened,
)
from bench.intake.ways import Calls, Way
from bench.noted_answers import read_answers
from bench.open_loop import Call, poisson, run_open
from bench.quiet import Rounds
from bench.received import Received
from bench.results import SectionResult
from bench.section import BenchOptions, Progress
from bench.stand import ANSWERS_FILE, OTHER_CORE, Stand, StandOptions, gateway, simulators

_WARM_CALLS = 5
_NOTES = (
    "The callers are Python and share a core with the simulators: where large batches come in, they may be slower than "
    "the gateway, which their CPU tells.",
    "Server CPU is the worker's, from the call to the provider's answer, without a probe.",
    "The times of a closed loop are no promise: they grow with the callers, by Little's law.",
    "The times of the open loop run from when a call was due; starting it late, by the last column, is part of them.",
    "To the provider is from when the call was due to the provider's answer, which a probe in the worker notes.",
    "A batch is one call; p99.9 of fewer than a thousand calls is their maximum.",
)


class Intake:
    """The section."""

    letter = "c"
    name = "intake"
    title = "gRPC intake: every way of calling, closed and open loop"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure on a stand of its own; this process becomes the callers and keeps to their core."""
        os.sched_setaffinity(0, {OTHER_CORE})
        return uvloop.run(_Run(options, progress).measure())


SECTION = Intake()


class _Run:
    def __init__(self, options: BenchOptions, progress: Progress) -> None:
        self._options, self._progress = options, progress
        self._closed, self._open = closed_cases(options.scale), open_cases(options.scale)
        self._done = 0

    async def measure(self) -> SectionResult:
        async with simulators(StandOptions()) as found:
            async with gateway(found, StandOptions()) as place:
                closed = [(case, await self._run_closed(place, case)) for case in self._closed]
            probed = found.apart("open")
            async with gateway(probed, StandOptions(probed=True)) as place:
                rounds = [(case, await self._run_open(place, case)) for case in self._open]
            answers = read_answers(probed.directory / ANSWERS_FILE)
        told = [opened(case, made, answers) for case, made in rounds]
        return SectionResult(
            Intake.name,
            figures=(*chain.from_iterable(closed_figures(*one) for one in closed),
                     *chain.from_iterable(map(open_figures, told))),
            tables=(closed_table(closed), open_table(told)),
            latencies=tuple(chain.from_iterable(map(open_latencies, told))),
            bars=(closed_bars(self._closed),),
            notes=(*_NOTES, *not_held(told)),
        )  # fmt: skip

    async def _run_closed(self, place: Stand, case: ClosedCase) -> Rounds[ClosedRun]:
        self._step(f"{case.way.title}, {case.callers:,} callers")
        async with case.way.connect(place.address, case.way.size) as calls, place.simulator() as simulator:
            received = Received(simulator)
            await _warm(calls, case.way, case.name, received)

            async def measure(number: int) -> ClosedRun:
                prepared = _prepared(calls, case.count, f"{case.name}.{number}")
                return await run_closed(place, prepared, case.callers, case.count, received)

            return await quietest(self._options, measure)

    async def _run_open(self, place: Stand, case: OpenCase) -> Rounds[OpenRound]:
        self._step(f"{case.way.title}, {case.per_s:,}/s")
        async with case.way.connect(place.address, case.way.size) as calls, place.simulator() as simulator:
            received = Received(simulator)
            await _warm(calls, case.way, case.name, received)

            async def measure(number: int) -> OpenRound:
                due_ns = poisson(case.per_s / case.way.size, case.seconds, seed=number)
                prepared = _prepared(calls, len(due_ns) * case.way.size, f"{case.name}.{number}")
                await received.begin()
                watch = Watch(place.workers(), (place.supervisor, place.simulators))
                run = await run_open(prepared, due_ns)
                await received.reach(len(due_ns) * case.way.size)
                return OpenRound(run, watch.spent())

            return await quietest(self._options, measure)

    def _step(self, doing: str) -> None:
        self._progress.step(self._done, len(self._closed) + len(self._open), doing)
        self._done += 1


def _prepared(calls: Calls, count: int, run: str) -> list[Call]:
    made = calls(count, run)
    # A collection that walks what was prepared would be measured as the gateway's answer.
    gc.collect()
    gc.freeze()
    return made


async def _warm(calls: Calls, way: Way, run: str, received: Received) -> None:
    count = _WARM_CALLS * way.size
    await received.begin()
    for call in calls(count, f"{run}.warm"):
        await call()
    await received.reach(count)
