"""What the section on intake tells of its runs: figures, histograms and tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.cpu import Spent
from bench.intake.cases import ClosedCase, OpenCase
from bench.intake.closed_loop import ClosedRun
from bench.latency import LatencyRecorder
from bench.noted_answers import Answer
from bench.open_loop import OpenRun
from bench.percentiles import PERCENTS, merged, percentile_figures, recorded, to_provider_us
from bench.quiet import Rounds
from bench.results import Bars, Better, Figure, Latencies, ResultTable, cell

_HELD = 0.95
_CLOSED_COLUMNS = (
    "way", "callers", "calls/s", "notifications/s", "server us", "caller us", "p50 ms", "p99 ms", "quiet",
)  # fmt: skip
_OPEN_COLUMNS = (
    "way", "offered/s", "achieved/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms",
    "to provider p50 ms", "to provider p99 ms", "late p99 ms", "quiet",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenRound:
    """One repeat of an open case."""

    run: OpenRun
    spent: Spent


@dataclass(frozen=True, slots=True)
class Opened:
    """An open case with its times per round. answered: of calls; to_provider: of notifications; late: of starts."""

    case: OpenCase
    rounds: Rounds[OpenRound]
    answered: tuple[LatencyRecorder, ...]
    to_provider: tuple[LatencyRecorder, ...]
    late: tuple[LatencyRecorder, ...]

    @property
    def per_s(self) -> tuple[float, ...]:
        """Notifications answered a second, by round."""
        size = self.case.way.size
        return tuple(round_.run.count * size / round_.run.seconds for round_ in self.rounds.counted)

    @property
    def held(self) -> bool:
        """Whether what was offered was also answered at that rate."""
        return statistics.median(self.per_s) >= _HELD * self.case.per_s


def opened(case: OpenCase, rounds: Rounds[OpenRound], answers: Mapping[bytes, Answer]) -> Opened:
    """Put the times of an open case together. answers: of a probed gateway that has drained."""
    runs = [round_.run for round_ in rounds.counted]
    return Opened(
        case,
        rounds,
        tuple(recorded(run.waits_us()) for run in runs),
        tuple(recorded(to_provider_us(run, answers)) for run in runs),
        tuple(recorded(run.late_us()) for run in runs),
    )


def closed_figures(case: ClosedCase, rounds: Rounds[ClosedRun]) -> Iterator[Figure]:
    """Yield what one row of the closed loop says."""
    for name, unit, better, values in (
        ("notifications_per_s", "1/s", Better.HIGHER, [run.per_s for run in rounds.counted]),
        ("server_cpu_us", "us", Better.LOWER, [run.server_us for run in rounds.counted]),
        ("caller_cpu_us", "us", Better.NEITHER, [run.caller_us for run in rounds.counted]),
    ):
        yield Figure(f"{case.name}.{name}", unit, tuple(values), better, quiet=rounds.quiet)


def closed_bars(cases: Sequence[ClosedCase]) -> Bars:
    """Return the plot of what a notification costs both sides, at the usual numbers of callers."""
    usual = [case for case in cases if case.usual]
    figures = tuple(tuple(f"{case.name}.{side}_cpu_us" for case in usual) for side in ("server", "caller"))
    groups = tuple(case.way.title for case in usual)
    return Bars("intake.cpu", "us a notification", groups, ("gateway", "caller"), figures, log_y=True)


def open_figures(told: Opened) -> Iterator[Figure]:
    """Yield what one row of the open loop says; its times are those of calls, and those to the provider's answer."""
    name, quiet = told.case.name, told.rounds.quiet
    yield Figure(f"{name}.achieved_per_s", "1/s", told.per_s, quiet=quiet)
    yield from percentile_figures(f"{name}.", told.answered, quiet)
    yield from percentile_figures(f"{name}.to_provider_", told.to_provider, quiet)


def open_latencies(told: Opened) -> Iterator[Latencies]:
    """Yield the histograms of one row, all rounds together."""
    yield merged(told.answered).result(told.case.name, corrected=True)
    yield merged(told.to_provider).result(f"{told.case.name}.to_provider", corrected=True)


def closed_table(closed: Sequence[tuple[ClosedCase, Rounds[ClosedRun]]]) -> ResultTable:
    """Return the closed loop's rows."""
    rows = []
    for case, rounds in closed:
        runs = rounds.counted
        rows.append((
            case.way.title, f"{case.callers:,}", cell([run.calls_per_s for run in runs]),
            cell([run.per_s for run in runs]), cell([run.server_us for run in runs], 1),
            cell([run.caller_us for run in runs], 1), cell([run.time_ms(0.5) for run in runs], 2),
            cell([run.time_ms(0.99) for run in runs], 2), str(rounds),
        ))  # fmt: skip
    return ResultTable("Closed loop: rates, and CPU in us a notification", _CLOSED_COLUMNS, tuple(rows))


def open_table(told: Iterable[Opened]) -> ResultTable:
    """Return the open loop's rows."""
    rows = []
    for one in told:
        answered, to_provider = merged(one.answered), merged(one.to_provider)
        times = (
            *(answered.percentile(percent) for percent in PERCENTS.values()),
            to_provider.percentile(50), to_provider.percentile(99), merged(one.late).percentile(99),
        )  # fmt: skip
        achieved = cell(one.per_s) + ("" if one.held else " (not held)")
        rows.append((
            one.case.way.title, f"{one.case.per_s:,}", achieved,
            *(f"{time_us / 1e3:,.2f}" for time_us in times), str(one.rounds),
        ))  # fmt: skip
    return ResultTable("Open loop: times from when each call was due", _OPEN_COLUMNS, tuple(rows))


def not_held(told: Iterable[Opened]) -> Iterator[str]:
    """Yield a sentence for each rate that the gateway, or the callers, could not hold."""
    for one in told:
        if not one.held:
            yield (
                f"{one.case.way.title} did not hold {one.case.per_s:,} notifications/s: its times grow with the run."
            )
