"""The precedence, line by line, and the gates that follow it."""

from __future__ import annotations

import dataclasses

import pytest

from core.model import NotificationClass
from core.policy.consent import standing
from core.policy.decision import Gate, Reason, Verdict
from core.policy.people import Category, Channel, Permission, Recipient, Suppression
from tests.unit.policy_stand import CATEGORIES, at, decide, device, message, policy, ruling, user

PUSH, SMS, ALL = int(Channel.PUSH), int(Channel.SMS), 0
NOON = at("2026-03-02 12:00")
BY_NAME = {one.name: one for one in CATEGORIES}
SUPPRESSED = Suppression("", ALL, True, "asked by phone")


def stands(category: str, channel: int = PUSH, **fields: object) -> tuple[bool, str]:
    found = standing(BY_NAME[category], channel, Recipient("u", **fields), NOON)  # type: ignore[arg-type]
    return found.allowed, found.reason.value


def test_security_is_sent_whatever_was_said() -> None:
    no = {("login", PUSH): False, ("login", ALL): False, ("", ALL): False}
    assert stands("login", choices=no, suppressions=(SUPPRESSED,)) == (True, "SECURITY")


@pytest.mark.parametrize("category", ["statement", "upkeep", "promotion"])
def test_suppression_goes_before_a_yes(category: str) -> None:
    assert stands(category, choices={(category, PUSH): True}, suppressions=(SUPPRESSED,)) == (False, "SUPPRESSED")


def test_suppression_stops_transactional_only_if_it_says_so() -> None:
    mild = SUPPRESSED._replace(includes_transactional=False)
    assert stands("payment", suppressions=(mild,)) == (True, "APP_DEFAULT")
    assert stands("payment", suppressions=(SUPPRESSED,)) == (False, "SUPPRESSED")
    assert stands("upkeep", suppressions=(mild,)) == (False, "SUPPRESSED")


@pytest.mark.parametrize(
    ("suppression", "stopped"),
    [
        (Suppression("promotion", ALL, False, "x"), True),
        (Suppression("survey", ALL, False, "x"), False),
        (Suppression("promotion", PUSH, False, "x"), True),
        (Suppression("", SMS, False, "x"), False),
        (Suppression("", ALL, False, "x", NOON), False),
        (Suppression("", ALL, False, "x", NOON + 1), True),
    ],
)
def test_suppression_stops_what_it_covers_until_it_ends(suppression: Suppression, stopped: bool) -> None:
    allowed, _ = stands("promotion", choices={("promotion", PUSH): True}, suppressions=(suppression,))
    assert allowed is not stopped


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({("promotion", PUSH): True, ("promotion", ALL): False, ("", ALL): False}, (True, "USER_CATEGORY_CHANNEL")),
        ({("promotion", PUSH): False}, (False, "USER_CATEGORY_CHANNEL")),
        ({("promotion", ALL): False, ("", PUSH): False}, (False, "USER_CATEGORY")),
        ({("", PUSH): False, ("", ALL): False}, (False, "USER_CHANNEL")),
        ({("", ALL): False}, (False, "USER_ALL")),
        ({}, (False, "NO_CONSENT")),
        ({("promotion", SMS): True}, (False, "NO_CONSENT")),
        ({("survey", PUSH): True}, (False, "NO_CONSENT")),
    ],
)
def test_marketing_follows_the_narrowest_word_and_is_off_without_any(
    choices: dict[tuple[str, int], bool], expected: tuple[bool, str]
) -> None:
    assert stands("promotion", choices=choices) == expected


@pytest.mark.parametrize("scope", [("promotion", ALL), ("", PUSH), ("", ALL)])
def test_a_yes_of_too_wide_a_scope_is_no_consent(scope: tuple[str, int]) -> None:
    assert stands("promotion", choices={scope: True}) == (False, "NO_CONSENT")


def test_marketing_is_off_even_for_a_category_that_claims_to_be_on_by_default() -> None:
    claims = Category("deals", NotificationClass.MARKETING, default_on=True, user_may_disable=False)
    assert standing(claims, PUSH, Recipient("u"), NOON) == (False, Reason.NO_CONSENT)
    said_no = Recipient("u", choices={("deals", PUSH): False})
    assert standing(claims, PUSH, said_no, NOON) == (False, Reason.USER_CATEGORY_CHANNEL)


def test_a_new_category_is_off_for_who_opted_out_of_marketing_and_for_who_said_yes_to_others() -> None:
    new = Category("games", NotificationClass.MARKETING)
    opted_out = Recipient("u", choices={("", ALL): False})
    others = Recipient("u", choices={("promotion", PUSH): True, ("survey", PUSH): True})
    assert standing(new, PUSH, opted_out, NOON) == (False, Reason.USER_ALL)
    assert standing(new, PUSH, others, NOON) == (False, Reason.NO_CONSENT)


@pytest.mark.parametrize("category", ["payment", "statement", "upkeep"])
def test_no_to_marketing_or_to_another_list_leaves_the_rest_alone(category: str) -> None:
    no = {("", ALL): False, ("", PUSH): False, ("promotion", ALL): False, ("survey", PUSH): False}
    assert stands(category, choices=no) == (True, "APP_DEFAULT")


