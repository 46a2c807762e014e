"""Frequency counters against a replay of everything that happened."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.frequency import BLOCKED, GRANTED, KNOWN, NEVER_S, TABLE_FULL, FrequencyCounters

NOW_S = 1_700_000_000
RESERVATION_S = 600
HORIZON_S = 31 * 86_400
MINUTE_S, DAY_S, WEEK_S = 60, 86_400, 7 * 86_400


def table(capacity: int = 1_000) -> FrequencyCounters:
    buffer = array("Q", bytes(FrequencyCounters.required_bytes(capacity)))
    view = memoryview(buffer).cast("B")
    FrequencyCounters.create(view, capacity, RESERVATION_S, HORIZON_S)
    return FrequencyCounters(view)


@dataclass(frozen=True, slots=True)
class Limit:
    """One column: a rolling window where until_s is 0."""

    bit: int
    limit: int
    since_s: int
    until_s: int = 0


def reserve(
    counters: FrequencyCounters, user: int, tag: int, mask: int, limits: Sequence[Limit], now_s: int, peek: bool = False
) -> tuple[int, int, int]:
    granted, blocking, retry = array("B", [9]), array("B", [9]), array("I", [9])
    counters.reserve_many(
        array("Q", [user]), array("I", [tag]), array("Q", [mask]),
        array("B", [one.bit for one in limits]), array("H", [one.limit for one in limits]),
        array("I", [one.since_s for one in limits]), array("I", [one.until_s for one in limits]),
        now_s, granted, blocking, retry, peek,
    )  # fmt: skip
    return granted[0], blocking[0], retry[0]


def commit(counters: FrequencyCounters, user: int, tag: int, mask: int, now_s: int) -> int:
    return counters.commit_many(array("Q", [user]), array("I", [tag]), array("Q", [mask]), now_s)


def release(counters: FrequencyCounters, user: int, tag: int) -> int:
    return counters.release_many(array("Q", [user]), array("I", [tag]))


def weekly(limit: int, now_s: int, bit: int = 0) -> Limit:
    return Limit(bit, limit, now_s - WEEK_S)


def test_the_fourth_of_a_week_is_blocked_until_the_first_has_left_the_window() -> None:
    counters = table()
    for day in range(3):
        now_s = NOW_S + day * DAY_S
        assert reserve(counters, 7, day, 1, [weekly(3, now_s)], now_s)[0] == GRANTED
        assert commit(counters, 7, day, 1, now_s) == 1
    now_s = NOW_S + 3 * DAY_S
    retry_at_s = NOW_S + WEEK_S + 1
    assert reserve(counters, 7, 3, 1, [weekly(3, now_s)], now_s) == (BLOCKED, 0, retry_at_s)
    assert reserve(counters, 7, 3, 1, [weekly(3, retry_at_s - 1)], retry_at_s - 1)[0] == BLOCKED
    assert reserve(counters, 7, 3, 1, [weekly(3, retry_at_s)], retry_at_s)[0] == GRANTED


def test_a_message_that_one_rule_blocks_counts_against_none() -> None:
    counters = table()
    assert reserve(counters, 1, 1, 0b11, [weekly(5, NOW_S), weekly(1, NOW_S, 1)], NOW_S)[0] == GRANTED
    assert reserve(counters, 1, 2, 0b11, [weekly(5, NOW_S), weekly(1, NOW_S, 1)], NOW_S)[:2] == (BLOCKED, 1)
    assert [event[1] for event in counters.events_of(1)] == [1]


def test_a_reservation_counts_until_it_is_released_or_expires() -> None:
    counters = table()
    assert reserve(counters, 1, 1, 1, [weekly(1, NOW_S)], NOW_S)[0] == GRANTED
    assert reserve(counters, 1, 2, 1, [weekly(1, NOW_S)], NOW_S)[0] == BLOCKED
    assert release(counters, 1, 1) == 1
    assert release(counters, 1, 1) == 0
    assert reserve(counters, 1, 2, 1, [weekly(1, NOW_S)], NOW_S)[0] == GRANTED
    later_s = NOW_S + RESERVATION_S
    assert reserve(counters, 1, 3, 1, [weekly(1, later_s)], later_s)[0] == BLOCKED
    assert reserve(counters, 1, 3, 1, [weekly(1, later_s + 1)], later_s + 1)[0] == GRANTED


def test_what_was_sent_counts_even_if_its_reservation_had_expired() -> None:
    counters = table()
    reserve(counters, 1, 1, 1, [weekly(1, NOW_S)], NOW_S)
    later_s = NOW_S + RESERVATION_S + 1
    reserve(counters, 1, 2, 1, [weekly(1, later_s)], later_s)
    assert commit(counters, 1, 1, 1, later_s) == 1
    assert sorted(event[1] for event in counters.events_of(1)) == [1, 2]


def test_a_sent_message_can_be_uncounted() -> None:
    counters = table()
    reserve(counters, 1, 1, 1, [weekly(1, NOW_S)], NOW_S)
    commit(counters, 1, 1, 1, NOW_S)
    assert release(counters, 1, 1) == 1
    assert reserve(counters, 1, 2, 1, [weekly(1, NOW_S)], NOW_S)[0] == GRANTED


def test_the_same_message_is_counted_once() -> None:
    counters = table()
    assert reserve(counters, 1, 5, 1, [weekly(1, NOW_S)], NOW_S)[0] == GRANTED
    assert reserve(counters, 1, 5, 1, [weekly(1, NOW_S)], NOW_S)[0] == KNOWN
    commit(counters, 1, 5, 1, NOW_S)
    assert reserve(counters, 1, 5, 1, [weekly(1, NOW_S)], NOW_S)[0] == KNOWN
    assert len(counters.events_of(1)) == 1


def test_a_peek_reserves_nothing() -> None:
    counters = table()
    assert reserve(counters, 1, 1, 1, [weekly(1, NOW_S)], NOW_S, peek=True)[0] == GRANTED
    assert counters.events_of(1) == []


def test_a_limit_of_zero_never_has_room() -> None:
    assert reserve(table(), 1, 1, 1, [weekly(0, NOW_S)], NOW_S) == (BLOCKED, 0, NEVER_S)


def test_a_calendar_window_has_room_again_when_the_next_one_begins() -> None:
    counters = table()
    day = Limit(0, 1, NOW_S - 3_600, NOW_S + 82_800)
    reserve(counters, 1, 1, 1, [day], NOW_S)
    assert reserve(counters, 1, 2, 1, [day], NOW_S + 5) == (BLOCKED, 0, NOW_S + 82_800)
    assert reserve(counters, 1, 2, 1, [Limit(0, 1, NOW_S + 82_800, NOW_S + 169_200)], NOW_S + 82_800)[0] == GRANTED


def test_a_full_shard_holds_messages_back_instead_of_sending_too_many() -> None:
    counters = table(1)
    answers = [reserve(counters, user, 1, 1, [weekly(1, NOW_S)], NOW_S) for user in range(300)]
    assert [answer[0] for answer in answers] == [GRANTED] * 255 + [BLOCKED] * 45
    assert answers[-1][1] == TABLE_FULL
    assert counters.full == 45


def test_users_of_whom_nothing_counts_any_more_make_room() -> None:
    counters = table(1)
    for user in range(255):
        reserve(counters, user, 1, 1, [], NOW_S)
    later_s = NOW_S + RESERVATION_S + 1
    assert reserve(counters, 999, 1, 1, [], later_s)[0] == GRANTED
    assert counters.used == 1


def test_forgetting_a_user_leaves_nothing_and_moving_leaves_everything() -> None:
    counters = table()
    for tag in range(10):
        reserve(counters, 1, tag, 1, [], NOW_S + tag)
        commit(counters, 1, tag, 1, NOW_S + tag)
    events = counters.events_of(1)
    assert counters.add_events(2, events, NOW_S + 10) == 10
    assert counters.add_events(2, events, NOW_S + 10) == 0
    assert counters.forget(1) == 10
    assert counters.events_of(1) == []
    assert sorted(counters.events_of(2)) == sorted(events)


def test_filters_keep_their_bits_and_the_longest_unused_gives_way() -> None:
    counters = table()
    assert counters.assign_filters(range(1, 64), NOW_S) == list(range(63))
    assert counters.assign_filters([5, 1], NOW_S) == [4, 0]
    with pytest.raises(ValueError, match="more than 63"):
        counters.assign_filters([1_000], NOW_S + HORIZON_S)
    assert counters.assign_filters([1_000], NOW_S + HORIZON_S + 1) == [0]


@pytest.mark.parametrize(
    "broken",
    [
        lambda c: reserve_arrays(c, 2, 1, tags=1),
        lambda c: reserve_arrays(c, 2, 1, bits=3),
        lambda c: reserve_arrays(c, 1, 17),
        lambda c: reserve_arrays(c, 1, 1, bit=63),
        lambda c: c.release_many(array("Q", [1, 2]), array("I", [1])),
        lambda c: c.commit_many(array("Q", [1]), array("I", [1]), array("Q"), NOW_S),
    ],
)
def test_arrays_that_do_not_fit_are_refused(broken: Callable[[FrequencyCounters], object]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        broken(table())


def reserve_arrays(
    counters: FrequencyCounters, n: int, k: int, tags: int | None = None, bits: int | None = None, bit: int = 0
) -> int:
    columns = n * k if bits is None else bits
    return counters.reserve_many(
        array("Q", [1] * n), array("I", [1] * (n if tags is None else tags)), array("Q", [1] * n),
        array("B", [bit] * columns), array("H", [1] * columns), array("I", [0] * columns), array("I", [0] * columns),
        NOW_S, array("B", [0] * n), array("B", [0] * n), array("I", [0] * n),
    )  # fmt: skip


@dataclass
class Replay:
    """Everything that was counted, looked through from the beginning each time."""

    events: dict[tuple[int, int], tuple[int, int, bool]] = field(default_factory=dict)

    def live(self, user: int, now_s: int) -> dict[int, tuple[int, int]]:
        return {
            tag: (time_s, mask)
            for (who, tag), (time_s, mask, reserved) in self.events.items()
            if who == user and now_s - time_s <= HORIZON_S and (not reserved or now_s - time_s <= RESERVATION_S)
        }

    def reserve(self, user: int, tag: int, mask: int, limits: Sequence[Limit], now_s: int) -> tuple[int, int]:
        live = self.live(user, now_s)
        if tag in live:
            return KNOWN, 0
        for column, one in enumerate(limits):
            times = [time_s for time_s, seen in live.values() if seen >> one.bit & 1 and time_s >= one.since_s]
            if len(times) >= one.limit:
                return BLOCKED, column
        self.events[user, tag] = (now_s, mask, True)
        return GRANTED, 0

    def commit(self, user: int, tag: int, mask: int, now_s: int) -> None:
        self.events[user, tag] = (now_s, self.events.get((user, tag), (0, mask, False))[1], False)

    def release(self, user: int, tag: int) -> None:
        self.events.pop((user, tag), None)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 120))
def test_every_answer_is_that_of_a_replay_of_all_events(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    counters, replay, now_s, tag = table(64), Replay(), NOW_S, 0
    for _ in range(steps):
        now_s += rng.choice((0, 1, 7, 59, 61, 600, 601, 3_600, 90_000, 700_000))
        user, tag = rng.randrange(4), tag + 1
        some = rng.randrange(1, tag + 1)
        limits = [
            Limit(bit, rng.randrange(0, 5), now_s - rng.choice((MINUTE_S, DAY_S, WEEK_S, 30 * DAY_S)))
            for bit in rng.sample(range(4), rng.randrange(0, 4))
        ]
        mask = rng.randrange(16)
        step = rng.random()
        if step < 0.6:
            name = tag if rng.random() < 0.9 else some
            granted, blocking, retry_at_s = reserve(counters, user, name, mask, limits, now_s)
            assert (granted, blocking) == replay.reserve(user, name, mask, limits, now_s)
            assert granted != BLOCKED or retry_at_s > now_s
        elif step < 0.8 and (user, some) in replay.events:
            replay.commit(user, some, mask, now_s)
            # A reservation that has expired may have been written over; then the mask is the one given now.
            commit(counters, user, some, replay.events[user, some][1], now_s)
        else:
            replay.release(user, some)
            release(counters, user, some)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_time_to_retry_is_the_first_second_with_room(seed: int) -> None:
    rng = random.Random(seed)
    counters = table(64)
    times = sorted(NOW_S - rng.randrange(0, 2 * DAY_S) for _ in range(rng.randrange(1, 12)))
    for tag, time_s in enumerate(times):
        commit(counters, 1, tag, 1, time_s)
    limit = rng.randrange(1, len(times) + 1)
    granted, _, retry_at_s = reserve(counters, 1, 99, 1, [Limit(0, limit, NOW_S - DAY_S)], NOW_S, peek=True)
    if granted == BLOCKED:
        for now_s, answer in ((retry_at_s - 1, BLOCKED), (retry_at_s, GRANTED)):
            assert reserve(counters, 1, 99, 1, [Limit(0, limit, now_s - DAY_S)], now_s, peek=True)[0] == answer
