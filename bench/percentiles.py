"""The percentiles that every latency is told by, and histograms of whole runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bench.latency import LatencyRecorder
from bench.noted_answers import Answer
from bench.open_loop import OpenRun
from bench.results import Better, Figure
from core.notification_id import parse_id_text

PERCENTS = {"p50_us": 50.0, "p90_us": 90.0, "p99_us": 99.0, "p99_9_us": 99.9, "max_us": 100.0}


def recorded(times_us: Iterable[float]) -> LatencyRecorder:
    """Return a histogram of these times."""
    recorder = LatencyRecorder()
    recorder.record_all(times_us)
    return recorder


def merged(recorders: Iterable[LatencyRecorder]) -> LatencyRecorder:
    """Return one histogram of several."""
    together = LatencyRecorder()
    for recorder in recorders:
        together.merge(recorder)
    return together


def to_intake_us(run: OpenRun, answers: Mapping[bytes, Answer]) -> Iterator[float]:
    """Yield each notification's time from when its call was due to its arrival in the gateway's intake."""
    for due_ns, answer in _since_due(run, answers):
        yield (answer.accepted_ns - due_ns) / 1e3


def to_provider_us(run: OpenRun, answers: Mapping[bytes, Answer]) -> Iterator[float]:
    """Yield each notification's time from when its call was due to its provider's answer."""
    for due_ns, answer in _since_due(run, answers):
        yield (answer.answered_ns - due_ns) / 1e3


def percentile_figures(prefix: str, recorders: Iterable[LatencyRecorder], quiet: int) -> Iterator[Figure]:
    """Yield a figure per percentile, with one sample per recorder; the prefix ends as the name wants it."""
    made = tuple(recorders)
    for word, percent in PERCENTS.items():
        times_us = tuple(recorder.percentile(percent) for recorder in made)
        yield Figure(f"{prefix}{word}", "us", times_us, Better.LOWER, quiet=quiet)


def _since_due(run: OpenRun, answers: Mapping[bytes, Answer]) -> Iterator[tuple[int, Answer]]:
    for due_ns, ids in zip(run.due_ns, run.ids, strict=True):
        for ident in ids:
            yield due_ns, answers[parse_id_text(ident)]
