"""What is in force after consents: precedence by age and scope, and two users who are one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.choices import Answers, Choice, answer, merged_answers, merged_suppressions
from core.people import Consent, ConsentMethod
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Channel, Suppression

PUSH, SMS = int(Channel.PUSH), int(Channel.SMS)
SPARED = frozenset({"account"})


def said(category: str, channel: int, granted: bool, at: int) -> Consent:
    return Consent(category, channel, granted, ConsentMethod.APP, "v1", "test", at)


def after(*consents: Consent) -> dict[tuple[str, int], bool]:
    answers: Answers = {}
    answer(answers, consents, SPARED)
    return {scope: one.granted for scope, one in answers.items()}


def test_an_answer_replaces_the_one_before_it_and_an_older_one_is_history_alone() -> None:
    assert after(said("news", PUSH, True, 1), said("news", PUSH, False, 2)) == {("news", PUSH): False}
    assert after(said("news", PUSH, False, 2), said("news", PUSH, True, 1)) == {("news", PUSH): False}
    assert after(said("news", PUSH, True, 2), said("news", PUSH, False, 1)) == {("news", PUSH): True}


def test_of_two_answers_of_one_moment_the_later_recorded_counts() -> None:
    assert after(said("news", PUSH, True, 1), said("news", PUSH, False, 1)) == {("news", PUSH): False}
    assert after(said("", 0, False, 1), said("news", PUSH, True, 1)) == {("", 0): False, ("news", PUSH): True}


@pytest.mark.parametrize("scope", [("news", EVERY_CHANNEL), (EVERY_CATEGORY, PUSH), (EVERY_CATEGORY, EVERY_CHANNEL)])
def test_a_wide_no_takes_back_each_yes_it_covers(scope: tuple[str, int]) -> None:
    yes = [said("news", PUSH, True, 1), said("promotion", SMS, True, 1)]
    left = after(*yes, said(*scope, False, 2))
    assert ("news", PUSH) not in left
    assert left[scope] is False
    assert (("promotion", SMS) in left) is (scope != (EVERY_CATEGORY, EVERY_CHANNEL))


def test_a_wide_no_spares_what_is_no_marketing_unless_it_names_it() -> None:
    yes = said("account", PUSH, True, 1)
    assert after(yes, said("", 0, False, 2)) == {("account", PUSH): True, ("", 0): False}
    assert after(said("", 0, False, 2), yes) == {("account", PUSH): True, ("", 0): False}
    assert after(yes, said("account", 0, False, 2)) == {("account", 0): False}


def test_a_yes_older_than_a_wide_no_does_not_come_into_force_and_a_newer_one_does() -> None:
    assert after(said("", 0, False, 5), said("news", PUSH, True, 4)) == {("", 0): False}
    assert after(said("", 0, False, 5), said("news", PUSH, True, 6)) == {("", 0): False, ("news", PUSH): True}


def test_a_wide_yes_is_refused() -> None:
    for scope in (("", PUSH), ("news", 0), ("", 0)):
        with pytest.raises(ValueError, match="only a no"):
            answer({}, [said(*scope, True, 1)], SPARED)


SCOPES = st.tuples(st.sampled_from(["", "news", "promotion", "account"]), st.sampled_from([0, PUSH, SMS]))


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    category, channel = draw(SCOPES)
    granted = bool(category and channel) and draw(st.booleans())
    return said(category, channel, granted, draw(st.integers(1, 6)))


def covered(no: Consent, category: str, channel: int) -> bool:
    by_category = no.category == category or (no.category == "" and category != "account")
    return by_category and no.channel in (0, channel)


@given(st.lists(consents(), max_size=8))
def test_a_yes_is_in_force_exactly_if_nothing_that_covers_it_was_said_after_it(said_all: list[Consent]) -> None:
    """The oracle looks at the whole history at once: the last word by (age, order) among all that cover the scope."""
    left = after(*said_all)
    for category, channel in itertools.product(["news", "promotion", "account"], [PUSH, SMS]):
        words = [
            (one.said_unix_ms, place, one.granted) for place, one in enumerate(said_all)
            if (one.granted and (one.category, one.channel) == (category, channel))
            or (not one.granted and covered(one, category, channel))
        ]
        assert (left.get((category, channel)) is True) is (bool(words) and max(words)[2])


@given(st.lists(consents(), max_size=6), st.lists(consents(), max_size=6))
def test_users_who_are_one_hear_nothing_that_either_refused(ours: list[Consent], theirs: list[Consent]) -> None:
    first: Answers = {}
    second: Answers = {}
    answer(first, ours, SPARED)
    answer(second, theirs, SPARED)
    merged = merged_answers(first, second, SPARED)
    for scope in (scope for scope, one in merged.items() if one.granted):
        assert any(scope in one and one[scope].granted for one in (first, second))
        for other in (first, second):
            if scope in other:
                assert other[scope].granted
            elif not (scope in first and scope in second):
                assert not any(
                    not one.granted and covered(said(*wide, False, 1), *scope) for wide, one in other.items()
                )
    assert {scope for scope, one in merged.items() if not one.granted} == {
        scope for answers in (first, second) for scope, one in answers.items() if not one.granted
    }


def test_the_newer_of_two_equal_answers_stays() -> None:
    merged = merged_answers({("news", PUSH): Choice(True, 1)}, {("news", PUSH): Choice(True, 2)}, SPARED)
    assert merged == {("news", PUSH): Choice(True, 2)}


def test_of_two_suppressions_the_wider_and_longer_stays() -> None:
    ours, theirs = Suppression("", 0, False, "moved", 5), Suppression("", 0, True, "law", 0)
    assert merged_suppressions([ours], [theirs]) == [Suppression("", 0, True, "moved", 0)]
    assert merged_suppressions([ours], [theirs._replace(end_unix_ms=9)]) == [Suppression("", 0, True, "moved", 9)]
    assert merged_suppressions([ours], [theirs._replace(channel=1)]) == [ours, theirs._replace(channel=1)]
