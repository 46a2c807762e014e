"""Section (a): the hot kernels by batch size, in one process over tables of a million entries, and the journal."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.kernels import journal
from bench.kernels.receipts import Receipts
from bench.kernels.tables import Buckets, Dedup, Hashing, Lanes
from bench.kernels.timing import BATCHES, Kernel, Size, Timing, timed
from bench.quiet import CLIENT_CORE, CoreWatch, Observed, Patience, Rounds, quiet_rounds
from bench.results import Better, Figure, Latencies, ResultTable, SectionResult, Series, cell
from bench.section import BenchOptions, Progress, Scale, Section

_SIZES = {Scale.SMOKE: Size(20_000, 50), Scale.QUICK: Size(1_000_000, 5), Scale.FULL: Size(1_000_000, 1)}
_TARGET_BATCH = 1_000
_NOTES = (
    "An element is a message or a delivery, not a bucket; every table is built anew for each repeat.",
    "A sample is the median over the calls of one repeat, the first tenth left out; pinned to core 0.",
    "The journal writes to the temporary directory (TMPDIR); an append's latency runs from when it was due.",
)


class Subject(Protocol):
    """A table, filled, with the kernels that work on it."""

    def kernels(self) -> Sequence[Kernel]:
        """Return what is timed."""


_SUBJECTS: tuple[Callable[[Size], Subject], ...] = (Hashing, Dedup, Buckets, Lanes, Receipts)

Timings = dict[int, Timing]


@dataclass(frozen=True, slots=True)
class KernelRuns:
    """One kernel: a timing per batch size for each round that counts."""

    kernel: Kernel
    rounds: Rounds[Timings]

    def medians(self, batch: int) -> tuple[float, ...]:
        """Return the median of each round, in ns per element."""
        return tuple(timings[batch].median for timings in self.rounds.counted)


class KernelsSection:
    """Times each kernel at every batch size, then the journal."""

    letter = "a"
    name = "kernels"
    title = "Kernels: hashing, dedup, buckets, fan-out, receipts by batch size; the journal"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure."""
        steps, runs = len(_SUBJECTS) + 2 * options.repeats, []
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {CLIENT_CORE} & everywhere or everywhere)
        for number, subject in enumerate(_SUBJECTS):
            progress.step(number, steps, subject.__name__.lower())
            runs += kernel_runs(subject, options)
        # The journal's thread may use another core, as it does in the gateway.
        os.sched_setaffinity(0, everywhere)
        counted = iter(range(len(_SUBJECTS), steps))
        journaled = journal.measure(options, lambda doing: progress.step(next(counted), steps, doing))
        return SectionResult(
            self.name, (*kernel_figures(runs), *journal_figures(journaled)),
            (batch_table(runs), calls_table(runs), journal_table(journaled), append_table(journaled)),
            tuple(append_latencies(journaled)), tuple(throughput(runs)), notes=_NOTES,
        )  # fmt: skip


def kernel_runs(subject: Callable[[Size], Subject], options: BenchOptions) -> list[KernelRuns]:
    """Time the kernels of one subject, which is made anew for each round."""
    size = _SIZES[options.scale]
    kernels: Sequence[Kernel] = ()

    def measure() -> Observed[list[Timings]]:
        nonlocal kernels
        kernels = subject(size).kernels()
        watch = CoreWatch()
        timings = [{batch: timed(batch, kernel.calls(batch)) for batch in BATCHES} for kernel in kernels]
        return Observed(timings, watch.foreign_percent())

    patience = Patience(0, 1) if options.scale is Scale.SMOKE else Patience()
    rounds = quiet_rounds(measure, options.repeats, patience)
    return [
        KernelRuns(kernel, Rounds([one[place] for one in rounds.counted], rounds.quiet, rounds.tried))
        for place, kernel in enumerate(kernels)
    ]


