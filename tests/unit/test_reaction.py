"""What follows from each outcome."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.apns import table as apns_table
from adapters.fcm import table as fcm_table
from core.reaction import CLOSE_DELIVERED, DELIVERED, FINAL_KINDS, Backoff, Outcome, OutcomeKind, Reaction, Step, react

BACKOFF = Backoff(base_ms=500, cap_ms=60_000)
HOUR_MS = 3_600_000
ALL_ROWS = [
    *(row.outcome for row in apns_table.ROWS.values()),
    *(row.outcome for row in fcm_table.BY_CODE.values()),
    *(row.outcome for row in fcm_table.BY_STATUS.values()),
    *(row.outcome for row in (apns_table.UNKNOWN, apns_table.TIMED_OUT, apns_table.NOT_SENT)),
    *(row.outcome for row in (fcm_table.UNKNOWN, fcm_table.TIMED_OUT, fcm_table.NOT_SENT)),
]


def follow(outcome: Outcome, attempts: int = 1, expires_in_ms: int = HOUR_MS) -> Reaction:
    return react(outcome, attempts, expires_in_ms, BACKOFF, random.Random(7))


def test_success_closes_with_the_shared_reaction() -> None:
    assert follow(DELIVERED) is CLOSE_DELIVERED
    assert follow(Outcome(OutcomeKind.DELIVERED, 200)) is CLOSE_DELIVERED


@pytest.mark.parametrize("outcome", ALL_ROWS, ids=lambda o: f"{o.status} {o.reason}")
def test_every_row_of_both_tables_is_decided(outcome: Outcome) -> None:
    reaction = follow(outcome)
    if outcome.kind in FINAL_KINDS:
        assert reaction.step is Step.CLOSE_FAILED
        assert reaction.delay_ms == 0
    elif outcome.kind is OutcomeKind.CREDENTIAL_REJECTED:
        assert reaction.step is Step.HOLD
    else:
        assert reaction.step is Step.RETRY
        assert reaction.delay_ms >= outcome.retry_after_ms
    assert reaction.retire_device == (outcome.kind is OutcomeKind.DEVICE_GONE)
    assert reaction.alert >= outcome.alert


@pytest.mark.parametrize("outcome", ALL_ROWS, ids=lambda o: f"{o.status} {o.reason}")
def test_nothing_is_retried_or_held_past_expiry(outcome: Outcome) -> None:
    reaction = follow(outcome, expires_in_ms=0)
    assert reaction.step in (Step.CLOSE_FAILED, Step.CLOSE_EXPIRED)
    assert reaction.delay_ms == 0


def test_rejected_credential_holds_the_delivery_and_opens_the_breaker() -> None:
    reaction = follow(Outcome(OutcomeKind.CREDENTIAL_REJECTED, 403, "InvalidProviderToken"))
    assert reaction == Reaction(Step.HOLD, trip_breaker=True, alert=True)


def test_misconfigured_route_fails_the_delivery_and_opens_the_breaker() -> None:
    reaction = follow(Outcome(OutcomeKind.MISCONFIGURED, 404, "NOT_FOUND"))
    assert reaction == Reaction(Step.CLOSE_FAILED, trip_breaker=True, alert=True)


def test_suspect_device_is_marked_and_kept() -> None:
    reaction = follow(Outcome(OutcomeKind.DEVICE_SUSPECT, 400, "BadDeviceToken"))
    assert (reaction.step, reaction.suspect_device, reaction.retire_device) == (Step.CLOSE_FAILED, True, False)


def test_throttled_device_waits_without_slowing_its_route() -> None:
    reaction = follow(Outcome(OutcomeKind.DEVICE_THROTTLED, 429, "TooManyRequests", 2_000))
    assert reaction.step is Step.RETRY
    assert reaction.throttle_ms == 0
    assert not reaction.breaker_fault


def test_a_delivery_refused_by_a_quota_waits_as_long_as_the_provider_asked() -> None:
    reaction = follow(Outcome(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", 90_000))
    assert reaction.throttle_ms == 90_000
    assert reaction.delay_ms >= 90_000


def test_the_throttle_hears_of_a_refusal_even_if_the_delivery_itself_expires_meanwhile() -> None:
    reaction = follow(Outcome(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", 90_000), expires_in_ms=30_000)
    assert reaction.step is Step.CLOSE_EXPIRED
    assert reaction.throttle_ms == 90_000


@pytest.mark.parametrize("kind", [OutcomeKind.PROVIDER_FAULT, OutcomeKind.UNKNOWN])
def test_faults_count_against_the_breaker(kind: OutcomeKind) -> None:
    assert follow(Outcome(kind, 500)).breaker_fault


@pytest.mark.parametrize("kind", [OutcomeKind.NOT_SENT, OutcomeKind.CREDENTIAL_EXPIRED])
def test_unprocessed_requests_go_again_soon_and_blame_nobody(kind: OutcomeKind) -> None:
    reactions = [react(Outcome(kind), 1, HOUR_MS, BACKOFF, random.Random(seed)) for seed in range(200)]
    assert max(reaction.delay_ms for reaction in reactions) <= 50
    assert not any(reaction.breaker_fault for reaction in reactions)


def test_lost_answer_says_possibly_delivered() -> None:
    assert follow(Outcome(OutcomeKind.UNKNOWN)).possibly_delivered
    assert follow(Outcome(OutcomeKind.PROVIDER_FAULT, 503, "UNAVAILABLE", possibly_delivered=True)).possibly_delivered
    assert not follow(Outcome(OutcomeKind.PROVIDER_FAULT, 500, "INTERNAL")).possibly_delivered
    assert not follow(Outcome(OutcomeKind.NOT_SENT)).possibly_delivered


@given(st.integers(0, 200), st.integers())
def test_backoff_stays_between_zero_and_its_cap(attempt: int, seed: int) -> None:
    assert 0 <= BACKOFF.delay_ms(attempt, random.Random(seed)) <= BACKOFF.cap_ms


def test_backoff_doubles_on_average() -> None:
    rng = random.Random(1)
    means = [sum(BACKOFF.delay_ms(attempt, rng) for _ in range(4_000)) / 4_000 for attempt in range(1, 6)]
    for lesser, greater in pairwise(means):
        assert greater == pytest.approx(2 * lesser, rel=0.1)


@given(
    st.sampled_from(list(OutcomeKind)), st.integers(0, 10**7), st.integers(1, 60), st.integers(-1_000, 10**8),
    st.integers(0, 2**32),
)  # fmt: skip
def test_retry_always_lands_before_expiry(
    kind: OutcomeKind, retry_after_ms: int, attempts: int, expires_in_ms: int, seed: int
) -> None:
    outcome = Outcome(kind, 500, "x", retry_after_ms)
    reaction = react(outcome, attempts, expires_in_ms, BACKOFF, random.Random(seed))
    if reaction.step is Step.RETRY:
        assert retry_after_ms <= reaction.delay_ms < expires_in_ms
