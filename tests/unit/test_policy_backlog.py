"""Backlogs collapse as the app says."""

from __future__ import annotations

from core.policy.backlog import Deferred, Kept, collapse
from core.policy.rules import Backlog
from tests.unit.policy_stand import MARKETING, SERVICE, TRANSACTIONAL

DUE = [
    Deferred("ana", MARKETING, "promotion", 30),
    Deferred("bob", MARKETING, "promotion", 10),
    Deferred("ana", MARKETING, "promotion", 20),
    Deferred("ana", MARKETING, "survey", 40),
    Deferred("ana", SERVICE, "promotion", 25),
]


def test_each_is_sent_in_the_order_of_acceptance() -> None:
    assert collapse(DUE, Backlog.EACH) == [Kept(1), Kept(2), Kept(4), Kept(0), Kept(3)]


def test_newest_of_each_user_and_group_is_kept() -> None:
    assert collapse(DUE, Backlog.NEWEST) == [Kept(1), Kept(4), Kept(0, (2,)), Kept(3)]


def test_summary_stands_for_all_of_a_user_and_class() -> None:
    kept = collapse(DUE, Backlog.SUMMARY)
    assert kept == [Kept(1), Kept(4), Kept(3, (2, 0))]
    assert [one.total for one in kept] == [1, 1, 3]


def test_urgent_is_never_collapsed() -> None:
    payments = [Deferred("ana", TRANSACTIONAL, "payment", 1), Deferred("ana", TRANSACTIONAL, "payment", 1)]
    assert collapse(payments, Backlog.SUMMARY) == [Kept(0), Kept(1)]


def test_of_two_accepted_at_once_the_later_is_the_newest() -> None:
    twice = [Deferred("ana", SERVICE, "k", 1), Deferred("ana", SERVICE, "k", 1)]
    assert collapse(twice, Backlog.NEWEST) == [Kept(1, (0,))]
    assert collapse([], Backlog.NEWEST) == []
