"""What the section on memory tells: figures, tables and lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.memory.devices import Each, Registered, fit
from bench.memory.pending import Pending
from bench.results import Better, Figure, ResultTable, Series, cell

_MIB = 2**20
_TARGET_MIB = 1_024
_PROMISED = 1_000_000
_PENDING_COLUMNS = ("waiting", "RSS MiB", "own MiB", "RSS bytes each", "own bytes each")
_RESTART_COLUMNS = ("backlog", "journal MiB", "ready s", "all waiting again s", "CPU s", "RSS MiB", "own MiB")
_DEVICE_COLUMNS = ("users", "devices", "file MiB", "mapped MiB", "heap MiB", "file bytes a device")
_READINGS: tuple[tuple[str, Callable[[Registered], int]], ...] = (
    ("file", lambda one: one.file_bytes),
    ("mapped", lambda one: one.mapped),
    ("heap", lambda one: one.heap),
    ("rss", lambda one: one.mapped + one.heap),
)
Laps = Sequence[Sequence[Registered]]


def pending_figures(runs: Sequence[Pending]) -> Iterator[Figure]:
    """Yield what a waiting notification takes, what all of them do, and what a restart over them does."""
    target = _TARGET_MIB if runs[0].count >= _PROMISED else None
    for name, unit, samples, goal in (
        ("pending.rss_bytes", "B", [run.rss_each for run in runs], None),
        ("pending.own_bytes", "B", [run.own_each for run in runs], None),
        ("pending.worker_mib", "MiB", [run.steps[-1][1].rss / _MIB for run in runs], target),
        ("restart.ready_s", "s", [run.restart.ready_s for run in runs], None),
        ("restart.backlog_s", "s", [run.restart.back_s for run in runs], None),
        ("restart.cpu_us", "us", [run.restart.cpu_s / run.count * 1e6 for run in runs], None),
        ("restart.worker_mib", "MiB", [run.restart.after.rss / _MIB for run in runs], target),
    ):
        yield Figure(f"memory.{name}", unit, tuple(samples), Better.LOWER, goal)


def device_figures(laps: Laps) -> Iterator[Figure]:
    """Yield what a device takes, and a user beside their devices, on disk and in the worker."""
    for word, read in _READINGS:
        found = [_fit(lap, read) for lap in laps]
        yield Figure(f"memory.device.{word}_bytes", "B", tuple(each.device for each in found), Better.LOWER)
        yield Figure(f"memory.user.{word}_bytes", "B", tuple(each.user for each in found), Better.LOWER)


def pending_table(runs: Sequence[Pending]) -> ResultTable:
    """Return the memory by how many wait."""
    rows = []
    for place, (waiting, _) in enumerate(runs[0].steps):
        now = [run.steps[place][1] for run in runs]
        first = [run.steps[0][1] for run in runs]
        cells = [cell([one.rss / _MIB for one in now]), cell([one.own / _MIB for one in now])]
        if waiting:
            grown = [(one.rss - before.rss, one.own - before.own) for one, before in zip(now, first, strict=True)]
            cells += [cell([size / waiting for size in sizes]) for sizes in zip(*grown, strict=True)]
        rows.append((f"{waiting:,}", *cells, *[""] * (4 - len(cells))))
    return ResultTable("One worker while notifications wait", _PENDING_COLUMNS, tuple(rows))


def restart_table(runs: Sequence[Pending]) -> ResultTable:
    """Return what starting over the backlog took."""
    restarts = [run.restart for run in runs]
    row = (
        f"{runs[0].count:,}", cell([one.journal_bytes / _MIB for one in restarts]),
        cell([one.ready_s for one in restarts], 1), cell([one.back_s for one in restarts], 1),
        cell([one.cpu_s for one in restarts], 1), cell([one.after.rss / _MIB for one in restarts]),
        cell([one.after.own / _MIB for one in restarts]),
    )  # fmt: skip
    return ResultTable("A restart over them", _RESTART_COLUMNS, (row,))


def device_table(laps: Laps) -> ResultTable:
    """Return each registry, and what it brought into a worker that looked everybody up."""
    rows = []
    for place, first in enumerate(laps[0]):
        same = [lap[place] for lap in laps]
        sizes = (
            cell([read(one) / _MIB for one in same], 1) for _, read in _READINGS[:-1]
        )
        rows.append((f"{first.users:,}", f"{first.devices:,}", *sizes, f"{first.file_bytes / first.devices:,.0f}"))
    return ResultTable("Registered devices", _DEVICE_COLUMNS, tuple(rows))


def memory_series(runs: Sequence[Pending], laps: Laps) -> Iterator[Series]:
    """Yield the first run's lines."""
    waiting = tuple(float(count) for count, _ in runs[0].steps)
    for name, sizes in (
        ("RSS", [memory.rss for _, memory in runs[0].steps]), ("own", [memory.own for _, memory in runs[0].steps]),
    ):  # fmt: skip
        mib = tuple(size / _MIB for size in sizes)
        yield Series("memory.pending", name, "waiting notifications", "MiB", waiting, mib)
    ordered = sorted(laps[0], key=lambda one: one.devices)
    devices = tuple(float(one.devices) for one in ordered)
    for word, read in _READINGS[:-1]:
        mib = tuple(read(one) / _MIB for one in ordered)
        yield Series("memory.devices", word, "registered devices", "MiB", devices, mib)


def _fit(lap: Sequence[Registered], read: Callable[[Registered], int]) -> Each:
    return fit(lap, [read(one) for one in lap])
