"""The gates together: their order, batches, and explanations that say what is then done."""

from __future__ import annotations

import random

import pytest

from core.policy.caps import DAY_S, CapRule, OverCap, vendor_quotas
from core.policy.decision import Decision, Gate, GateVerdict, Reason, Verdict
from core.policy.people import Channel, Permission, QuietWindow, Recipient, Suppression
from core.policy.rules import NIGHT, AppRules
from tests.unit.policy_stand import (
    CATEGORIES,
    app_rules,
    at,
    counters,
    decide,
    device,
    first_stop,
    message,
    policy,
    ruling,
    user,
)  # fmt: skip
from tests.unit.policy_worlds import random_message, random_step_ms, random_world

NOON, NIGHT_TIME = at("2026-03-02 12:00"), at("2026-03-03 03:00")
GATES = list(Gate)
ONE = CapRule("one_a_day", 1, DAY_S)


def details(verdicts: list[GateVerdict]) -> dict[Gate, str]:
    return {one.gate: one.detail for one in verdicts}


def test_a_suppression_goes_before_a_cap_and_a_cap_before_quiet_hours() -> None:
    gates = policy(app_rules(caps=(ONE,)), now_unix_ms=NOON)
    whom = user()
    gates.commit(decide(gates, message(), whom, NOON).counts(), NOON)
    assert ruling(decide(gates, message(), whom, NIGHT_TIME))[1:] == (Gate.FREQUENCY_CAP, Reason.FREQUENCY_CAP)
    assert ruling(decide(gates, message(), user(), NIGHT_TIME))[1:] == (Gate.QUIET_HOURS, Reason.QUIET_HOURS)
    silent = Recipient(whom.user_id, choices=whom.choices, suppressions=(Suppression("", 0, False, "x"),))
    assert ruling(decide(gates, message(), silent, NIGHT_TIME))[1:] == (Gate.SUPPRESSION, Reason.SUPPRESSED)


def test_two_messages_to_one_user_in_one_batch_share_the_room() -> None:
    gates, whom = policy(app_rules(caps=(ONE,)), now_unix_ms=NOON), user()
    found = gates.decide_each([message(), message("payment"), message()], [whom] * 3, [[device()]] * 3, NOON)
    assert [one.verdict for one in found] == [Verdict.PASS, Verdict.PASS, Verdict.SUPPRESS]


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_decides_as_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    world = random_world(chance, 150)
    messages = [random_message(chance, world.begin_ms) for _ in world.users]
    single = policy(world.rules, now_unix_ms=world.begin_ms)
    batch = policy(world.rules, now_unix_ms=world.begin_ms).decide_each(
        messages, world.users, world.devices, world.begin_ms
    )
    for what, whom, known, found in zip(messages, world.users, world.devices, batch, strict=True):
        assert single.decide_many(what, [whom], [known], world.begin_ms) == [found]


@pytest.mark.parametrize("seed", range(6))
def test_explanations_say_what_is_then_decided(seed: int) -> None:
    chance = random.Random(seed)
    world = random_world(chance, 60)
    gates, now_ms = policy(world.rules, now_unix_ms=world.begin_ms), world.begin_ms
    for _ in range(4):
        for whom, known in zip(world.users, world.devices, strict=True):
            what = random_message(chance, now_ms)
            told = gates.explain(what, whom, known, now_ms)
            found = decide(gates, what, whom, now_ms, known)
            assert [one.gate for one in told] == GATES
            assert all(one.detail for one in told)
            assert _said(first_stop(told)) == _done(found)
            gates.commit(found.counts(), now_ms)
        now_ms += random_step_ms(chance)


def _said(stop: GateVerdict | None) -> tuple[object, ...]:
    if stop is None:
        return Verdict.PASS, Gate.CHANNEL, Reason.NONE, 0
    return stop.verdict, stop.gate, stop.reason, stop.until_unix_ms


def _done(found: Decision) -> tuple[object, ...]:
    return found.verdict, found.gate, found.reason, found.until_unix_ms


def test_explanation_reserves_nothing() -> None:
    gates, whom = policy(app_rules(caps=(ONE, *vendor_quotas())), now_unix_ms=NOON), user()
    phones = [device(manufacturer="oppo")]
    for _ in range(5):
        assert first_stop(gates.explain(message(), whom, phones, NOON)) is None
    assert decide(gates, message(), whom, NOON, phones).verdict == Verdict.PASS


