"""What a soak tells: figures, tables, histograms, and lines over time with the troubles behind them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from bench.results import Better, Figure, Latencies, ResultTable, Series
from bench.soak.book import THIRDS, Times
from bench.soak.phases import Phase, Stage
from bench.soak.plot import PHASES_PLOT
from bench.soak.run import Soak
from bench.soak.samples import Sample
from bench.soak.trends import slope
from bench.soak.troubles import TROUBLES

_HOUR_S = 3_600.0
# A shorter soak is still filling what it keeps, and a slope per hour would be that of the filling.
_LONG_S = 1_200.0
_FLAT_MIB_PER_HOUR = 10.0
_STEADY = 1.5
_TIMES_COLUMNS = (
    "phase", "payments", "accepted p50 ms", "accepted p99 ms", "delivered p50 ms", "delivered p99 ms", "longest ms",
)  # fmt: skip
_LINES = (
    ("rss", "RSS, workers", "MiB"), ("heap", "heap, workers", "MiB"), ("supervisor_rss", "RSS, supervisor", "MiB"),
    ("cpu", "CPU, workers", "% of a core"), ("files", "open files", "files"), ("pending", "pending", "deliveries"),
    ("age_s", "oldest waiting", "s"), ("journal", "journal", "MiB"), ("accepted_per_s", "accepted", "1/s"),
    ("delivered_per_s", "delivered", "1/s"), ("p50_ms", "p50", "ms"), ("p99_ms", "p99", "ms"),
)  # fmt: skip


def soak_figures(soak: Soak) -> Iterator[Figure]:
    """Yield what must be nothing, what must be flat, and the rest."""
    yield from _account_figures(soak)
    late = [one for one in soak.samples if one.at_s >= soak.timeline.seconds / 3]
    hours = [one.at_s / _HOUR_S for one in late]
    flat = _FLAT_MIB_PER_HOUR if soak.timeline.seconds >= _LONG_S else None
    yield _figure("rss_slope_mib_per_hour", "MiB/h", slope(hours, [one.rss for one in late]), flat)
    yield _figure("heap_slope_mib_per_hour", "MiB/h", slope(hours, [one.heap for one in late]), flat)
    first, _, last = (_p99_us(soak, name) for name in THIRDS)
    yield _figure("calm_p99_first_third_us", "us", first)
    yield _figure("calm_p99_last_third_us", "us", last)
    if first:
        yield _figure("calm_p99_growth", "x", last / first, _STEADY if flat else None)
    yield _figure("open_files_growth", "files", _files(soak, 2) - _files(soak, 0), 0.0)
    yield _figure("cpu_percent", "%", statistics.fmean(one.cpu for one in soak.samples))
    yield _figure("settled_s", "s", soak.settled_s)


def account_table(soak: Soak) -> ResultTable:
    """Return what became of everything."""
    account = soak.account
    rows = [
        ("accepted", account.accepted), ("delivered", account.delivered), ("lost", account.lost),
        ("without a receipt", account.no_receipt), ("delivered, and not in a ledger", account.not_there),
        ("given up", account.given_up), ("called dead, device alive", account.mistaken),
        ("taken twice by a provider", account.twice), ("of these untold by their receipt", account.twice_untold),
        ("receipts too many", account.strangers), ("not accepted", account.refused),
        *((f"ended {reason}", count) for reason, count in sorted(account.ends.items())),
    ]  # fmt: skip
    return ResultTable("What became of it", ("what", "count"), tuple((what, f"{count:,}") for what, count in rows))


def times_table(soak: Soak) -> ResultTable:
    """Return payments' times by phase."""
    rows = tuple(_times_row(name, soak.book.times[name]) for name in _names() if name in soak.book.times)
    return ResultTable("Payments, from when they were due", _TIMES_COLUMNS, rows)


def recovery_table(soak: Soak) -> ResultTable:
    """Return how long after each trouble no more waited than in calm."""
    calm = [one.pending for one in soak.samples if soak.timeline.at(one.at_s).stage is Stage.CALM]
    usual = 2 * statistics.median(calm) + 100 if calm else 0.0
    rows = []
    for trouble in TROUBLES:
        troubled = [one for one in soak.timeline.phases if one.name == trouble.name]
        worst = [max((s.pending for s in _within(soak.samples, one)), default=0) for one in troubled]
        waits = ", ".join(_recovered(soak.samples, one.end_s, usual) for one in troubled)
        rows.append((trouble.name, trouble.what, f"{max(worst, default=0):,}", waits))
    columns = ("trouble", "what", "most pending", "back to usual after s")
    return ResultTable("Troubles, at both providers", columns, tuple(rows))


def soak_latencies(soak: Soak) -> Iterator[Latencies]:
    """Yield payments' times until delivered, by phase."""
    for name in _names():
        if name in soak.book.times:
            yield soak.book.times[name].delivered.result(f"soak.delivered.{name}", corrected=True)


def soak_series(soak: Soak) -> Iterator[Series]:
    """Yield each reading over time, and each trouble as a line from its beginning to its end."""
    at_s = tuple(one.at_s for one in soak.samples)
    for field, name, unit in _LINES:
        readings = tuple(float(getattr(one, field)) for one in soak.samples)
        yield Series(f"soak.{field}", name, "s", unit, at_s, readings)
    for phase in soak.timeline.phases:
        if phase.stage is Stage.TROUBLE:
            yield Series(PHASES_PLOT, phase.trouble, "s", "", (phase.start_s, phase.end_s), (1.0, 1.0))


def _account_figures(soak: Soak) -> Iterator[Figure]:
    account = soak.account
    for name, count in (
        ("lost", account.lost), ("given_up", account.given_up), ("mistaken", account.mistaken),
        ("twice_untold", account.twice_untold), ("receipts_too_many", account.strangers),
        ("not_accepted", account.refused),
    ):  # fmt: skip
        yield _figure(name, "notifications", count, 0.0)
    yield Figure("soak.accepted", "notifications", (float(account.accepted),))
    yield Figure("soak.twice", "notifications", (float(account.twice),))


def _figure(name: str, unit: str, value: float, target: float | None = None) -> Figure:
    return Figure(f"soak.{name}", unit, (float(value),), Better.LOWER, target)


def _names() -> tuple[str, ...]:
    return (*THIRDS, *(trouble.name for trouble in TROUBLES), str(Stage.RECOVERY))


def _p99_us(soak: Soak, name: str) -> float:
    times = soak.book.times.get(name)
    return times.delivered.percentile(99.0) if times else 0.0


def _times_row(name: str, times: Times) -> tuple[str, ...]:
    percents = (50.0, 99.0)
    readings = (*times.accepted.percentiles(percents), *times.delivered.percentiles(percents), times.delivered.max_us)
    return name, f"{times.delivered.count:,}", *(f"{reading / 1e3:,.1f}" for reading in readings)


def _files(soak: Soak, third: int) -> float:
    """Return the open files in the calm of a third."""
    timeline = soak.timeline
    calm = [
        one.files for one in soak.samples
        if timeline.at(one.at_s).stage is Stage.CALM and timeline.third(one.at_s) == third
    ]  # fmt: skip
    return statistics.median(calm) if calm else 0.0


def _within(samples: Sequence[Sample], phase: Phase) -> Iterator[Sample]:
    return (one for one in samples if phase.start_s <= one.at_s < phase.end_s)


def _recovered(samples: Sequence[Sample], since_s: float, usual: float) -> str:
    for one in samples:
        if one.at_s >= since_s and one.pending <= usual:
            return f"{one.at_s - since_s:.0f}"
    return "not"
