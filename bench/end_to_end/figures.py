"""What the section on the whole way tells of its runs: figures, tables and lines of plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.end_to_end.delivering import Delivered
from bench.end_to_end.stages import STAGES, Stages, shares
from bench.end_to_end.versus import Pair
from bench.quiet import Rounds
from bench.received import Throughput
from bench.results import Bars, Better, Figure, ResultTable, Series, cell

_COLUMNS = ("what", "notifications/s", "deliveries/s", "accepted/s", "CPU us each", "us a delivery", "RSS MiB", "quiet")


def delivered_figures(name: str, rounds: Rounds[Delivered], target_per_s: float | None = None) -> Iterator[Figure]:
    """Yield what one workload says; name: the prefix of its figures."""
    runs = rounds.counted
    for word, unit, better, values, target in (
        ("notifications_per_s", "1/s", Better.HIGHER, [run.per_s for run in runs], target_per_s),
        ("deliveries_per_s", "1/s", Better.HIGHER, [run.deliveries_per_s for run in runs], None),
        ("cpu_us", "us", Better.LOWER, [run.cpu_us for run in runs], None),
        ("rss_mib", "MiB", Better.LOWER, [run.rss_mib for run in runs], None),
    ):
        yield Figure(f"{name}.{word}", unit, tuple(values), better, target, rounds.quiet)


def delivered_table(title: str, workloads: Mapping[str, Rounds[Delivered]]) -> ResultTable:
    """Return a row for each workload."""
    rows = []
    for what, rounds in workloads.items():
        runs = rounds.counted
        rows.append((
            what, cell([run.per_s for run in runs]), cell([run.deliveries_per_s for run in runs]),
            cell([run.accepted_per_s for run in runs]), cell([run.cpu_us for run in runs], 1),
            cell([run.delivery_cpu_us for run in runs], 1), cell([run.rss_mib for run in runs]), str(rounds),
        ))  # fmt: skip
    return ResultTable(title, _COLUMNS, tuple(rows))


def peer_figures(name: str, rounds: Rounds[Pair]) -> Iterator[Figure]:
    """Yield what a peer did, and how many times that walletpush did in the same rounds."""
    prefix, pairs = f"end_to_end.peer.{name}", rounds.counted
    for word, unit, better, values in (
        ("notifications_per_s", "1/s", Better.NEITHER, [pair.theirs.per_s for pair in pairs]),
        ("cpu_us", "us", Better.NEITHER, [pair.theirs.cpu_us for pair in pairs]),
        ("rss_mib", "MiB", Better.NEITHER, [pair.theirs.rss_mib for pair in pairs]),
        ("walletpush_per_s", "1/s", Better.HIGHER, [pair.ours.per_s for pair in pairs]),
        ("walletpush_cpu_us", "us", Better.LOWER, [pair.ours.cpu_us for pair in pairs]),
        ("ratio", "x", Better.HIGHER, [pair.ours.per_s / pair.theirs.per_s for pair in pairs]),
        ("cpu_ratio", "x", Better.HIGHER, [pair.theirs.cpu_us / pair.ours.cpu_us for pair in pairs]),
    ):
        yield Figure(f"{prefix}.{word}", unit, tuple(values), better, quiet=rounds.quiet)


def stage_figures(name: str, rounds: Rounds[Delivered]) -> Iterator[Figure]:
    """Yield each stage's mean time."""
    for stage in STAGES:
        means_us = tuple(run.stages[stage].mean_us for run in rounds.counted)
        yield Figure(f"{name}.stage.{stage}_us", "us", means_us, Better.LOWER, quiet=rounds.quiet)


def stage_bars(names: Sequence[str]) -> Bars:
    """Return the plot of the stage figures of workloads with these prefixes."""
    figures = tuple(tuple(f"{name}.stage.{stage}_us" for stage in STAGES) for name in names)
    return Bars("end_to_end.stages", "us, mean", STAGES, tuple(names), figures, log_y=True)


def stage_table(found: Mapping[str, Stages]) -> ResultTable:
    """Return each workload's mean time by stage in ms, and its share of the whole way."""
    rows = []
    for what, stages in found.items():
        percent = shares(stages)
        means = (f"{stages[name].mean_us / 1e3:,.2f} ({percent.get(name, 0.0):.0f} %)" for name in STAGES)
        rows.append((what, *means))
    return ResultTable("Mean time in each stage, ms, and its share", ("what", *STAGES), tuple(rows))


def throughput_series(plot: str, lines: Iterable[tuple[str, Throughput]]) -> Iterator[Series]:
    """Yield a line for each run."""
    for name, seen in lines:
        yield Series(plot, name, "s", "deliveries/s", tuple(seen.at_s), tuple(seen.per_s))
