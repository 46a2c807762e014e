"""What happened between two looks at /metrics: rates, counters that begin again, quantiles."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from gateway.metrics import SECONDS, Metrics
from gateway.top.reading import Buckets, Change, Reading, parse

BOUNDS = (*SECONDS, math.inf)


def reading(at_s: float, **counters: dict[str, float]) -> Reading:
    series = {
        name: {frozenset({("of", of)}): value for of, value in found.items()} for name, found in counters.items()
    }
    return Reading(at_s, series)


def bucketed(seconds: list[float]) -> Buckets:
    counts = Counter(bisect_left(BOUNDS, value) for value in seconds)
    cumulative = 0
    found = []
    for place, bound in enumerate(BOUNDS):
        cumulative += counts[place]
        found.append((bound, float(cumulative)))
    return Buckets(tuple(found))


def test_real_metrics_are_read_with_their_labels() -> None:
    metrics = Metrics(["wallet"], CollectorRegistry())
    before = parse(generate_latest(metrics.registry).decode(), 10.0)
    metrics.accepted(1, 30)
    metrics.sent("apns", "wallet", 20)
    metrics.delivery_seconds(1, [(0.002, 10)])
    metrics.queue("apns", "wallet", 1, 7, 1.5)
    change = Change(before, parse(generate_latest(metrics.registry).decode(), 12.0))
    assert change.per_s("walletpush_notifications_accepted_total", "class")["transactional",] == 15.0
    assert change.total_per_s("walletpush_deliveries_sent_total") == 10.0
    assert change.now.by("walletpush_queue_depth", "app", "class")["wallet", "transactional"] == 7.0
    assert change.now.largest("walletpush_queue_oldest_age_seconds") == 1.5
    (latency,) = change.buckets("walletpush_delivery_seconds", "class").values()
    assert (latency.count, latency.quantile(0.5)) == (10.0, 0.00175)


def test_what_is_not_there_is_nothing() -> None:
    change = Change(reading(0.0), reading(1.0))
    assert (change.total_per_s("x"), change.per_s("x", "of"), change.buckets("x", "of")) == (0.0, {}, {})
    assert (change.now.total("x"), change.now.largest("x"), change.now.by("x", "of")) == (0.0, 0.0, {})


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match="html"):
        parse("<html>not found</html>", 0.0)


def test_a_counter_that_fell_began_again_at_zero_and_a_new_one_too() -> None:
    change = Change(reading(0.0, x={"a": 100.0, "b": 5.0}), reading(2.0, x={"a": 30.0, "b": 9.0, "c": 6.0}))
    assert change.grown("x", "of") == {("a",): 30.0, ("b",): 4.0, ("c",): 6.0}
    assert change.total_per_s("x") == 20.0


@given(st.lists(st.tuples(st.integers(0, 1_000), st.booleans()), min_size=1, max_size=30))
def test_over_any_restarts_nothing_is_negative_and_without_them_nothing_is_lost(steps: list[tuple[int, bool]]) -> None:
    value, last, grown, hidden = 0, reading(0.0, x={"a": 0.0}), 0.0, 0
    for at_s, (more, restarts) in enumerate(steps, 1):
        before = value
        value = more if restarts else value + more
        # A restart shows only if the new count is still below the old one.
        hidden += restarts and value >= before
        now = reading(float(at_s), x={"a": float(value)})
        step = Change(last, now).grown("x", "of")["a",]
        assert 0 <= step <= more
        grown, last = grown + step, now
    if not hidden:
        assert grown == sum(more for more, _ in steps)


def test_a_histogram_of_which_one_bucket_fell_began_again_in_all_of_them() -> None:
    def histogram(at_s: float, low: float, high: float) -> Reading:
        found = {frozenset({("class", "c"), ("le", "0.1")}): low, frozenset({("class", "c"), ("le", "+Inf")}): high}
        return Reading(at_s, {"h_bucket": found})

    change = Change(histogram(0.0, 10.0, 10.0), histogram(1.0, 4.0, 12.0))
    assert change.buckets("h", "class")["c",].counts == ((0.1, 4.0), (math.inf, 12.0))


@given(st.lists(st.floats(0.0, 299.0), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], q: float) -> None:
    true = sorted(seconds)[max(0, math.ceil(q * len(seconds)) - 1)]
    place = bisect_left(BOUNDS, true)
    lower = BOUNDS[place - 1] if place else 0.0
    assert lower <= bucketed(seconds).quantile(q) <= BOUNDS[place]


@given(st.lists(st.floats(0.0, 1_000.0), min_size=1, max_size=50))
def test_quantiles_rise(seconds: list[float]) -> None:
    found = [bucketed(seconds).quantile(q) for q in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)


def test_beyond_the_last_bound_a_quantile_is_that_bound_and_of_nothing_there_is_none() -> None:
    assert bucketed([1_000.0]).quantile(0.5) == SECONDS[-1]
    assert math.isnan(Buckets(()).quantile(0.5))
