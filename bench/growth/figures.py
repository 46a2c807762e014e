"""What the section on growth tells of its laps: figures, the table by size, and lines over the number of devices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.growth.laps import Lap, SizeRun
from bench.quiet import Rounds
from bench.results import Better, Figure, ResultTable, Series, cell

_RATIO_TARGET = 1.2
_TARGET_POWER = 7
_X = "registered devices"


class _Reading(NamedTuple):
    word: str
    title: str
    unit: str
    better: Better
    digits: int
    of: Callable[[SizeRun], float]


_READINGS = (
    _Reading("notifications_per_s", "notifications/s", "1/s", Better.HIGHER, 0, lambda run: run.per_s),
    _Reading("cpu_us", "CPU us a notification", "us", Better.LOWER, 1, lambda run: run.cpu_us),
    _Reading("delivery_cpu_us", "CPU us a delivery", "us", Better.LOWER, 2, lambda run: run.delivery_cpu_us),
    _Reading("look_us", "look-up us a user", "us", Better.LOWER, 2, lambda run: run.look_us),
)


def growth_figures(rounds: Rounds[Lap]) -> Iterator[Figure]:
    """Yield each size's figures for each draw, and the largest size's CPU beside the smallest's in the same lap."""
    for draw, runs in rounds.counted[0].runs.items():
        for place, run in enumerate(runs):
            name = f"growth.{draw}.1e{_power(run)}"
            for reading in _READINGS:
                samples = _samples(rounds, place, draw, reading)
                yield Figure(f"{name}.{reading.word}", reading.unit, samples, reading.better, quiet=rounds.quiet)
    for draw in rounds.counted[0].runs:
        yield _ratio(rounds, draw)


def growth_table(rounds: Rounds[Lap]) -> ResultTable:
    """Return a row for each size and draw."""
    rows = []
    for draw, runs in rounds.counted[0].runs.items():
        for place, run in enumerate(runs):
            cells = (cell(_samples(rounds, place, draw, reading), reading.digits) for reading in _READINGS)
            each = f"{run.deliveries / run.notifications:.2f}"
            rows.append((draw, f"{run.devices:,}", f"{run.users:,}", *cells, each))
    columns = ("drawn", "devices", "users", *(reading.title for reading in _READINGS), "deliveries each")
    return ResultTable(f"By registered devices; quiet laps: {rounds}", columns, tuple(rows))


def growth_series(rounds: Rounds[Lap]) -> Iterator[Series]:
    """Yield medians over the number of devices."""
    for reading in _READINGS:
        for draw, runs in rounds.counted[0].runs.items():
            devices = tuple(float(run.devices) for run in runs)
            medians = tuple(
                statistics.median(_samples(rounds, place, draw, reading)) for place in range(len(devices))
            )
            yield Series(f"growth.{reading.word}", f"drawn {draw}", _X, reading.title, devices, medians, log_x=True)


def _ratio(rounds: Rounds[Lap], draw: str) -> Figure:
    runs = rounds.counted[0].runs[draw]
    name = f"growth.cpu_ratio_1e{_power(runs[-1])}_1e{_power(runs[0])}"
    ratios = tuple(lap.runs[draw][-1].delivery_cpu_us / lap.runs[draw][0].delivery_cpu_us for lap in rounds.counted)
    # What was promised is the largest registry, without the help of a few users who come again and again.
    even = draw == "even"
    target = _RATIO_TARGET if even and _power(runs[-1]) == _TARGET_POWER else None
    return Figure(name if even else f"{name}.{draw}", "x", ratios, Better.LOWER, target, rounds.quiet)


def _samples(rounds: Rounds[Lap], place: int, draw: str, reading: _Reading) -> tuple[float, ...]:
    return tuple(reading.of(lap.runs[draw][place]) for lap in rounds.counted)


def _power(run: SizeRun) -> int:
    return round(math.log10(run.devices))
