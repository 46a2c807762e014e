"""The throttle of a route: what a refusal pauses, for how long, and what ends it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.throttle import Throttle, ThrottleSettings

MS = 1_000_000
MINUTE_MS = 60_000


def test_a_route_nobody_refused_sends_what_it_wants() -> None:
    throttle = Throttle()
    throttle.record(1_000, 0, 0, 0)
    assert throttle.permit(500, 1) == 500


def test_one_refusal_pauses_for_a_moment_and_not_for_its_retry_after() -> None:
    throttle = Throttle()
    throttle.record(0, 1, 60 * MINUTE_MS, 0)
    assert throttle.permit(500, 249 * MS) == 0
    assert throttle.permit(500, 250 * MS) == 500


def test_a_provider_that_asks_for_less_is_left_alone_for_less() -> None:
    throttle = Throttle()
    throttle.record(0, 1, 100, 0)
    assert throttle.permit(1, 100 * MS) == 1


def test_a_few_refusals_among_many_answers_pause_nothing() -> None:
    throttle = Throttle()
    throttle.record(1_000, 0, 0, 0)
    throttle.record(50, 5, MINUTE_MS, MS)
    assert throttle.permit(500, 2 * MS) == 500


def test_pauses_double_up_to_the_longest_while_nothing_is_taken() -> None:
    throttle, now_ns, pauses = Throttle(ThrottleSettings(max_pause_ms=2_000)), 0, []
    for _ in range(6):
        throttle.record(0, 3, MINUTE_MS, now_ns)
        pauses.append((throttle.paused_until_ns - now_ns) // MS)
        now_ns = throttle.paused_until_ns
    assert pauses == [250, 500, 1_000, 2_000, 2_000, 2_000]


def test_after_a_second_pause_in_a_row_few_go_out_until_one_is_taken() -> None:
    throttle = Throttle()
    throttle.record(0, 3, MINUTE_MS, 0)
    throttle.record(0, 3, MINUTE_MS, 250 * MS)
    assert throttle.permit(500, 750 * MS) == 8
    assert throttle.permit(500, 751 * MS) == 0
    throttle.give_back(3)
    assert throttle.permit(500, 752 * MS) == 3
    throttle.record(1, 0, 0, 760 * MS)
    assert throttle.permit(500, 761 * MS) == 500


def test_answers_to_what_was_sent_before_a_pause_neither_lengthen_nor_end_it() -> None:
    throttle = Throttle()
    throttle.record(0, 3, MINUTE_MS, 0)
    throttle.record(0, 100, MINUTE_MS, 10 * MS)
    throttle.record(100, 0, 0, 20 * MS)
    assert throttle.paused_until_ns == 250 * MS


def test_a_provider_that_takes_some_is_never_left_for_longer_than_a_moment() -> None:
    throttle, now_ns = Throttle(), 0
    for _ in range(100):
        throttle.record(7, 3, MINUTE_MS, now_ns)
        assert throttle.paused_until_ns - now_ns == 250 * MS
        now_ns = throttle.paused_until_ns
        assert throttle.permit(400, now_ns) == 400


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 600)), max_size=60))
def test_whatever_is_answered_the_route_is_tried_again_within_the_longest_pause(
    answers: list[tuple[int, int, int]],
) -> None:
    throttle, now_ns = Throttle(ThrottleSettings(max_pause_ms=1_000)), 0
    for others, refused, wait_ms in answers:
        throttle.record(others, refused, MINUTE_MS, now_ns)
        assert throttle.paused_until_ns <= now_ns + 1_000 * MS
        now_ns += wait_ms * MS
        throttle.give_back(throttle.permit(5, now_ns))
    assert throttle.permit(5, now_ns + 1_000 * MS) == 5
