"""How a kernel's calls are timed: one by one, all prepared before."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Call = Callable[[], object]

BATCHES = (1, 10, 100, 1_000, 10_000)
_ROUNDS = {1: 10_000, 10: 5_000, 100: 2_000, 1_000: 600, 10_000: 100}
_LEAST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Size:
    """live: entries in each table. divisor: of the number of calls."""

    live: int
    divisor: int

    def rounds(self, batch: int, most_elements: int = 1_000_000) -> int:
        """Return how many calls of a batch size are timed, with no more elements in all than given."""
        return max(_LEAST_ROUNDS, min(_ROUNDS[batch] // self.divisor, most_elements // batch))

    def elements(self) -> int:
        """Return how many elements a kernel sees over all batch sizes."""
        return sum(batch * self.rounds(batch) for batch in BATCHES)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel. calls: makes those of a batch size. target_ns: for each element in batches of 1,000."""

    name: str
    title: str
    calls: Callable[[int], Iterator[Call]]
    target_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds per element: a message or a delivery, not a bucket."""

    best: float
    median: float
    p99: float


def timed(batch: int, calls: Iterable[Call]) -> Timing:
    """Time every call, the first tenth left out as warm-up."""
    times = []
    for call in list(calls):
        began = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began) / batch)
    times = sorted(times[len(times) // 10 :])
    return Timing(times[0], statistics.median(times), times[len(times) * 99 // 100])


def zeros(code: str, n: int) -> memoryview:
    """Return n zeros of an array code."""
    filled = array(code)
    filled.frombytes(bytes(filled.itemsize * n))
    return memoryview(filled)