def test_explanation_tells_window_zone_local_time_and_end() -> None:
    gates = policy(app_rules(jitter_s=1_800))
    told = details(gates.explain(message(), user(), [device()], NIGHT_TIME))[Gate.QUIET_HOURS]
    begin = "quiet 22:00-08:00 Asia/Shanghai (user), local time 03:00, until 08:00 + "
    assert told.startswith(begin)
    assert told.endswith(" min jitter")


@pytest.mark.parametrize(
    ("zone", "country", "windows", "told"),
    [
        ("", "US", (NIGHT,), "quiet 22:00-08:00 America/Adak, America/Anchorage, America/Boise and 26 more (country)"),
        ("", "", (NIGHT,), "quiet 22:00-08:00 any zone of the world, without end"),
        ("UTC", "", (QuietWindow(0, 0, 0b1100000, holidays=True),), "outside quiet 00:00-00:00 sat,sun holidays UTC"),
        ("UTC", "", (QuietWindow(60, 120, category="survey"),), "outside quiet never UTC (user), local time 12:00"),
    ],
)
def test_explanation_tells_whose_zone_and_which_windows(
    zone: str, country: str, windows: tuple[QuietWindow, ...], told: str
) -> None:
    whom = user(None, zone, country=country, quiet_windows=windows)
    noon = at("2026-03-02 12:00", "UTC")
    verdicts = policy().explain(message(), whom, [device()], noon)
    assert details(verdicts)[Gate.QUIET_HOURS].startswith(told)


def test_explanation_tells_the_rule_that_is_reached_and_the_users_own_limit() -> None:
    rules = app_rules(caps=(CapRule("week", 3, adaptive=True), CapRule("day", 5, DAY_S)), quiet_windows=())
    gates, whom = policy(rules, now_unix_ms=NOON), user()
    room = details(gates.explain(message(), whom, [device()], NOON))[Gate.FREQUENCY_CAP]
    assert room == "room under week: at most 1 in 7 days (adaptive); day: at most 5 in 1 days"
    gates.commit(decide(gates, message(), whom, NOON).counts(), NOON)
    assert details(gates.explain(message(), whom, [device()], NOON))[Gate.FREQUENCY_CAP].startswith("reached week")
    assert details(gates.explain(message("payment"), whom, [], NOON))[Gate.FREQUENCY_CAP] == "no cap counts it"


def test_explanation_looks_at_the_gates_behind_a_suppression_too() -> None:
    rules = app_rules(caps=(ONE,))
    gates, whom = policy(rules, now_unix_ms=NOON), user({("promotion", 0): False, ("", 0): False}, country="CN")
    silent = [device(permission=Permission.DENIED)]
    stops = [
        (one.gate, one.reason)
        for one in gates.explain(message(), whom, silent, NIGHT_TIME)
        if one.verdict != Verdict.PASS
    ]
    assert stops == [
        (Gate.CONSENT, Reason.USER_CATEGORY),
        (Gate.PERMISSION, Reason.OS_DENIED),
        (Gate.PREFERENCE, Reason.USER_CATEGORY),
        (Gate.QUIET_HOURS, Reason.QUIET_HOURS),
        (Gate.CHANNEL, Reason.USER_CATEGORY),
    ]


def test_explanation_quotes_what_support_wrote_of_a_suppression() -> None:
    ends = at("2026-04-01 00:00", "UTC")
    whom = user(suppressions=(Suppression("", 0, False, "complained by phone", ends),))
    told = details(policy().explain(message(), whom, [device()], NOON))[Gate.SUPPRESSION]
    assert told == "complained by phone, until 2026-04-01 00:00 UTC"


def test_over_cap_explained_as_inbox_only() -> None:
    gates = policy(app_rules(caps=(CapRule("one", 1, DAY_S, over=OverCap.IN_APP_ONLY),)), now_unix_ms=NOON)
    whom = user({("promotion", int(Channel.PUSH)): True, ("promotion", int(Channel.IN_APP)): True})
    gates.commit(decide(gates, message(), whom, NOON).counts(), NOON)
    stop = first_stop(gates.explain(message(), whom, [device()], NOON))
    assert stop is not None
    assert stop.verdict == Verdict.IN_APP_ONLY


def test_urgent_is_not_asked_of_the_counters() -> None:
    shared = counters(1)
    gates = policy(AppRules("app", categories=CATEGORIES), shared, NOON)
    found = gates.decide_many(message("payment"), [user() for _ in range(500)], [[device()]] * 500, NIGHT_TIME)
    assert {one.verdict for one in found} == {Verdict.PASS}
    assert shared.used == 0


def test_what_is_not_aligned_is_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        policy().decide_many(message(), [user(), user()], [[device()]], NOON)
    assert policy().decide_many(message(), [], [], NOON) == []
