"""The bench's histogram of times against sorted lists of them."""

from __future__ import annotations

import pytest
from hdrh.codec import HdrLengthException
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.latency import HIGHEST_US, LatencyRecorder, decode

TIMES = st.lists(st.integers(1, HIGHEST_US), min_size=1, max_size=50)


def recorded(times_us: list[int]) -> LatencyRecorder:
    recorder = LatencyRecorder()
    recorder.record_all(times_us)
    return recorder


@settings(deadline=None)
@given(TIMES, st.floats(1.0, 100.0))
def test_percentiles_are_those_of_the_sorted_times_to_three_digits(times_us: list[int], percent: float) -> None:
    rank = max(1, int(percent * len(times_us) / 100 + 0.5))
    assert recorded(times_us).percentile(percent) == pytest.approx(sorted(times_us)[rank - 1], rel=1e-3)


@settings(deadline=None)
@given(TIMES, TIMES)
def test_what_was_encoded_adds_up_with_what_was_recorded(first: list[int], second: list[int]) -> None:
    merged = decode(recorded(first).encode())
    merged.merge(recorded(second))
    percents = (50.0, 90.0, 100.0)
    assert merged.count == len(first) + len(second)
    assert merged.percentiles(percents) == recorded(first + second).percentiles(percents)
    assert merged.percentiles(percents) == [merged.percentile(percent) for percent in percents]


def test_times_out_of_range_count_at_its_ends() -> None:
    recorder = LatencyRecorder()
    recorder.record_all([0.0, 0.4, 2.0 * HIGHEST_US])
    assert recorder.count == 3
    assert recorder.percentile(50.0) == 1.0
    assert recorder.max_us == pytest.approx(HIGHEST_US, rel=1e-3)


def test_a_stall_of_a_closed_loop_counts_the_requests_it_kept_back() -> None:
    recorder = LatencyRecorder(correct_for_us=10_000)
    for _ in range(99):
        recorder.record(1_000)
    recorder.record(1_000_000)
    assert recorder.count == 99 + 100
    assert recorder.percentile(75.0) == pytest.approx(500_000, rel=0.02)
    assert recorder.result("x").corrected


def test_only_a_corrected_or_open_loop_is_called_corrected() -> None:
    assert not LatencyRecorder().result("x").corrected
    assert LatencyRecorder().result("x", corrected=True).corrected


def test_no_times_have_no_percentiles() -> None:
    assert LatencyRecorder().percentiles((50.0, 99.0)) == [0.0, 0.0]
    assert LatencyRecorder().max_us == 0.0


def test_text_that_is_no_histogram_is_refused() -> None:
    with pytest.raises(HdrLengthException):
        decode("AAAA")
