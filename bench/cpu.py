"""Who used the processors: the gateway, the callers, what else the bench runs, and others that disturb it."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import psutil

from bench.quiet import QUIET_PERCENT, Rounds, cores_busy_s, process_cpu_s
from bench.section import BenchOptions, Scale

_MORE_ROUNDS = 1


@dataclass(frozen=True, slots=True)
class Spent:
    """What an interval took: seconds of wall time, and of CPU of the gateway, this process and the rest of the stand.

    foreign_percent: what everything else took of all cores.
    """

    wall_s: float
    gateway_s: float
    caller_s: float
    stand_s: float
    foreign_percent: float

    @property
    def quiet(self) -> bool:
        """Whether nobody else disturbed it."""
        return self.foreign_percent <= QUIET_PERCENT


class Watch:
    """Counts from `begin`, or from when it is made. gateway: the processes under test. stand: the bench's others."""

    def __init__(self, gateway: Sequence[psutil.Process], stand: Sequence[psutil.Process]) -> None:
        self._gateway, self._stand = gateway, stand
        self.begin()

    def begin(self) -> None:
        """Forget what was before."""
        self._wall_s, self._used = time.perf_counter(), self._look()

    def spent(self) -> Spent:
        """Return what was used since."""
        wall_s = time.perf_counter() - self._wall_s
        gateway_s, caller_s, stand_s, busy_s = (
            now - before for now, before in zip(self._look(), self._used, strict=True)
        )
        foreign_s = max(0.0, busy_s - gateway_s - caller_s - stand_s)
        available_s = wall_s * (os.cpu_count() or 1)
        return Spent(wall_s, gateway_s, caller_s, stand_s, foreign_s / available_s * 100 if available_s else 0.0)

    def _look(self) -> tuple[float, float, float, float]:
        gateway_s, stand_s = (sum(map(process_cpu_s, processes)) for processes in (self._gateway, self._stand))
        return gateway_s, time.process_time(), stand_s, cores_busy_s()


class Round(Protocol):
    """One repeat of a measurement."""

    @property
    def spent(self) -> Spent:
        """What it took."""


ROUND = TypeVar("ROUND", bound=Round)


async def quietest(options: BenchOptions, measure: Callable[[int], Awaitable[ROUND]]) -> Rounds[ROUND]:
    """Measure until `options.repeats` rounds were quiet, or one more was made; keep the least disturbed of them.

    measure is given the round's number, from 0.
    """
    repeats = options.repeats
    most = repeats + (0 if options.scale is Scale.SMOKE else _MORE_ROUNDS)
    made: list[ROUND] = []
    while len(made) < most and sum(one.spent.quiet for one in made) < repeats:
        made.append(await measure(len(made)))
    bound = sorted(one.spent.foreign_percent for one in made)[repeats - 1]
    counted = [one for one in made if one.spent.foreign_percent <= bound][:repeats]
    return Rounds(counted, sum(one.spent.quiet for one in counted), len(made))
