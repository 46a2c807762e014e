"""Section (b): the APNs adapter and its engine against h2load, pycurl, aioapns and httpx, in the same rounds."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.egress.client_run import ClientRun
from bench.egress.job import Job
from bench.egress.servers import Kind, Place, prepare, running
from bench.egress.sides import ADAPTER, SIDES, Side, SideRun
from bench.quiet import Observed, Patience, Rounds, quiet_rounds
from bench.results import Bars, Better, Figure, ResultTable, SectionResult, cell
from bench.section import BenchOptions, Progress, Scale, Section

_CASES = ((1, 100), (1, 1_000), (4, 100), (4, 1_000))
_LONG_TOTALS = (10_000, 400_000, 2_000_000)
_LONG_KINDS = (Kind.GOOD, Kind.REFUSING)
_RATIO_TARGETS = {"h2load": 0.5, "aioapns": 30.0}
_NOTES = (
    "Client on core 0, server on core 1, over TLS on loopback; the same payload and header fields for all.",
    "CPU is the client's, in us a request; a ratio is that of the adapter's requests/s to the other's in one round.",
    "h2load and the engine send the same apns-id each time, which HPACK shrinks to a byte; the adapter sends others.",
    "aioapns gets a server that echoes apns-id from Python, because it matches answers by it.",
    "pycurl's wheel brings its own libcurl, nghttp2 and OpenSSL.",
)

Row = tuple[SideRun, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """Streams are in all, over all connections."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.streams}"

    def job(self, place: Place, total: int) -> Job:
        """Return what a client is asked."""
        return Job(place.directory, place.port, self.connections, self.streams, total)


class EgressSection:
    """Compares the clients case by case, then runs the adapter for long, with and without refusals."""

    letter = "b"
    name = "egress"
    title = "Egress: the APNs adapter beside other clients"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure. Raises bench.egress.sides.SideFailed."""
        cases = [Case(*case) for case in (_CASES[::3] if options.scale is Scale.SMOKE else _CASES)]
        steps = len(cases) + 1
        figures: list[Figure] = []
        tables: list[ResultTable] = []
        with tempfile.TemporaryDirectory(prefix="walletpush-bench-") as name, ExitStack() as stack:
            directory = prepare(Path(name))
            places = {kind: stack.enter_context(running(directory, kind)) for kind in Kind}
            for number, case in enumerate(cases):
                progress.step(number, steps, f"{case.connections} connections, {case.streams} streams")
                rounds = compared(case, places, options)
                figures += case_figures(case, rounds)
                tables.append(case_table(case, rounds))
            progress.step(len(cases), steps, "many requests, with and without refusals")
            endured = long_rounds(places, options)
        return SectionResult(
            self.name, (*figures, *long_figures(endured)), (*tables, long_table(endured, options)),
            bars=bars(cases), notes=_NOTES,
        )  # fmt: skip


def patience(options: BenchOptions) -> Patience:
    """Return how hard to try for quiet rounds: not at all where only the working is checked."""
    return Patience(0, 1) if options.scale is Scale.SMOKE else Patience()


def compared(case: Case, places: dict[Kind, Place], options: BenchOptions) -> Rounds[Row]:
    """Run all sides in turn, again and again."""

    def measure() -> Observed[Row]:
        found = [one.observe(case.job(places[one.server], one.total(options)), places[one.server]) for one in SIDES]
        return _together(found)

    return quiet_rounds(measure, options.repeats, patience(options))


def long_rounds(places: dict[Kind, Place], options: BenchOptions) -> Rounds[Row]:
    """Run the adapter over many requests that all succeed, then over as many of which every fourth fails."""
    case, total = Case(4, 1_000), options.of(*_LONG_TOTALS)

    def measure() -> Observed[Row]:
        return _together([ADAPTER.observe(case.job(places[kind], total), places[kind]) for kind in _LONG_KINDS])

    return quiet_rounds(measure, options.repeats, patience(options))


def _together(found: Sequence[Observed[SideRun]]) -> Observed[Row]:
    return Observed(tuple(one.value for one in found), max(one.foreign_percent for one in found))


def case_figures(case: Case, rounds: Rounds[Row]) -> Iterator[Figure]:
    """Yield rate and CPU of each side, and the adapter's ratio to each other one."""
    for one, runs in zip(SIDES, zip(*rounds.counted, strict=True), strict=True):
        clients = [run.client for run in runs]
        yield from _rate_and_cpu(f"egress.{case}.{one.name}", clients, rounds.quiet, judged=one.ours)
    for one in SIDES:
        if not one.ours:
            yield Figure(
                f"egress.{case}.ratio.{one.name}", "x", tuple(_ratios(rounds, one)), Better.HIGHER,
                _RATIO_TARGETS.get(one.name), rounds.quiet,
            )  # fmt: skip


