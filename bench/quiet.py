"""Cores for client and server of their own, and rounds in which nobody else used them.

Rates of a busy machine mean nothing here: on two shared cores the same pair gave 80,000 and 370,000 requests a second.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

CLIENT_CORE, SERVER_CORE = 0, 1
QUIET_PERCENT = 6.0
_LOOK_S = 0.3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed(Generic[T]):
    """What was measured, and what share of all cores others used meanwhile."""

    value: T
    foreign_percent: float


@dataclass(frozen=True, slots=True)
class Rounds(Generic[T]):
    """The rounds that count: the quiet ones, or the least disturbed if none was. tried: how many there were in all."""

    counted: list[T]
    quiet: int
    tried: int

    def __str__(self) -> str:
        return f"{self.quiet} of {self.tried}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard to try: looks before each round, 0.3 s each, for a quiet one; and rounds for each that is wanted."""

    looks: int = 40
    tries: int = 2


class CoreWatch:
    """Tells what others used of all cores since it was made. Children that ended, and `ours`, are not others."""

    def __init__(self, *ours: psutil.Process) -> None:
        self._ours = ours
        self._began_s, self._busy_s, self._own_s = time.monotonic(), cores_busy_s(), self._used_s()

    def foreign_percent(self) -> float:
        """Return others' share of all cores, from 0 to 100."""
        foreign_s = cores_busy_s() - self._busy_s - (self._used_s() - self._own_s)
        return max(0.0, foreign_s) / ((time.monotonic() - self._began_s) * _cores()) * 100

    def _used_s(self) -> float:
        return time.process_time() + children_cpu_s() + sum(process_cpu_s(process) for process in self._ours)


def quiet_rounds(measure: Callable[[], Observed[T]], wanted: int, patience: Patience) -> Rounds[T]:
    """Measure until `wanted` rounds were quiet, or patience ends."""
    tried: list[Observed[T]] = []
    quiet: list[T] = []
    while len(quiet) < wanted and len(tried) < wanted * patience.tries:
        wait_for_quiet(patience.looks)
        tried.append(measure())
        if tried[-1].foreign_percent <= QUIET_PERCENT:
            quiet.append(tried[-1].value)
    least = sorted(tried, key=lambda one: one.foreign_percent)[:wanted]
    return Rounds(quiet or [one.value for one in least], len(quiet), len(tried))


def wait_for_quiet(looks: int = 40) -> None:
    """Wait for a third of a second in which nobody computes, but not for ever."""
    for _ in range(looks):
        busy_s = cores_busy_s()
        time.sleep(_LOOK_S)
        if cores_busy_s() - busy_s <= _LOOK_S * _cores() * QUIET_PERCENT / 100:
            return


def pinned(core: int, *command: str) -> list[str]:
    """Return the command that runs another one on one core."""
    return ["taskset", "-c", str(core % _cores()), *command]


def cores_busy_s() -> float:
    """Return the CPU time of all cores since boot."""
    return sum(
        each.user + each.nice + each.system + each.irq + each.softirq + each.steal
        for each in psutil.cpu_times(percpu=True)
    )


def process_cpu_s(process: psutil.Process) -> float:
    """Return the CPU time of a running process so far."""
    used = process.cpu_times()
    return float(used.user + used.system)


def children_cpu_s() -> float:
    """Return the CPU time of this process' children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cores() -> int:
    return os.cpu_count() or 1
