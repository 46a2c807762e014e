"""Backlogs collapse as the app says."""

from __future__ import annotations

from core.policy.backlog import DueMessage, Kept, collapse
from core.policy.rules import Backlog
from tests.unit.policy_stand import MARKETING, SERVICE, TRANSACTIONAL

DUE = [
    DueMessage("ana", MARKETING, "promotion", 30, b"1"),
    DueMessage("bob", MARKETING, "promotion", 10, b"2"),
    DueMessage("ana", MARKETING, "promotion", 20, b"3"),
    DueMessage("ana", MARKETING, "survey", 40, b"4"),
    DueMessage("ana", SERVICE, "promotion", 25, b"5"),
]


def test_each_is_sent_in_the_order_of_acceptance() -> None:
    assert collapse(DUE, Backlog.EACH) == [Kept(1), Kept(2), Kept(4), Kept(0), Kept(3)]


def test_newest_of_each_user_and_group_is_kept() -> None:
    assert collapse(DUE, Backlog.NEWEST) == [Kept(1), Kept(4), Kept(0, (2,), 2), Kept(3)]


def test_summary_stands_for_all_of_a_user_and_class() -> None:
    assert collapse(DUE, Backlog.SUMMARY) == [Kept(1), Kept(4), Kept(3, (2, 0), 3)]


def test_urgent_is_never_collapsed() -> None:
    payments = [DueMessage("ana", TRANSACTIONAL, "payment", 1, bytes([number])) for number in range(2)]
    assert collapse(payments, Backlog.SUMMARY) == [Kept(0), Kept(1)]


def test_of_two_accepted_at_once_the_later_is_the_newest() -> None:
    twice = [DueMessage("ana", SERVICE, "k", 1, bytes([number])) for number in range(2)]
    assert collapse(twice, Backlog.NEWEST) == [Kept(1, (0,), 2)]
    assert collapse([], Backlog.NEWEST) == []


def test_what_waits_for_two_devices_goes_to_both() -> None:
    phone, tablet = (DueMessage("ana", SERVICE, "k", 5, b"new") for _ in range(2))
    older = DueMessage("ana", SERVICE, "k", 1, b"old")
    assert collapse([phone, older, tablet], Backlog.NEWEST) == [Kept(0, (), 2), Kept(2, (1,), 2)]


def test_a_summary_that_waits_again_is_counted_by_what_it_stands_for() -> None:
    due = [DueMessage("ana", SERVICE, "k", 1, b"old", stands_for=4), DueMessage("ana", SERVICE, "k", 2, b"new")]
    assert collapse(due, Backlog.SUMMARY) == [Kept(1, (0,), 5)]
