"""Whether a run is better or worse than an older one, and by how much repeats of the same thing differ anyway.

A figure has changed if its median moved by more than the least change and more than the noise, and the repeats tell
the runs apart. With 5 repeats or more in both runs that is a Mann-Whitney test at 1 %, and noise is the wider of both
interquartile ranges. With 3 or 4, no repeat of one run may lie among those of the other, and noise is 1.5 times the
wider of both full ranges, because so few show too little of it. Fewer show none; it is taken to be a quarter, or more
where they do. By simulation, two runs of the same normal figure then differ in 2 % of cases at most with 3 repeats or
more; with fewer that holds only for figures that scatter by less than a twentieth.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from math import comb

from bench.results import Better, Figure, MachineFacts, RunResult

LEAST_PERCENT = 5.0
FEW_PERCENT = 25.0
FEW_REPEATS = 3
ENOUGH_REPEATS = 5
RANGE_FACTOR = 1.5
SIGNIFICANCE = 0.01


class Verdict(StrEnum):
    """NOISE: no change that the repeats could show. DISTURBED: no repeat of one run was quiet. TOLD: not judged."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "noise"
    DISTURBED = "disturbed"
    TOLD = "told"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs. percent: of the median; noise_percent: of the wider spread of both."""

    old: Figure
    new: Figure
    percent: float
    noise_percent: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side. warnings: why they may not be comparable. gone, added: names in one of them only."""

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What became worse."""
        return tuple(change for change in self.changes if change.verdict is Verdict.WORSE)


def compare(old: RunResult, new: RunResult) -> Comparison:
    """Compare all figures that both runs have."""
    before, after = old.figures(), new.figures()
    changes = tuple(_change(before[name], after[name]) for name in before if name in after)
    gone = tuple(name for name in before if name not in after)
    added = tuple(name for name in after if name not in before)
    return Comparison(changes, gone, added, tuple(_warnings(old, new)))


def _change(old: Figure, new: Figure) -> Change:
    percent = _percent(new.median - old.median, old.median)
    noise_percent = max(_noise_percent(old, new), _noise_percent(new, old))
    return Change(old, new, percent, noise_percent, _verdict(old, new, percent, noise_percent))


def _verdict(old: Figure, new: Figure, percent: float, noise_percent: float) -> Verdict:
    if Better.NEITHER in (old.better, new.better):
        return Verdict.TOLD
    if abs(percent) <= max(LEAST_PERCENT, noise_percent) or not _apart(old.samples, new.samples):
        return Verdict.NOISE
    if 0 in (old.quiet, new.quiet):
        return Verdict.DISTURBED
    return Verdict.BETTER if (percent > 0) is (new.better is Better.HIGHER) else Verdict.WORSE


def _noise_percent(one: Figure, other: Figure) -> float:
    """Return one figure's noise, by what both have repeats for."""
    fewest = min(len(one.samples), len(other.samples))
    if fewest < ENOUGH_REPEATS:
        ranged = RANGE_FACTOR * abs(_percent(one.spread[1] - one.spread[0], one.median))
        return ranged if fewest >= FEW_REPEATS else max(FEW_PERCENT, ranged)
    quarter, _, three_quarters = statistics.quantiles(one.samples, n=4, method="inclusive")
    return abs(_percent(three_quarters - quarter, one.median))


def _percent(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole * 100 if whole else float("inf") if part > 0 else float("-inf")


def _apart(old: Sequence[float], new: Sequence[float]) -> bool:
    if min(len(old), len(new)) < ENOUGH_REPEATS:
        return max(old) < min(new) or max(new) < min(old)
    return mann_whitney(old, new) < SIGNIFICANCE


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the exact two-sided p that both come from the same distribution; ties count half, which is cautious.

    Source: https://doi.org/10.1214/aoms/1177730491
    """
    above = sum((a > b) + (a == b) / 2 for a in one for b in other)
    extreme = min(above, len(one) * len(other) - above)
    orders = sum(_orders(len(one), len(other), u) for u in range(int(extreme + 0.5) + 1))
    return min(1.0, 2 * orders / comb(len(one) + len(other), len(one)))


@cache
def _orders(n: int, m: int, u: int) -> int:
    """Count the orders of n and m values in which u pairs stand the wrong way round, by where the largest one is."""
    if u < 0:
        return 0
    if n == 0 or m == 0:
        return int(u == 0)
    return _orders(n - 1, m, u - m) + _orders(n, m - 1, u)


def _warnings(old: RunResult, new: RunResult) -> Iterator[str]:
    for name, before, after in _facts(old.machine, new.machine):
        if before != after:
            yield f"{name} differs: {before}, then {after}"
    for name in sorted(old.options.keys() | new.options.keys()):
        before, after = old.options.get(name, ""), new.options.get(name, "")
        if before != after:
            yield f"option {name} differs: {before or 'none'}, then {after or 'none'}"
    for run in (old, new):
        if run.commit.endswith("+"):
            yield f"commit {run.commit[:7]} had changes that it does not name"


def _facts(old: MachineFacts, new: MachineFacts) -> Iterator[tuple[str, object, object]]:
    yield "processor", old.cpu, new.cpu
    yield "number of cores", old.cores, new.cores
    yield "memory", f"{old.memory_mib // 1024} GiB", f"{new.memory_mib // 1024} GiB"
    yield "kernel", old.kernel, new.kernel
    for name in sorted(old.versions.keys() | new.versions.keys()):
        yield f"version of {name}", old.versions.get(name, "none"), new.versions.get(name, "none")
