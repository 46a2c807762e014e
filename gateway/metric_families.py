"""Metric families with bounded labels, whose children are found by one dict hit."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess, values

from core.model import NotificationClass

OTHER = "other"
MAX_SERIES = 5_000
# Labels with a known, small set of values; the others are folded into "other" beyond their bound.
NAMES_PER_LABEL = {"app": 1_000, "reason": 100, "provider": 16, "method": 64}
DEFAULT_NAMES = 32
Mode = Literal["livesum", "livemax"]
Label = str | int
C = TypeVar("C", Counter, Gauge, "BatchHistogram")

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Spec(NamedTuple):
    """What a family is called, labelled and about; mode: how the gauges of several workers become one."""

    name: str
    labels: tuple[str, ...]
    help: str
    mode: Mode = "livesum"
    buckets: tuple[float, ...] = ()


class BatchHistogram(Histogram):
    """A histogram that takes a batch of observations at the price of one."""

    def observe_same(self, seconds: float, n: int) -> None:
        """Count n observations of the same value."""
        self._sum.inc(seconds * n)
        self._buckets[bisect_left(self._upper_bounds, seconds)].inc(n)

    def observe_runs(self, runs: Sequence[tuple[float, int]]) -> None:
        """Count values, each with how many there are of it; a bucket that is touched is written once."""
        bounds = self._upper_bounds
        counts = [0] * len(bounds)
        for value, n in runs:
            counts[bisect_left(bounds, value)] += n
        self._sum.inc(sum(value * n for value, n in runs))
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Family(Generic[C]):
    """The children of one metric by label values; unbounded values end in "other"."""

    def __init__(self, metric: C, labels: Sequence[str], known: Mapping[str, Iterable[str]]) -> None:
        self._metric: C = metric
        self._labels = tuple(labels)
        self._names: list[Callable[[Label], str]] = [_namer(label, known.get(label, ())) for label in labels]
        self._children: dict[tuple[Label, ...], C] = {}
        self._series: dict[tuple[str, ...], C] = {}

    def child(self, *key: Label) -> C:
        """Return the child for label values in the order of the labels."""
        child = self._children.get(key)
        return child if child is not None else self._find(key)

    def _find(self, key: tuple[Label, ...]) -> C:
        names = tuple(name(value) for name, value in zip(self._names, key, strict=True))
        if names not in self._series and len(self._series) >= MAX_SERIES:
            names = (OTHER,) * len(names)
        if names not in self._series:
            self._series[names] = self._metric.labels(*names) if names else self._metric
        child = self._series[names]
        # Only what has a series of its own is remembered: what strangers make up must not grow this.
        if OTHER not in names:
            self._children[key] = child
        return child


def counters(spec: Spec, registry: CollectorRegistry, known: Mapping[str, Iterable[str]]) -> Family[Counter]:
    """Make a counter family."""
    return Family(Counter(spec.name, spec.help, spec.labels, registry=registry), spec.labels, known)


def gauges(spec: Spec, registry: CollectorRegistry, known: Mapping[str, Iterable[str]]) -> Family[Gauge]:
    """Make a gauge family."""
    gauge = Gauge(spec.name, spec.help, spec.labels, registry=registry, multiprocess_mode=spec.mode)
    return Family(gauge, spec.labels, known)


def histograms(spec: Spec, registry: CollectorRegistry, known: Mapping[str, Iterable[str]]) -> Family[BatchHistogram]:
    """Make a histogram family."""
    histogram = BatchHistogram(spec.name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
    return Family(histogram, spec.labels, known)


def write_worker_files(directory: Path, worker: int) -> None:
    """Keep the values of metrics made from now on in files that another process can read.

    The files are named by worker number, not by process id: a restarted worker goes on counting in its own files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]


def clear_worker_files(directory: Path) -> None:
    """Forget the values of an earlier run; only while no worker runs."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("*.db"):
        path.unlink(missing_ok=True)


def forget_gauges(directory: Path, worker: int) -> None:
    """Take a dead worker's gauges out of the sums; its counters stay, they happened."""
    multiprocess.mark_process_dead(worker, str(directory))  # type: ignore[no-untyped-call]


def _namer(label: str, known: Iterable[str]) -> Callable[[Label], str]:
    if label == "class":
        return _class_name
    limit = NAMES_PER_LABEL.get(label, DEFAULT_NAMES)
    names = set(known)

    def name(value: Label) -> str:
        text = str(value)
        if text in names:
            return text
        if len(names) >= limit or not _is_plain(text):
            return OTHER
        names.add(text)
        return text

    return name


def _class_name(value: Label) -> str:
    try:
        return NotificationClass(int(value)).name.lower()
    except ValueError:
        return OTHER


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= 128 and text.isascii() and text.isprintable()
