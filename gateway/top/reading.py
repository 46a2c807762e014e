"""One look at /metrics: samples by name and labels, and what happened between two looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """at_s: monotonic. series: sample name -> labels -> value."""

    at_s: float
    series: Mapping[str, Mapping[Labels, float]]

    def of(self, name: str) -> Mapping[Labels, float]:
        """Return the series of a sample name; empty if there are none."""
        return self.series.get(name, {})

    def total(self, name: str) -> float:
        """Return the sum over all labels."""
        return sum(self.of(name).values())

    def largest(self, name: str) -> float:
        """Return the largest of all labels, 0 without any."""
        return max(self.of(name).values(), default=0.0)

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the sums by some labels' values."""
        return summed(self.of(name), labels)


def parse(exposition: str, at_s: float) -> Reading:
    """Read the text that /metrics answers. Raises ValueError for another text."""
    series: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            series.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Reading(at_s, series)


def summed(values: Mapping[Labels, float], labels: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """Return the sums of values by some labels' values; "" stands for a label that is missing."""
    sums: dict[tuple[str, ...], float] = {}
    for own, value in values.items():
        named = dict(own)
        key = tuple(named.get(label, "") for label in labels)
        sums[key] = sums.get(key, 0.0) + value
    return sums


class Change:
    """What happened from one reading to a later one.

    A counter that fell began again at zero, as one does that was not there before: what it shows happened since.
    """

    def __init__(self, before: Reading, now: Reading) -> None:
        self.now = now
        self._before = before
        self.seconds = max(now.at_s - before.at_s, 1e-3)

    def grown(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return by how much a counter grew, by some labels' values."""
        return summed(dict(self._grown(name)), labels)

    def per_s(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return a counter's rate, by some labels' values."""
        return {key: value / self.seconds for key, value in self.grown(name, *labels).items()}

    def total_per_s(self, name: str) -> float:
        """Return a counter's rate over all labels."""
        return sum(value for _, value in self._grown(name)) / self.seconds

    def buckets(self, name: str, *labels: str) -> dict[tuple[str, ...], Buckets]:
        """Return what a histogram took in, by some labels' values; only where it took in something."""
        found: dict[tuple[str, ...], dict[float, float]] = {}
        for (*key, bound), value in self.grown(f"{name}_bucket", *labels, "le").items():
            found.setdefault(tuple(key), {})[float(bound)] = value
        made = {key: Buckets(tuple(sorted(counts.items()))) for key, counts in found.items()}
        return {key: one for key, one in made.items() if one.count}

    def _grown(self, name: str) -> Iterator[tuple[Labels, float]]:
        before = self._before.of(name)
        began_again = self._histograms_that_began_again(name) if name.endswith("_bucket") else frozenset()
        for labels, value in self.now.of(name).items():
            earlier = before.get(labels, 0.0)
            fell = value < earlier or _without_bound(labels) in began_again
            yield labels, value if fell else value - earlier

    def _histograms_that_began_again(self, name: str) -> frozenset[Labels]:
        # One bucket that fell tells it of all: another may have outgrown its old value already.
        before = self._before.of(name)
        return frozenset(
            _without_bound(labels) for labels, value in self.now.of(name).items() if value < before.get(labels, 0.0)
        )


@dataclass(frozen=True, slots=True)
class Buckets:
    """Cumulative counts by upper bound, ascending, the last one infinite."""

    counts: tuple[tuple[float, float], ...]

    @property
    def count(self) -> float:
        """How many observations there were."""
        return self.counts[-1][1] if self.counts else 0.0

    def quantile(self, q: float) -> float:
        """Return a quantile, linear inside its bucket; the largest finite bound for what lies above; NaN for none.

        Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return math.nan
        rank = q * self.count
        lower, below = 0.0, 0.0
        for bound, count in self.counts:
            if count >= rank:
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (rank - below) / (count - below) if count > below else bound
            lower, below = bound, count
        return lower


def _without_bound(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] != "le")
