"""What the payments beside a campaign tell: figures, histograms and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.end_to_end.mix import MixRound
from bench.latency import LatencyRecorder
from bench.noted_answers import Answer
from bench.percentiles import PERCENTS, merged, percentile_figures, recorded, to_intake_us, to_provider_us
from bench.quiet import Rounds
from bench.results import Better, Figure, Latencies, ResultTable, cell

_MOST_TIMES_SLOWER = 3.0
_COLUMNS = ("payments", "until", "count", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")


@dataclass(frozen=True, slots=True)
class Phase:
    """Payments of one phase, a histogram per round, from when each was due.

    taken_in: until the intake had it. accepted: until the caller had the gateway's yes. delivered: until the
    provider's.
    """

    taken_in: tuple[LatencyRecorder, ...]
    accepted: tuple[LatencyRecorder, ...]
    delivered: tuple[LatencyRecorder, ...]


@dataclass(frozen=True, slots=True)
class Mixed:
    """The rounds with their payments' times."""

    rounds: Rounds[MixRound]
    alone: Phase
    beside: Phase


def mixed(rounds: Rounds[MixRound], answers: Mapping[bytes, Answer]) -> Mixed:
    """Put the payments' times together. answers: of a probed gateway that has drained."""
    alone, beside = (
        Phase(
            tuple(recorded(to_intake_us(run, answers)) for run in runs),
            tuple(recorded(run.waits_us()) for run in runs),
            tuple(recorded(to_provider_us(run, answers)) for run in runs),
        )
        for runs in ([one.alone for one in rounds.counted], [one.beside for one in rounds.counted])
    )
    return Mixed(rounds, alone, beside)


def mix_figures(told: Mixed) -> Iterator[Figure]:
    """Yield the payments' percentiles, how many times slower they are beside a campaign, and the campaign's rate."""
    prefix, quiet = "end_to_end.mix", told.rounds.quiet
    for name, phase in (("payments_alone", told.alone), ("payments_beside", told.beside)):
        yield from percentile_figures(f"{prefix}.{name}.", phase.delivered, quiet)
        yield from percentile_figures(f"{prefix}.{name}.taken_in_", phase.taken_in, quiet)
        yield from percentile_figures(f"{prefix}.{name}.accepted_", phase.accepted, quiet)
    pairs = zip(told.beside.delivered, told.alone.delivered, strict=True)
    ratios = tuple(beside.percentile(99) / alone.percentile(99) for beside, alone in pairs)
    yield Figure(f"{prefix}.p99_ratio", "x", ratios, Better.LOWER, _MOST_TIMES_SLOWER, quiet)
    per_s = tuple(one.campaign_per_s for one in told.rounds.counted)
    yield Figure(f"{prefix}.campaign_per_s", "1/s", per_s, Better.HIGHER, quiet=quiet)


def mix_latencies(told: Mixed) -> Iterator[Latencies]:
    """Yield the histograms to the provider's answer, all rounds together."""
    yield merged(told.alone.delivered).result("end_to_end.mix.payments_alone", corrected=True)
    yield merged(told.beside.delivered).result("end_to_end.mix.payments_beside", corrected=True)


def mix_table(told: Mixed) -> ResultTable:
    """Return the payments' times, all rounds together."""
    rows = []
    for what, phase in (("alone", told.alone), ("beside the campaign", told.beside)):
        for until, times in (
            ("taken in", merged(phase.taken_in)),
            ("accepted", merged(phase.accepted)),
            ("the provider's answer", merged(phase.delivered)),
        ):
            cells = (f"{times.percentile(percent) / 1e3:,.2f}" for percent in PERCENTS.values())
            rows.append((what, until, f"{times.count:,}", *cells))
    runs = told.rounds.counted
    per_s = cell([run.campaign_per_s for run in runs])
    title = f"Payments beside a campaign of {runs[0].devices:,} devices at {per_s}/s"
    return ResultTable(title, _COLUMNS, tuple(rows))
