"""Provider tokens: what they claim, and how seldom they change."""

from __future__ import annotations

from itertools import pairwise

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.apns.provider_token import GRID_S, MAX_AGE_S, SLOT_S, ProviderTokens
from adapters.credentials import ApnsKey

KEY = ApnsKey("ABC123DEFG", "DEF123GHIJ", ec.generate_private_key(ec.SECP256R1()))
DAY_S = 86_400
START_S = 1_750_000_000


def slot_start() -> int:
    """A time at which a token has just come into force."""
    return ProviderTokens(KEY).at(START_S + SLOT_S).issued_unix_s


def test_claims_and_signature() -> None:
    authorization = ProviderTokens(KEY).at(START_S).authorization
    scheme, token = authorization.split(b" ")
    assert scheme == b"bearer"
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "ABC123DEFG", "typ": "JWT"}
    claims = jwt.decode(token, KEY.private_key.public_key(), ["ES256"], options={"verify_iat": False})
    assert claims.keys() == {"iss", "iat"}
    assert claims["iss"] == "DEF123GHIJ"
    assert START_S - SLOT_S < claims["iat"] <= START_S


def test_processes_that_share_a_key_send_the_same_token() -> None:
    tokens = {ProviderTokens(KEY).at(slot_start() + offset_s).authorization for offset_s in (0, 600, 1_900)}
    assert len(tokens) == 1


def test_keys_do_not_all_change_in_the_same_second() -> None:
    starts = {ProviderTokens(ApnsKey(f"K{i}", "T", KEY.private_key)).at(START_S).issued_unix_s for i in range(50)}
    assert len(starts) > 40


def test_over_a_day_tokens_are_few_and_never_old() -> None:
    tokens = ProviderTokens(KEY)
    seen = set()
    for now_s in range(START_S, START_S + DAY_S, 7):
        token = tokens.at(now_s)
        assert 0 <= now_s - token.issued_unix_s < SLOT_S
        seen.add(token.issued_unix_s)
    assert tokens.minted == len(seen) <= DAY_S // SLOT_S + 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 1_500), st.booleans(), st.booleans()), max_size=120), st.integers(0, 10**6))
def test_whatever_apns_answers_issue_times_keep_twenty_minutes_apart(
    steps: list[tuple[int, bool, bool]], start_s: int
) -> None:
    tokens = ProviderTokens(KEY)
    now_s = START_S + start_s
    issued = set()
    for wait_s, refused, too_many in steps:
        now_s += wait_s
        token = tokens.at(now_s)
        issued.add(token.issued_unix_s)
        assert now_s - token.issued_unix_s < 3_600
        if refused:
            tokens.refused(token, now_s)
        if too_many:
            tokens.too_many_updates(now_s)
    ordered = sorted(issued)
    assert all(later - earlier >= GRID_S for earlier, later in pairwise(ordered))


def test_refused_token_is_replaced_once_twenty_minutes_have_passed() -> None:
    tokens = ProviderTokens(KEY)
    old = tokens.at(slot_start() + GRID_S + 10)
    assert tokens.refused(old, slot_start() + GRID_S + 10)
    new = tokens.at(slot_start() + GRID_S + 10)
    assert new.issued_unix_s == old.issued_unix_s + GRID_S
    assert not tokens.refused(new, slot_start() + GRID_S + 11)


def test_refused_young_token_gets_one_new_connection_and_no_new_token() -> None:
    tokens = ProviderTokens(KEY)
    now_s = slot_start() + 60
    first = tokens.at(now_s)
    assert tokens.refused(first, now_s)
    second = tokens.at(now_s)
    assert (second is first, second.authorization == first.authorization) == (False, True)
    assert not tokens.refused(second, now_s)
    assert tokens.minted == 1


def test_a_thousand_refusals_of_one_token_are_one_event() -> None:
    tokens = ProviderTokens(KEY)
    now_s = slot_start() + 60
    first = tokens.at(now_s)
    assert all(tokens.refused(first, now_s) for _ in range(1_000))
    assert tokens.minted == 1


def test_a_token_that_worked_may_be_retried_again_later() -> None:
    tokens = ProviderTokens(KEY)
    now_s = slot_start() + 60
    tokens.refused(tokens.at(now_s), now_s)
    second = tokens.at(now_s)
    second.proven = True
    assert not tokens.refused(second, now_s + 59)
    assert tokens.refused(second, now_s + 60)


def test_too_many_updates_goes_back_to_the_older_token_for_twenty_minutes() -> None:
    tokens = ProviderTokens(KEY)
    start_s = slot_start()
    old = tokens.at(start_s + SLOT_S - 1)
    new = tokens.at(start_s + SLOT_S)
    tokens.too_many_updates(start_s + SLOT_S + 5)
    assert tokens.at(start_s + SLOT_S + 6) is old
    assert tokens.at(start_s + MAX_AGE_S - 1) is old
    assert tokens.at(start_s + MAX_AGE_S) is new
    assert tokens.minted == 2


def test_too_many_updates_without_an_older_token_keeps_the_only_one() -> None:
    tokens = ProviderTokens(KEY)
    only = tokens.at(slot_start() + 100)
    tokens.too_many_updates(slot_start() + 100)
    assert tokens.at(slot_start() + 1_000) is only


def test_nothing_shows_the_token() -> None:
    token = ProviderTokens(KEY).at(START_S)
    assert "bearer" not in repr(token)


@pytest.mark.parametrize("jump_s", [-10, -5_000])
def test_a_clock_set_back_still_gives_a_token_of_the_past(jump_s: int) -> None:
    tokens = ProviderTokens(KEY)
    tokens.at(START_S)
    assert tokens.at(START_S + jump_s).issued_unix_s <= START_S + jump_s