def kernel_figures(runs: Sequence[KernelRuns]) -> Iterator[Figure]:
    """Yield one figure per kernel and batch size."""
    for one in runs:
        for batch in BATCHES:
            target = one.kernel.target_ns if batch == _TARGET_BATCH else None
            name = f"kernels.{one.kernel.name}.{batch}.ns"
            yield Figure(name, "ns/element", one.medians(batch), Better.LOWER, target, one.rounds.quiet)


def batch_table(runs: Sequence[KernelRuns]) -> ResultTable:
    """Return medians by batch size."""
    rows = [
        (one.kernel.title, *(f"{statistics.median(one.medians(batch)):,.1f}" for batch in BATCHES)) for one in runs
    ]
    columns = ("kernel", *(f"batch of {batch:,}" for batch in BATCHES))
    return ResultTable("Kernels: median ns per element", columns, tuple(rows))


def calls_table(runs: Sequence[KernelRuns]) -> ResultTable:
    """Return what calls of 1,000 show: the best, the spread, the slow ones, the rate, the disturbance."""
    rows = []
    for one in runs:
        timings = [timings[_TARGET_BATCH] for timings in one.rounds.counted]
        medians = one.medians(_TARGET_BATCH)
        rows.append((
            one.kernel.title, f"{min(timing.best for timing in timings):,.1f}", cell(medians, 1),
            f"{statistics.median(timing.p99 for timing in timings):,.1f}", f"{1_000 / statistics.median(medians):,.1f}",
            str(one.rounds),
        ))  # fmt: skip
    columns = ("kernel", "best ns", "median ns", "p99 ns", "million/s", "quiet")
    return ResultTable(f"Kernels in batches of {_TARGET_BATCH:,}: ns per element", columns, tuple(rows))


def throughput(runs: Sequence[KernelRuns]) -> Iterator[Series]:
    """Yield a line per kernel: elements a second by batch size."""
    for one in runs:
        rates = tuple(1e9 / statistics.median(one.medians(batch)) for batch in BATCHES)
        yield Series(
            "Kernels: throughput by batch size", one.kernel.title, "batch size", "elements/s",
            tuple(map(float, BATCHES)), rates, log_x=True, log_y=True,
        )  # fmt: skip


def journal_figures(runs: journal.JournalRuns) -> Iterator[Figure]:
    """Yield what a message costs by segment size."""
    for messages in runs.cpu_us:
        for what, samples in (("cpu_us", runs.cpu_us[messages]), ("wall_us", runs.wall_us[messages])):
            name = f"journal.{messages}.{what}"
            yield Figure(name, "us/message", tuple(samples), Better.LOWER, quiet=runs.quiet)


def journal_table(runs: journal.JournalRuns) -> ResultTable:
    """Return what a message costs by segment size."""
    rows = [
        (f"{messages:,}", cell(runs.cpu_us[messages], 2), cell(runs.wall_us[messages], 2)) for messages in runs.cpu_us
    ]
    columns = ("messages per segment", "CPU us/message", "wall us/message")
    return ResultTable("Journal: append and settle, 4 segments in flight", columns, tuple(rows))


def append_table(runs: journal.JournalRuns) -> ResultTable:
    """Return how long appends wait."""
    rows = []
    for arrivals, recorder in runs.appends.items():
        picks = (*recorder.percentiles((50.0, 99.0)), recorder.max_us)
        rows.append((arrivals.name, f"{recorder.count:,}", *(f"{time_us / 1e3:,.2f}" for time_us in picks)))
    return ResultTable(
        "Journal: from due to durable, open loop", ("segments", "count", "p50 ms", "p99 ms", "max ms"), tuple(rows)
    )


def append_latencies(runs: journal.JournalRuns) -> Iterator[Latencies]:
    """Yield the histogram of each open loop."""
    for arrivals, recorder in runs.appends.items():
        yield recorder.result(f"journal append.{arrivals.name}", corrected=True)


SECTION: Section = KernelsSection()
