"""Caps: rolling and calendar windows, adaptive limits, what happens over them, quotas of vendors."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import NotificationClass
from core.policy.caps import DAY_S, HOUR_S, AdaptiveWeek, CapFilter, CapRule, OverCap, Window, vendor_quotas
from core.policy.counting import MAX_RULES
from core.policy.decision import Decision, Gate, Reason, Verdict
from core.policy.gates import Policy
from core.policy.message import Message
from core.policy.people import Channel, Recipient, UserDevice
from core.policy.periods import period
from core.policy.rules import AppRules
from tests.unit.policy_stand import (
    CATEGORIES,
    DAY_MS,
    MARKETING,
    SERVICE,
    TRANSACTIONAL,
    app_rules,
    at,
    counters,
    decide,
    device,
    message,
    policy,
    ruling,
    user,
)  # fmt: skip

HOUR_MS = 3_600_000
NOON = at("2026-03-02 12:00")
CAPPED = (Verdict.SUPPRESS, Gate.FREQUENCY_CAP, Reason.FREQUENCY_CAP)
TWO_A_DAY = CapRule("two_a_day", 2, DAY_S)


def capped(*rules: CapRule, **changes: object) -> Policy:
    return policy(app_rules(caps=rules, quiet_windows=(), **changes), now_unix_ms=NOON)


def send(
    gates: Policy, whom: Recipient, now: int, what: Message | None = None, devices: list[UserDevice] | None = None
) -> Decision:
    """Decide, and commit what may be sent."""
    decision = decide(gates, what or message(), whom, now, devices)
    gates.commit(decision.counts(), now)
    return decision


def sent(gates: Policy, whom: Recipient, *times: int) -> list[bool]:
    return [send(gates, whom, now).verdict == Verdict.PASS for now in times]


def test_message_over_the_cap_is_suppressed_until_the_window_has_passed() -> None:
    gates, whom = capped(TWO_A_DAY), user()
    assert sent(gates, whom, NOON, NOON + HOUR_MS, NOON + 2 * HOUR_MS) == [True, True, False]
    assert sent(gates, whom, NOON + DAY_MS, NOON + DAY_MS + 1_000, NOON + DAY_MS + 2_000) == [False, True, False]


def test_users_are_counted_apart() -> None:
    gates = capped(CapRule("one", 1, DAY_S))
    assert [sent(gates, user(), NOON) for _ in range(3)] == [[True]] * 3


def test_several_rules_apply_together() -> None:
    gates, whom = capped(CapRule("one_an_hour", 1, HOUR_S), CapRule("three", 3, 7 * DAY_S)), user()
    times = [NOON + minutes * 60_000 for minutes in (0, 30, 61, 122, 183)]
    assert sent(gates, whom, *times) == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("wanted", "counted"),
    [
        (CapFilter(), True),
        (CapFilter(category="promotion"), True),
        (CapFilter(category="survey"), False),
        (CapFilter(channel=Channel.PUSH), True),
        (CapFilter(channel=Channel.SMS), False),
        (CapFilter(tag="spring"), True),
        (CapFilter(tag="autumn"), False),
        (CapFilter(classes=frozenset({SERVICE})), False),
    ],
)
def test_rule_counts_what_its_filter_matches(wanted: CapFilter, counted: bool) -> None:
    gates, whom = capped(CapRule("one", 1, DAY_S, filter=wanted)), user()
    decisions = [send(gates, whom, NOON, message(tags="spring sale")) for _ in range(2)]
    assert (decisions[1].verdict == Verdict.SUPPRESS) is counted


def test_transactional_neither_counts_nor_is_capped_unless_a_rule_says_so() -> None:
    gates, whom = capped(CapRule("one", 1, DAY_S)), user()
    assert [send(gates, whom, NOON, message("payment")).counts() for _ in range(3)] == [[]] * 3
    assert sent(gates, whom, NOON) == [True]
    strict = capped(CapRule("one", 1, DAY_S, filter=CapFilter(frozenset({TRANSACTIONAL}))))
    assert [send(strict, whom, NOON, message("payment")).verdict for _ in range(2)] == [Verdict.PASS, Verdict.SUPPRESS]


def test_security_is_never_counted_even_if_a_rule_says_so() -> None:
    gates, whom = capped(CapRule("one", 1, DAY_S, filter=CapFilter(frozenset(NotificationClass)))), user()
    assert [send(gates, whom, NOON, message("login")).verdict for _ in range(3)] == [Verdict.PASS] * 3


def test_what_was_not_sent_is_uncounted() -> None:
    gates, whom = capped(CapRule("one", 1, DAY_S)), user()
    first = decide(gates, message(), whom, NOON)
    assert ruling(decide(gates, message(), whom, NOON)) == CAPPED
    gates.release(first.counts())
    assert sent(gates, whom, NOON, NOON) == [True, False]


def test_what_waits_for_the_morning_takes_no_room() -> None:
    gates, whom = policy(app_rules(caps=(CapRule("one", 1, DAY_S),)), now_unix_ms=NOON), user()
    night, morning = at("2026-03-03 03:00"), at("2026-03-03 09:00")
    assert [decide(gates, message(), whom, night).verdict for _ in range(3)] == [Verdict.DEFER] * 3
    assert sent(gates, whom, morning, morning) == [True, False]
    assert ruling(decide(gates, message(), whom, night + DAY_MS)) == CAPPED


def test_a_message_that_comes_again_is_counted_once_and_not_released() -> None:
    gates, whom, what = capped(CapRule("one", 1, DAY_S)), user(), message()
    assert send(gates, whom, NOON, what).verdict == Verdict.PASS
    again = send(gates, whom, NOON + 1_000, what)
    assert again.verdict == Verdict.PASS
    gates.release(again.counts())
    assert sent(gates, whom, NOON + 2_000) == [False]


def test_over_cap_is_deferred_until_there_is_room_if_the_rule_says_so() -> None:
    gates, whom = capped(dataclasses.replace(TWO_A_DAY, over=OverCap.DEFER)), user()
    assert sent(gates, whom, NOON, NOON + HOUR_MS) == [True, True]
    decision = decide(gates, message(), whom, NOON + 2 * HOUR_MS)
    assert ruling(decision) == (Verdict.DEFER, Gate.FREQUENCY_CAP, Reason.FREQUENCY_CAP)
    assert decision.until_unix_ms == NOON + DAY_MS + 1_000
    assert sent(gates, whom, decision.until_unix_ms) == [True]


def test_over_cap_is_suppressed_where_it_would_wait_past_its_expiry_or_too_long() -> None:
    week = CapRule("one", 1, 7 * DAY_S, over=OverCap.DEFER)
    gates, whom = capped(week), user()
    assert sent(gates, whom, NOON, NOON) == [True, False]
    assert ruling(decide(gates, message(), whom, NOON)) == CAPPED
    patient = capped(week, max_cap_wait_s=8 * DAY_S)
    assert sent(patient, whom, NOON) == [True]
    assert decide(patient, message(), whom, NOON).verdict == Verdict.DEFER
    assert ruling(decide(patient, message(expires=NOON + 7 * DAY_MS), whom, NOON)) == CAPPED


def test_over_cap_goes_to_the_inbox_only_of_who_wants_it_there() -> None:
    gates = capped(CapRule("one", 1, DAY_S, over=OverCap.IN_APP_ONLY))
    both = user({("promotion", int(Channel.PUSH)): True, ("promotion", int(Channel.IN_APP)): True})
    assert sent(gates, both, NOON) == [True]
    decision = decide(gates, message(), both, NOON)
    assert (decision.verdict, decision.channel, decision.counts()) == (Verdict.IN_APP_ONLY, Channel.IN_APP, [])
    push_only = user()
    assert sent(gates, push_only, NOON) == [True]
    assert ruling(decide(gates, message(), push_only, NOON)) == CAPPED


@pytest.mark.parametrize(
    ("opened_days_ago", "too_many", "expected"),
    [(1, False, 3), (1, True, 1), (20, False, 2), (60, False, 1), (100, False, 0), (None, False, 1)],
)
def test_adaptive_limit_follows_the_user(opened_days_ago: int | None, too_many: bool, expected: int) -> None:
    gates = capped(CapRule("week", 3, adaptive=True))
    opened = NOON - opened_days_ago * DAY_MS if opened_days_ago is not None else 0
    whom = user(last_open_unix_ms=opened, too_many=too_many)
    assert sent(gates, whom, *[NOON + n * HOUR_MS for n in range(4)]).count(True) == expected


def test_adaptive_limit_never_exceeds_the_rules_own() -> None:
    generous = AdaptiveWeek(most=10, usual=5, fewest=2)
    gates = capped(CapRule("week", 3, adaptive=True), adaptive=generous)
    whom = user(last_open_unix_ms=NOON)
    assert sent(gates, whom, *[NOON] * 5).count(True) == 3


def test_silent_users_message_is_not_deferred_for_ever() -> None:
    gates = capped(CapRule("week", 3, over=OverCap.DEFER, adaptive=True))
    assert ruling(decide(gates, message(), user(last_open_unix_ms=NOON - 100 * DAY_MS), NOON)) == CAPPED


def test_calendar_day_is_the_users() -> None:
    gates = capped(CapRule("one", 1, window=Window.DAY, over=OverCap.DEFER))
    late = at("2026-03-02 23:50")
    here, york = user(), user(time_zone="America/New_York")
    assert sent(gates, here, late, late + 5 * 60_000, late + 15 * 60_000) == [True, False, True]
    assert sent(gates, york, late, late + 15 * 60_000) == [True, False]
    assert decide(gates, message(), york, late).until_unix_ms == at("2026-03-03 00:00", "America/New_York")


def test_calendar_zone_is_the_users_then_a_devices_then_the_apps() -> None:
    late = at("2026-03-02 23:50")
    day = CapRule("one", 1, window=Window.DAY)
    for zone, phone, app in (("Asia/Shanghai", "", ""), ("", "Asia/Shanghai", "UTC"), ("", "", "Asia/Shanghai")):
        gates, whom = capped(day, time_zone=app), user(time_zone=zone)
        phones = [device(phone)]
        decisions = [send(gates, whom, now, devices=phones) for now in (late, late + 15 * 60_000)]
        assert [one.verdict for one in decisions] == [Verdict.PASS, Verdict.PASS]
        phones_verdict = send(gates, whom, late + 16 * 60_000, devices=phones).verdict
        assert phones_verdict == Verdict.SUPPRESS


@pytest.mark.parametrize(
    ("window", "zone", "now", "since", "until"),
    [
        (Window.HOUR, "Asia/Kathmandu", "2026-03-02 12:20", "2026-03-02 12:00", "2026-03-02 13:00"),
        (Window.DAY, "America/New_York", "2026-03-08 12:00", "2026-03-08 00:00", "2026-03-09 00:00"),
        (Window.DAY, "America/New_York", "2026-11-01 12:00", "2026-11-01 00:00", "2026-11-02 00:00"),
        (Window.WEEK, "Asia/Shanghai", "2026-03-08 23:59", "2026-03-02 00:00", "2026-03-09 00:00"),
        (Window.WEEK, "Europe/London", "2026-03-30 00:00", "2026-03-30 00:00", "2026-04-06 00:00"),
        (Window.MONTH, "Europe/London", "2026-03-31 12:00", "2026-03-01 00:00", "2026-04-01 00:00"),
        (Window.MONTH, "UTC", "2026-12-31 12:00", "2026-12-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_periods_begin_and_end_by_the_zones_clock(window: Window, zone: str, now: str, since: str, until: str) -> None:
    assert period(zone, window, at(now, zone) // 1_000) == (at(since, zone) // 1_000, at(until, zone) // 1_000)


def test_day_whose_midnight_the_clock_jumps_over_begins_with_the_jump() -> None:
    # Cairo goes from 23:59:59 on Thursday to 01:00 on Friday, 2026-04-24.
    jump = int(datetime(2026, 4, 23, 22, tzinfo=UTC).timestamp())
    assert period("Africa/Cairo", Window.DAY, jump - 1).until_s == jump
    assert period("Africa/Cairo", Window.DAY, jump).since_s == jump


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(["America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "America/Asuncion", "Asia/Beirut"]),
    window=st.sampled_from([Window.DAY, Window.WEEK, Window.MONTH]),
    now=st.datetimes(datetime(2022, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
)  # fmt: skip
def test_periods_hold_just_the_seconds_of_one_date_week_or_month(zone: str, window: Window, now: datetime) -> None:
    now_s = int(now.replace(tzinfo=UTC).timestamp())
    found = period(zone, window, now_s)
    info = ZoneInfo(zone)

    def label(at_s: int) -> tuple[int, ...]:
        local = datetime.fromtimestamp(at_s, info)
        labels = {Window.DAY: (local.toordinal(),), Window.WEEK: local.isocalendar()[:2]}
        return labels.get(window, (local.year, local.month))

    assert found.since_s <= now_s < found.until_s
    assert label(found.since_s) == label(now_s) == label(found.until_s - 1)
    assert label(found.since_s - 1) < label(now_s) < label(found.until_s)
    longest = {Window.DAY: timedelta(hours=25), Window.WEEK: timedelta(days=7, hours=1)}
    assert found.until_s - found.since_s <= longest.get(window, timedelta(days=31, hours=1)).total_seconds()


def test_vendors_quota_is_counted_for_each_device_and_day_of_beijing() -> None:
    gates = policy(app_rules(caps=vendor_quotas(), quiet_windows=()), now_unix_ms=NOON)
    whom, phones = user(time_zone="UTC"), [device(manufacturer="HUAWEI"), device(manufacturer="Xiaomi")]
    shown = [len(send(gates, whom, NOON, devices=phones).devices) for _ in range(3)]
    assert shown == [2, 2, 1]
    decision = send(gates, whom, NOON, devices=phones)
    assert [(one.device, one.gate, one.reason) for one in decision.held] == [
        (phones[0], Gate.VENDOR_QUOTA, Reason.VENDOR_QUOTA)
    ]
    assert len(send(gates, whom, at("2026-03-03 00:00"), devices=phones).devices) == 2


def test_user_whose_devices_have_no_quota_left_is_uncounted() -> None:
    rules = app_rules(caps=(*vendor_quotas(), CapRule("three", 3, DAY_S)), quiet_windows=())
    gates, whom, phone = policy(rules, now_unix_ms=NOON), user(), [device(manufacturer="oppo")]
    verdicts = [ruling(send(gates, whom, NOON, devices=phone)) for _ in range(5)]
    assert verdicts[2:] == [(Verdict.SUPPRESS, Gate.VENDOR_QUOTA, Reason.VENDOR_QUOTA)] * 3
    assert [send(gates, whom, NOON).verdict for _ in range(2)] == [Verdict.PASS, Verdict.SUPPRESS]


def test_news_app_has_a_larger_quota() -> None:
    gates = policy(app_rules(caps=vendor_quotas(news_app=True), quiet_windows=()), now_unix_ms=NOON)
    whom, phone = user(), [device(manufacturer="honor")]
    assert [send(gates, whom, NOON, devices=phone).verdict for _ in range(6)].count(Verdict.PASS) == 5


def test_released_device_has_its_quota_back() -> None:
    gates = policy(app_rules(caps=vendor_quotas(), quiet_windows=()), now_unix_ms=NOON)
    whom, phone = user(), [device(manufacturer="vivo")]
    decisions = [decide(gates, message(), whom, NOON, phone) for _ in range(2)]
    assert [len(one.device_counts) for one in decisions] == [1, 1]
    assert decide(gates, message(), whom, NOON, phone).verdict == Verdict.SUPPRESS
    gates.release(decisions[0].counts())
    assert decide(gates, message(), whom, NOON, phone).verdict == Verdict.PASS


def test_service_and_urgent_leave_vendors_quotas_alone() -> None:
    gates = policy(app_rules(caps=vendor_quotas(), quiet_windows=()), now_unix_ms=NOON)
    phone = [device(manufacturer="huawei")]
    for category in ("upkeep", "payment", "login"):
        assert [send(gates, user(), NOON, message(category), phone).verdict for _ in range(4)] == [Verdict.PASS] * 4


def test_sleeping_device_still_waits_when_the_waking_ones_quota_is_used_up() -> None:
    rules = app_rules(caps=vendor_quotas())
    gates, whom = policy(rules, now_unix_ms=NOON), user()
    phones = [device("America/New_York"), device(manufacturer="oppo")]
    decisions = [send(gates, whom, NOON, devices=phones) for _ in range(3)]
    assert [len(one.devices) for one in decisions] == [1, 1, 0]
    assert ruling(decisions[2]) == (Verdict.DEFER, Gate.VENDOR_QUOTA, Reason.VENDOR_QUOTA)
    assert decisions[2].until_unix_ms == at("2026-03-02 08:00", "America/New_York")


def test_full_counters_hold_marketing_back_but_nothing_urgent() -> None:
    both = CapFilter(frozenset({MARKETING, TRANSACTIONAL}))
    tiny = counters(1)
    gates = policy(app_rules(caps=(CapRule("five", 5, DAY_S, filter=both),), quiet_windows=()), tiny, NOON)
    crowd = [user() for _ in range(2_000)]
    found = gates.decide_many(message(), crowd, [[device()]] * 2_000, NOON)
    held = [one for one in found if one.verdict != Verdict.PASS]
    assert {(*ruling(one), one.until_unix_ms - NOON) for one in held} == {
        (Verdict.DEFER, Gate.FREQUENCY_CAP, Reason.COUNTERS_FULL, 60_000)
    }
    urgent = gates.decide_many(message("payment"), crowd, [[device()]] * 2_000, NOON)
    assert {one.verdict for one in urgent} == {Verdict.PASS}


def test_policies_of_several_workers_count_together() -> None:
    shared = counters()
    rules = app_rules(caps=(CapRule("one", 1, DAY_S), CapRule("tagged", 1, DAY_S, filter=CapFilter(tag="x"))))
    other = app_rules(caps=tuple(reversed(rules.caps)))
    first, second = policy(rules, shared, NOON), policy(other, shared, NOON)
    whom = user()
    assert send(first, whom, NOON).verdict == Verdict.PASS
    assert ruling(decide(second, message(), whom, NOON)) == CAPPED


def test_filters_are_asked_for_again_so_that_they_are_kept() -> None:
    shared = counters()
    gates = policy(app_rules(caps=(CapRule("one", 1, DAY_S),), quiet_windows=()), shared, NOON)
    month = 30 * DAY_MS
    assert sent(gates, user(), *range(NOON, NOON + 2 * month, 10 * DAY_MS)) == [True] * 6
    others = shared.assign_filters([*range(1, 63)], (NOON + 2 * month) // 1_000)
    assert len(set(others)) == 62
    assert sent(gates, user(), NOON + 2 * month, NOON + 2 * month) == [True, False]


def test_more_rules_than_counters_take_are_refused() -> None:
    many = tuple(CapRule(f"rule{n}", 1, DAY_S, filter=CapFilter(tag=str(n))) for n in range(MAX_RULES + 1))
    with pytest.raises(ValueError, match="at most 16 caps"):
        capped(*many)
    assert sent(capped(*many[:-1]), user(), NOON) == [True]


def test_default_rules_keep_to_three_a_week_and_vendors_quotas() -> None:
    rules = AppRules("app", categories=CATEGORIES)
    gates, whom = policy(rules, now_unix_ms=NOON), user(last_open_unix_ms=NOON)
    assert sent(gates, whom, *[NOON + n * HOUR_MS for n in range(5)]).count(True) == 3
