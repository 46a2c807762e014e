"""Times of a measurement as an HdrHistogram in microseconds: from 1 us to 10 minutes, three significant digits.

An open loop measures from the moment a request was due, which needs no correction; a closed loop that stalls leaves out
the requests it would have sent meanwhile, and `correct_for_us` puts them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram

from bench.results import Latencies

LOWEST_US = 1
HIGHEST_US = 600_000_000
DIGITS = 3


class LatencyRecorder:
    """Counts times. Shorter ones than 1 us count as 1 us, longer ones than 10 minutes as 10 minutes.

    correct_for_us: the interval at which a closed loop meant to send. A time of n intervals then also counts n-1 times
    that requests kept waiting by it would have taken.
    """

    def __init__(self, correct_for_us: float = 0.0) -> None:
        self._correct_for_us = round(correct_for_us)
        self._histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    @property
    def count(self) -> int:
        """How many times were recorded, with those that the correction added."""
        return int(self._histogram.get_total_count())

    @property
    def max_us(self) -> float:
        """The longest time; 0 without any."""
        return float(self._histogram.get_max_value())

    def record(self, time_us: float, count: int = 1) -> None:
        """Count a time, `count` times over. Takes 2 us: keep it out of what is measured, or use `record_all` after."""
        clipped = min(max(round(time_us), LOWEST_US), HIGHEST_US)
        self._histogram.record_corrected_value(clipped, self._correct_for_us, count)

    def record_all(self, times_us: Iterable[float]) -> None:
        """Count every time of a finished run."""
        for time_us, count in Counter(map(round, times_us)).items():
            self.record(time_us, count)

    def merge(self, other: LatencyRecorder) -> None:
        """Add what another recorder counted."""
        self._histogram.add(other._histogram)

    def merge_encoded(self, encoded: str) -> None:
        """Add what `encode` wrote. Raises as `decode` does."""
        self._histogram.decode_and_add(encoded.encode("ascii"))

    def percentile(self, percent: float) -> float:
        """Return the time in us that `percent` of all did not exceed; 0 without any."""
        return float(self._histogram.get_value_at_percentile(percent))

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """Return `percentile` of each, in one pass."""
        if not self.count:
            return [0.0] * len(percents)
        found = self._histogram.get_percentile_to_value_dict(percents)
        return [float(found[percent]) for percent in percents]

    def encode(self) -> str:
        """Return the V2 compressed base64 encoding."""
        return str(self._histogram.encode().decode("ascii"))

    def result(self, name: str, *, corrected: bool = False) -> Latencies:
        """Return what a section hands back. corrected: an open loop's, measured from when each request was due."""
        return Latencies(name, self.encode(), corrected or self._correct_for_us > 0)


def decode(encoded: str) -> LatencyRecorder:
    """Return a recorder that holds what `encode` wrote. Raises what hdrh.codec defines for anything else."""
    recorder = LatencyRecorder()
    recorder.merge_encoded(encoded)
    return recorder
