"""Token buckets in one process: against a plain GCRA model, and rule by rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.token_buckets import Rate, TokenBuckets

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
RATES = [Rate(10, 1), Rate(2, 3), Rate(Fraction(1, 3), 2), Rate(1000, 5)]

Column = tuple[int, int]


@dataclass
class Answer:
    granted: list[int]
    retry_at_ns: list[int]
    total: int


class Caller:
    """A table with the buffers that a call needs; a message is a row of (key, rule)."""

    def __init__(self, capacity: int = 128, rates: list[Rate] = RATES) -> None:
        self.buffer = bytearray(TokenBuckets.required_bytes(capacity, max_rules=16))
        TokenBuckets.create(self.buffer, capacity, max_rules=16)
        self.table = TokenBuckets(self.buffer, rates)

    def acquire(self, rows: list[list[Column]], now_ns: int = NOW) -> Answer:
        granted, retry = bytearray(len(rows)), memoryview(bytearray(8 * len(rows))).cast("q")
        total = self.table.acquire_many(keys_of(rows), rules_of(rows), now_ns, granted, retry)
        return Answer(list(granted), list(retry), total)

    def give_back(self, rows: list[list[Column]], taken_ns: int = NOW) -> int:
        return self.table.give_back_many(keys_of(rows), rules_of(rows), taken_ns)


def keys_of(rows: list[list[Column]]) -> memoryview:
    return memoryview(b"".join(key.to_bytes(8, "little") for row in rows for key, _ in row)).cast("Q")


def rules_of(rows: list[list[Column]]) -> memoryview:
    return memoryview(b"".join(rule.to_bytes(2, "little") for row in rows for _, rule in row)).cast("H")


@dataclass
class Model:
    """GCRA in exact words: a dict of theoretical arrival times and of when each bucket was last found full."""

    tat: dict[int, int] = field(default_factory=dict)
    busy_since: dict[int, int] = field(default_factory=dict)

    def empty_until(self, key: int, rule: int, now_ns: int) -> int:
        interval = interval_of(RATES[rule - 1])
        late = max(self.tat.get(key, 0), now_ns) + interval - interval * RATES[rule - 1].burst
        return late if late > now_ns else 0

    def take(self, row: list[Column], now_ns: int) -> int:
        limits = [(key, rule) for key, rule in row if rule]
        until = max((self.empty_until(key, rule, now_ns) for key, rule in limits), default=0)
        if until:
            return until
        before = dict(self.tat)
        for key, rule in limits:
            until = self.empty_until(key, rule, now_ns)
            if until:
                self.tat = before
                return until
            if self.tat.get(key, 0) < now_ns:
                self.busy_since[key] = max(self.busy_since.get(key, 0), now_ns)
            self.tat[key] = max(self.tat.get(key, 0), now_ns) + interval_of(RATES[rule - 1])
        return 0

    def give_back(self, row: list[Column], taken_ns: int) -> None:
        for key, rule in row:
            if rule and key in self.tat and self.busy_since.get(key, 0) <= taken_ns:
                self.tat[key] -= interval_of(RATES[rule - 1])


def interval_of(rate: Rate) -> int:
    return -(-SECOND * Fraction(rate.per_s).denominator // Fraction(rate.per_s).numerator)


ROWS = st.integers(0, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=k, max_size=k), min_size=1, max_size=10
    )
)


def keyed(rows: list[list[Column]]) -> list[list[Column]]:
    """Give each pair of key and rule a bucket of its own, as callers do."""
    return [[(key * 10 + rule, rule) for key, rule in row] for row in rows]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(0, SECOND), st.booleans()), max_size=25))
def test_decisions_are_those_of_the_plain_model(steps: list[tuple[list[list[Column]], int, bool]]) -> None:
    caller, model, now, taken = Caller(), Model(), NOW, NOW
    held: list[list[Column]] = []
    for raw, passed_ns, unused in steps:
        now += passed_ns
        if unused:
            caller.give_back(held, taken)
            for row in held:
                model.give_back(row, taken)
            held = []
        rows = keyed(raw)
        answer = caller.acquire(rows, now)
        assert answer.retry_at_ns == [model.take(row, now) for row in rows]
        assert answer.granted == [int(retry == 0) for retry in answer.retry_at_ns]
        assert answer.total == sum(answer.granted)
        held, taken = [row for row, got in zip(rows, answer.granted, strict=True) if got], now


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, SECOND), st.booleans()), max_size=60),
    st.sampled_from(range(1, 5)),
)
def test_over_any_interval_no_more_is_kept_than_burst_and_rate_allow(
    steps: list[tuple[int, int, bool]], rule: int
) -> None:
    caller, now = Caller(), NOW
    kept: list[int] = []
    waiting: list[int] = []
    for count, passed_ns, give_back in steps:
        now += passed_ns
        if give_back and waiting:
            caller.give_back([[(1, rule)]], waiting.pop())
        granted = caller.acquire([[(1, rule)]] * count, now).total if count else 0
        kept += waiting
        waiting = [now] * granted
    kept += waiting
    interval, burst = interval_of(RATES[rule - 1]), RATES[rule - 1].burst
    for first in range(len(kept)):
        for last in range(first, len(kept)):
            assert (last - first + 1 - burst) * interval <= kept[last] - kept[first]


def test_a_denied_message_charges_none_of_its_buckets() -> None:
    caller = Caller()
    scarce, ample = (1, 1), (2, 4)
    assert caller.acquire([[ample, scarce]] * 3).granted == [1, 0, 0]
    assert caller.acquire([[ample]] * 6).granted == [1, 1, 1, 1, 0, 0]


def test_retry_time_is_when_the_last_bucket_grants() -> None:
    caller = Caller()
    row = [(1, 1), (2, 2)]
    assert caller.acquire([row, row]).retry_at_ns == [0, NOW + SECOND // 10]
    caller.acquire([[(2, 2)]] * 2)
    retry_at = caller.acquire([row]).retry_at_ns[0]
    assert retry_at == NOW + SECOND // 2
    assert caller.acquire([row], retry_at - 1).granted == [0]
    assert caller.acquire([row], retry_at).granted == [1]


def test_a_bucket_named_twice_in_one_message_gives_two_tokens_or_none() -> None:
    caller = Caller()
    twice = [(2, 2), (2, 2)]
    assert caller.acquire([twice, twice]).granted == [1, 0]
    assert caller.acquire([[(2, 2)]] * 2).granted == [1, 0]


def test_a_column_without_rule_limits_nothing() -> None:
    caller = Caller()
    assert caller.acquire([[(1, 0)]] * 50).total == 50
    assert caller.acquire([[], []]).granted == [1, 1]
    assert caller.table.used == 0


def test_a_token_given_back_can_be_taken_again_at_once() -> None:
    caller = Caller()
    assert caller.acquire([[(1, 1)], [(1, 1)]]).granted == [1, 0]
    assert caller.give_back([[(1, 1)]]) == 1
    assert caller.acquire([[(1, 1)], [(1, 1)]]).granted == [1, 0]


def test_a_token_that_the_refill_made_up_for_is_not_given_back_twice() -> None:
    caller = Caller()
    caller.acquire([[(1, 1)]])
    later = NOW + 10 * SECOND
    caller.acquire([[(1, 1)]], later)
    assert caller.give_back([[(1, 1)]], NOW) == 0
    assert caller.acquire([[(1, 1)]], later).granted == [0]


def test_giving_back_to_an_unknown_bucket_does_nothing() -> None:
    assert Caller().give_back([[(9, 1)]]) == 0


def test_full_buckets_make_room_for_new_keys() -> None:
    caller = Caller(capacity=1)
    for round_ in range(20):
        rows = [[(round_ * 1000 + i, 4)] for i in range(150)]
        assert caller.acquire(rows, NOW + round_ * 2 * SECOND).total == 150
    assert caller.table.overflow == 0
    assert caller.table.used <= 192


def test_keys_beyond_the_table_share_one_bucket_per_rule() -> None:
    caller = Caller(capacity=1)
    first = caller.acquire([[(i, 3)] for i in range(400)])
    assert caller.table.used <= 192
    assert first.total == caller.table.used + RATES[2].burst
    assert caller.table.overflow >= RATES[2].burst
    assert caller.acquire([[(i, 1)] for i in range(1000, 1010)]).total == RATES[0].burst


def test_a_key_that_leaves_the_shared_bucket_takes_its_debt_along() -> None:
    caller = Caller(capacity=1)
    caller.acquire([[(i, 4)] for i in range(400)])
    assert caller.acquire([[(999, 3)]] * 3).granted == [1, 1, 0]
    overflow, one_refilled = caller.table.overflow, NOW + 3 * SECOND
    assert caller.acquire([[(999, 3)]] * 3, one_refilled).granted == [1, 0, 0]
    assert caller.table.overflow == overflow, "by then there was room for a bucket of its own"


def test_full_buckets_make_room_among_keys_of_one_home() -> None:
    caller = Caller(capacity=1)
    neighbours = [key for key in range(10_000) if key * 0x9E3779B97F4A7C15 >> 16 & 255 == 3][:20]
    assert caller.acquire([[(key, 4)] for key in neighbours]).total == 7 + RATES[3].burst
    overflow, later = caller.table.overflow, NOW + 2 * SECOND
    assert caller.acquire([[(key, 4)] for key in neighbours[7:14]], later).total == 7
    assert caller.table.overflow == overflow


def test_new_rules_apply_to_the_buckets_there_are() -> None:
    caller = Caller()
    caller.acquire([[(1, 1)]])
    caller.table.set_rules([Rate(1000, 100)])
    assert caller.acquire([[(1, 1)]] * 200, NOW + SECOND).total == 100


def test_a_refused_set_of_rules_leaves_the_old() -> None:
    caller = Caller()
    with pytest.raises(ValueError, match="per_s > 0"):
        caller.table.set_rules([Rate(5, 5), Rate(0, 1)])
    assert caller.acquire([[(1, 1)]] * 3).total == 1


@pytest.mark.parametrize("rate", [Rate(0, 1), Rate(-1, 1), Rate(1, 0), Rate(Fraction(1, 10**9), 10**9)])
def test_an_impossible_rate_is_refused(rate: Rate) -> None:
    with pytest.raises(ValueError, match=r"rate|burst"):
        Caller(rates=[rate])


def test_calls_that_do_not_fit_are_refused() -> None:
    caller = Caller()
    with pytest.raises(ValueError, match="rule 5 of 4"):
        caller.acquire([[(1, 5)]])
    with pytest.raises(ValueError, match="rule 9 of 4"):
        caller.give_back([[(1, 9)]])
    with pytest.raises(ValueError, match="for 1 messages"):
        caller.acquire([[(1, 1)] * 17])
    with pytest.raises(ValueError, match="for 2 messages"):
        caller.table.acquire_many(keys_of([[(1, 1)] * 3]), rules_of([[(1, 1)] * 3]), NOW, bytearray(2), words(2))
    with pytest.raises(ValueError, match="1 rules for 2 keys"):
        caller.table.acquire_many(keys_of([[(1, 1)] * 2]), rules_of([[(1, 1)]]), NOW, bytearray(2), words(2))
    with pytest.raises(ValueError, match="17 rules"):
        caller.table.set_rules([Rate(1, 1)] * 17)


def words(n: int) -> memoryview:
    return memoryview(bytearray(8 * n)).cast("q")


def test_a_buffer_of_another_program_or_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no token bucket table"):
        TokenBuckets(bytearray(1000), RATES)
    buffer = Caller().buffer
    with pytest.raises(ValueError, match="needs a buffer of"):
        TokenBuckets(buffer[:-1], RATES)
    buffer[24] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        TokenBuckets(bytearray(buffer), RATES)
    buffer[8] = 2
    with pytest.raises(ValueError, match="layout version 2"):
        TokenBuckets(bytearray(buffer), RATES)


@pytest.mark.parametrize(("capacity", "max_rules"), [(0, 1), (1 << 40, 1), (1, 0), (1, 1 << 16)])
def test_an_impossible_layout_is_refused(capacity: int, max_rules: int) -> None:
    with pytest.raises(ValueError, match=r"capacity|max_rules"):
        TokenBuckets.required_bytes(capacity, max_rules)