@pytest.mark.parametrize(("category", "followed"), [("statement", True), ("upkeep", True), ("payment", False)])
@pytest.mark.parametrize("scope", [PUSH, ALL])
def test_a_no_is_followed_where_users_may_disable(category: str, followed: bool, scope: int) -> None:
    allowed, _ = stands(category, choices={(category, scope): False})
    assert allowed is not followed


def test_app_default_stands_where_nothing_was_said() -> None:
    assert stands("upkeep") == (True, "APP_DEFAULT")
    assert stands("tips") == (False, "APP_DEFAULT")
    assert stands("tips", choices={("tips", PUSH): True}) == (True, "USER_CATEGORY_CHANNEL")


def test_a_message_without_a_category_is_not_stopped_by_what_was_said_of_all_marketing() -> None:
    unnamed = Category("", NotificationClass.SERVICE)
    no = Recipient("u", choices={("", PUSH): False, ("", ALL): False})
    assert standing(unnamed, PUSH, no, NOON) == (True, Reason.APP_DEFAULT)


def test_marketing_without_a_category_is_never_sent() -> None:
    unnamed = Category("", NotificationClass.MARKETING)
    assert not standing(unnamed, PUSH, Recipient("u", choices={("", PUSH): True}), NOON).allowed


def test_unknown_user_gets_no_marketing_but_payments() -> None:
    gates = policy()
    unknown = Recipient("nobody")
    assert ruling(decide(gates, message(), unknown, NOON)) == (Verdict.SUPPRESS, Gate.CONSENT, Reason.NO_CONSENT)
    assert decide(gates, message("payment"), unknown, NOON).verdict == Verdict.PASS


def test_category_that_the_app_does_not_have_is_on_for_service_and_off_for_marketing() -> None:
    marketing = message("gone")
    assert ruling(decide(policy(), marketing, user(), NOON))[2] == Reason.NO_CONSENT
    service = dataclasses.replace(marketing, klass=NotificationClass.SERVICE)
    assert decide(policy(), service, user(), NOON).verdict == Verdict.PASS


def test_device_that_shows_nothing_is_left_out() -> None:
    silent, loud = device(permission=Permission.DENIED), device()
    decision = decide(policy(), message(), user(), NOON, [silent, loud])
    assert list(decision.devices) == [loud]
    assert [(one.device, one.reason) for one in decision.held] == [(silent, Reason.OS_DENIED)]


@pytest.mark.parametrize("category", ["promotion", "upkeep"])
def test_user_whose_devices_show_nothing_is_suppressed(category: str) -> None:
    decision = decide(policy(), message(category), user(), NOON, [device(permission=Permission.DENIED)])
    assert ruling(decision) == (Verdict.SUPPRESS, Gate.PERMISSION, Reason.OS_DENIED)
    assert ruling(decide(policy(), message(category), user(), NOON, []))[2] == Reason.NO_DEVICE


@pytest.mark.parametrize("category", ["login", "payment", "statement"])
def test_urgent_is_sent_to_devices_that_are_said_to_show_nothing(category: str) -> None:
    silent = device(permission=Permission.DENIED)
    decision = decide(policy(), message(category), user({("survey", PUSH): True}), NOON, [silent])
    assert (decision.verdict, list(decision.devices)) == (Verdict.PASS, [silent])


def test_provisional_permission_shows() -> None:
    shows = device(permission=Permission.PROVISIONAL)
    assert decide(policy(), message(), user(), NOON, [shows]).verdict == Verdict.PASS


def test_first_channel_that_is_open_is_taken() -> None:
    both = message(channels=(Channel.PUSH, Channel.SMS))
    yes_to_both = {("promotion", PUSH): True, ("promotion", SMS): True}
    assert decide(policy(), both, user(yes_to_both), NOON).channel == Channel.PUSH
    assert decide(policy(), both, user(yes_to_both), NOON, []).channel == Channel.SMS
    assert decide(policy(), both, user({("promotion", SMS): True}), NOON).channel == Channel.SMS
    decision = decide(policy(), both, user({}), NOON)
    assert (decision.channel, decision.reason) == (Channel.PUSH, Reason.NO_CONSENT)


def test_urgent_without_a_device_goes_by_the_next_channel_or_by_the_first_after_all() -> None:
    both = message("payment", channels=(Channel.PUSH, Channel.SMS))
    assert decide(policy(), both, user(), NOON, []).channel == Channel.SMS
    assert decide(policy(), message("payment"), user(), NOON, []).verdict == Verdict.PASS
    shut = Suppression("", SMS, True, "x")
    decision = decide(policy(), both, user(suppressions=(shut,)), NOON, [])
    assert (decision.verdict, decision.channel) == (Verdict.PASS, Channel.PUSH)


@pytest.mark.parametrize("category", ["login", "promotion"])
def test_only_a_push_names_devices(category: str) -> None:
    texted = message(category, channels=(Channel.SMS,))
    phones = [device(), device(permission=Permission.DENIED)]
    decision = decide(policy(), texted, user({("promotion", SMS): True}), NOON, phones)
    assert (decision.verdict, decision.channel) == (Verdict.PASS, Channel.SMS)
    assert (list(decision.devices), list(decision.held)) == ([], [])
