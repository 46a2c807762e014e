"""When a route's breaker opens, probes and closes."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.breaker import Breaker, BreakerSettings, BreakerState
from core.sliding_window import SlidingWindow

MS = 1_000_000
SETTINGS = BreakerSettings(window_ms=10_000, slices=10, min_answers=20, fault_percent=50, open_ms=1_000, probes=3)


def breaker() -> Breaker:
    return Breaker(SETTINGS, random.Random(3))


def state_of(it: Breaker) -> BreakerState:
    return it.state


def opened(now_ns: int = 0) -> Breaker:
    it = breaker()
    it.trip(now_ns)
    return it


def test_closed_breaker_lets_everything_through() -> None:
    assert breaker().permit(10_000, 0) == 10_000


def test_few_answers_open_nothing_however_bad() -> None:
    it = breaker()
    it.record(0, 19, 0)
    assert state_of(it) is BreakerState.CLOSED
    it.record(0, 1, 0)
    assert state_of(it) is BreakerState.OPEN


def test_share_of_faults_decides() -> None:
    it = breaker()
    it.record(51, 49, 0)
    assert state_of(it) is BreakerState.CLOSED
    it.record(0, 2, 0)
    assert state_of(it) is BreakerState.OPEN


def test_faults_outside_the_window_are_forgotten() -> None:
    it = breaker()
    it.record(0, 19, 0)
    it.record(0, 19, 10_001 * MS)
    assert state_of(it) is BreakerState.CLOSED
    assert it.snapshot(10_001 * MS).faults == 19


def test_open_breaker_lets_nothing_through_until_its_time() -> None:
    it = opened()
    assert it.permit(10, it.open_until_ns - 1) == 0
    assert it.permit(10, it.open_until_ns) == 3
    assert state_of(it) is BreakerState.HALF_OPEN


def test_half_open_spends_its_probes_once() -> None:
    it = opened()
    now_ns = it.open_until_ns
    assert [it.permit(2, now_ns), it.permit(2, now_ns), it.permit(2, now_ns)] == [2, 1, 0]


def test_good_probes_close_it() -> None:
    it = opened()
    now_ns = it.open_until_ns
    it.permit(3, now_ns)
    it.record(2, 0, now_ns)
    assert state_of(it) is BreakerState.HALF_OPEN
    it.record(1, 0, now_ns)
    assert state_of(it) is BreakerState.CLOSED
    assert it.permit(500, now_ns) == 500


def test_one_bad_probe_opens_it_again_for_longer() -> None:
    it = opened()
    first_ns = it.open_until_ns
    it.permit(3, first_ns)
    it.record(2, 1, first_ns)
    assert state_of(it) is BreakerState.OPEN
    assert it.open_until_ns - first_ns >= 1_000 * MS


def test_probes_that_never_answer_are_given_up() -> None:
    it = opened()
    now_ns = it.open_until_ns
    assert it.permit(5, now_ns) == 3
    later_ns = now_ns + SETTINGS.probe_wait_ms * MS
    assert it.permit(5, later_ns - 1) == 0
    assert it.permit(5, later_ns) == 3


def test_late_answers_while_open_change_nothing() -> None:
    it = opened()
    until_ns = it.open_until_ns
    it.record(0, 1_000, 1)
    it.trip(1)
    assert (it.open_until_ns, it.snapshot(1).openings) == (until_ns, 1)


def test_open_time_is_bounded_and_jittered() -> None:
    ends = set()
    for seed in range(50):
        it = Breaker(SETTINGS, random.Random(seed))
        now_ns = 0
        for _ in range(30):
            it.trip(now_ns)
            assert it.open_until_ns - now_ns <= SETTINGS.max_open_ms * MS
            now_ns = it.open_until_ns
            it.permit(1, now_ns)
        ends.add(now_ns)
    assert len(ends) > 40


def test_operator_closes_it() -> None:
    it = opened()
    it.close()
    assert it.permit(7, 1) == 7
    assert it.snapshot(1).open_until_ns == 0


@pytest.mark.parametrize("slices", [0, 11])
def test_window_refuses_slices_that_do_not_fit(slices: int) -> None:
    with pytest.raises(ValueError, match="slices"):
        SlidingWindow(10, slices)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), st.integers(0, 5)), max_size=60))
def test_window_counts_as_a_list_of_events_does(steps: list[tuple[int, int, int]]) -> None:
    window = SlidingWindow(100, 10)
    events: deque[tuple[int, int, int]] = deque()
    now_ns = 0
    for wait_ns, good, bad in steps:
        now_ns += wait_ns
        window.add(good, bad, now_ns)
        events.append((now_ns // 10, good, bad))
        while events and events[0][0] <= now_ns // 10 - 10:
            events.popleft()
        assert window.good == sum(event[1] for event in events)
        assert window.bad == sum(event[2] for event in events)