def _rate_and_cpu(name: str, clients: Sequence[ClientRun], quiet: int, *, judged: bool) -> Iterator[Figure]:
    rates, cpu = tuple(run.per_s for run in clients), tuple(run.cpu_us for run in clients)
    up, down = (Better.HIGHER, Better.LOWER) if judged else (Better.NEITHER, Better.NEITHER)
    yield Figure(f"{name}.requests_per_s", "requests/s", rates, up, quiet=quiet)
    yield Figure(f"{name}.cpu_us", "us/request", cpu, down, quiet=quiet)


def _ratios(rounds: Rounds[Row], other: Side) -> Iterator[float]:
    first, second = SIDES.index(ADAPTER), SIDES.index(other)
    for row in rounds.counted:
        yield row[first].client.per_s / row[second].client.per_s


def case_table(case: Case, rounds: Rounds[Row]) -> ResultTable:
    """Return one row per side."""
    rows = []
    for one, runs in zip(SIDES, zip(*rounds.counted, strict=True), strict=True):
        server_us = statistics.median(run.server_us for run in runs)
        rows.append((
            one.name, cell([run.client.per_s for run in runs]), cell([run.client.cpu_us for run in runs], 2),
            f"{server_us:.1f}", "" if one is ADAPTER else cell(list(_ratios(rounds, one)), 2),
        ))  # fmt: skip
    title = f"{case.connections} connections, {case.streams:,} streams in all; {rounds} rounds were quiet"
    return ResultTable(title, ("client", "requests/s", "client us", "server us", "adapter's ratio to it"), tuple(rows))


def long_figures(rounds: Rounds[Row]) -> Iterator[Figure]:
    """Yield what errors cost and whether memory stays."""
    for place, kind in enumerate(_LONG_KINDS):
        clients = [row[place].client for row in rounds.counted]
        yield from _rate_and_cpu(f"egress.long.{kind}", clients, rounds.quiet, judged=True)
        memory = tuple(run.late_mib for run in clients)
        yield Figure(f"egress.long.{kind}.rss_mib", "MiB", memory, Better.LOWER, quiet=rounds.quiet)
        growth = tuple(run.late_mib - run.early_mib for run in clients)
        yield Figure(f"egress.long.{kind}.rss_growth_mib", "MiB", growth, quiet=rounds.quiet)
    ratios = tuple(row[1].client.per_s / row[0].client.per_s for row in rounds.counted)
    yield Figure("egress.long.ratio.refusing", "x", ratios, Better.HIGHER, 1.0, rounds.quiet)


def long_table(rounds: Rounds[Row], options: BenchOptions) -> ResultTable:
    """Return one row per kind of answers."""
    rows = []
    for kind, runs in zip(_LONG_KINDS, zip(*rounds.counted, strict=True), strict=True):
        clients = [run.client for run in runs]
        rows.append((
            "all good" if kind is Kind.GOOD else "every fourth an error with a body",
            cell([run.per_s for run in clients]), cell([run.cpu_us for run in clients], 2),
            cell([run.early_mib for run in clients], 1), cell([run.late_mib for run in clients], 1),
        ))  # fmt: skip
    title = f"The adapter over {options.of(*_LONG_TOTALS):,} requests, 4 connections, 1,000 streams; {rounds} quiet"
    return ResultTable(
        title, ("answers", "requests/s", "client us", "RSS MiB at 10 %", "RSS MiB at the end"), tuple(rows)
    )


def bars(cases: Sequence[Case]) -> tuple[Bars, ...]:
    """Return the plots of rate and CPU, a bar per client."""
    groups = tuple(f"{case.connections} x {case.streams // case.connections:,}" for case in cases)
    sides = tuple(one.name for one in SIDES)

    def names(what: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(f"egress.{case}.{side}.{what}" for case in cases) for side in sides)

    return (
        Bars("Egress: requests a second (connections x streams of each)", "requests/s", groups, sides,
             names("requests_per_s"), log_y=True),
        Bars("Egress: CPU of the client (connections x streams of each)", "us per request", groups, sides,
             names("cpu_us"), log_y=True),
    )  # fmt: skip


SECTION: Section = EgressSection()
