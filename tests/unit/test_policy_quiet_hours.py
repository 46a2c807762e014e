"""Quiet hours: windows, zones, clocks that jump, holidays, jitter and expiry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.policy.decision import Decision, Gate, Reason, Verdict
from core.policy.people import Channel, QuietWindow, Recipient
from core.policy.rules import NIGHT, VIVO_HOURS, AppRules
from core.policy.zones import ZoneSource, place
from tests.unit.policy_oracle import country_zones, is_quiet
from tests.unit.policy_stand import DAY_MS, YES, app_rules, at, decide, device, message, policy, ruling, user

MINUTE_MS = 60_000
YORK, LONDON, SHANGHAI = "America/New_York", "Europe/London", "Asia/Shanghai"
QUIET = (Verdict.DEFER, Gate.QUIET_HOURS, Reason.QUIET_HOURS)


def held(now: int, zone: str = SHANGHAI, rules: AppRules | None = None, **fields: object) -> Decision:
    return decide(policy(rules or app_rules()), message(), user(None, zone, **fields), now)


@pytest.mark.parametrize(
    ("time", "until"),
    [
        ("2026-03-02 21:59", None),
        ("2026-03-02 22:00", "2026-03-03 08:00"),
        ("2026-03-03 03:00", "2026-03-03 08:00"),
        ("2026-03-03 07:59", "2026-03-03 08:00"),
        ("2026-03-03 08:00", None),
    ],
)
def test_marketing_waits_for_the_end_of_the_night(time: str, until: str | None) -> None:
    decision = held(at(time))
    assert decision.verdict == (Verdict.DEFER if until else Verdict.PASS)
    assert decision.until_unix_ms == (at(until) if until else 0)


@pytest.mark.parametrize("category", ["login", "payment", "statement"])
def test_urgent_passes_at_night(category: str) -> None:
    whom = user({("statement", Channel.PUSH): True})
    assert decide(policy(), message(category), whom, at("2026-03-03 03:00")).verdict == Verdict.PASS


def test_service_waits_unless_the_app_or_its_category_says_otherwise() -> None:
    night, whom = at("2026-03-03 03:00"), user()
    assert ruling(decide(policy(), message("upkeep"), whom, night)) == QUIET
    loud = policy(app_rules(service_is_quiet=False))
    assert decide(loud, message("upkeep"), whom, night).verdict == Verdict.PASS
    exempt = policy(app_rules(never_quiet=frozenset({"upkeep", "promotion"})))
    assert decide(exempt, message("upkeep"), whom, night).verdict == Verdict.PASS
    assert decide(exempt, message("promotion"), whom, night).verdict == Verdict.DEFER


def test_users_windows_stand_in_for_the_apps() -> None:
    mine = (QuietWindow(12 * 60, 14 * 60),)
    assert held(at("2026-03-03 03:00"), quiet_windows=mine).verdict == Verdict.PASS
    assert held(at("2026-03-03 12:30"), quiet_windows=mine).until_unix_ms == at("2026-03-03 14:00")


def test_window_of_a_category_holds_that_category_alone() -> None:
    rules = app_rules(quiet_windows=(QuietWindow(9 * 60, 17 * 60, category="survey"),))
    assert held(at("2026-03-03 10:00"), rules=rules).verdict == Verdict.PASS
    asks = user({("survey", int(Channel.PUSH)): True})
    assert decide(policy(rules), message("survey"), asks, at("2026-03-03 10:00")).verdict == Verdict.DEFER


def test_window_begins_only_on_its_weekdays_and_ends_on_the_next_day() -> None:
    friday_night = (QuietWindow(22 * 60, 8 * 60, weekdays=1 << 4),)
    assert held(at("2026-03-06 23:00"), quiet_windows=friday_night).until_unix_ms == at("2026-03-07 08:00")
    assert held(at("2026-03-07 07:00"), quiet_windows=friday_night).verdict == Verdict.DEFER
    assert held(at("2026-03-07 23:00"), quiet_windows=friday_night).verdict == Verdict.PASS
    assert held(at("2026-03-06 07:00"), quiet_windows=friday_night).verdict == Verdict.PASS


def test_window_whose_ends_are_equal_lasts_24_hours() -> None:
    sunday = (QuietWindow(6 * 60, 6 * 60, weekdays=1 << 6),)
    assert held(at("2026-03-08 06:00"), quiet_windows=sunday).until_unix_ms == at("2026-03-09 06:00")
    assert held(at("2026-03-08 05:59"), quiet_windows=sunday).verdict == Verdict.PASS


def test_windows_that_touch_are_waited_out_together() -> None:
    both = (NIGHT, QuietWindow(7 * 60, 10 * 60))
    assert held(at("2026-03-03 03:00"), quiet_windows=both).until_unix_ms == at("2026-03-03 10:00")


def test_public_holidays_of_the_users_country_are_quiet_all_day() -> None:
    rests = (NIGHT._replace(holidays=True),)
    noon = at("2026-10-01 12:00")
    assert held(noon, quiet_windows=rests, country="CN").until_unix_ms == at("2026-10-04 08:00")
    assert held(noon, quiet_windows=rests, country="cn").verdict == Verdict.DEFER
    assert held(noon, quiet_windows=rests, country="JP").verdict == Verdict.PASS
    assert held(noon, quiet_windows=rests, country="ZZ").verdict == Verdict.PASS
    assert held(noon, quiet_windows=(NIGHT,), country="CN").verdict == Verdict.PASS
    assert held(noon, rules=app_rules(country="CN", quiet_windows=rests)).verdict == Verdict.DEFER


def test_a_clock_that_jumps_ahead_ends_a_window_with_the_jump() -> None:
    early = (QuietWindow(60, 150),)
    decision = held(at("2026-03-08 01:30", YORK), YORK, quiet_windows=early)
    assert decision.until_unix_ms == at("2026-03-08 03:00", YORK)


def test_a_clock_that_goes_back_repeats_its_quiet_time() -> None:
    early = (QuietWindow(0, 90),)
    first, second = at("2026-11-01 01:15", YORK), at("2026-11-01 01:15", YORK, fold=1)
    assert second - first == 60 * MINUTE_MS
    assert held(first, YORK, quiet_windows=early).until_unix_ms == at("2026-11-01 01:30", YORK)
    assert held(second, YORK, quiet_windows=early).until_unix_ms == at("2026-11-01 01:30", YORK, fold=1)
    assert held(at("2026-11-01 01:45", YORK), YORK, quiet_windows=early).verdict == Verdict.PASS


def test_night_over_a_jump_ends_by_the_clock_of_the_morning() -> None:
    assert held(at("2026-03-28 23:00", LONDON), LONDON).until_unix_ms == at("2026-03-29 08:00", LONDON)


def test_zone_of_the_device_goes_before_the_users_the_apps_and_the_countrys() -> None:
    assert place(YORK, LONDON, SHANGHAI, "JP") == ((YORK,), ZoneSource.DEVICE)
    assert place("Mars/Base", LONDON, SHANGHAI, "JP") == ((LONDON,), ZoneSource.USER)
    assert place("", "../etc/passwd", SHANGHAI, "JP") == ((SHANGHAI,), ZoneSource.APP)
    assert place("localtime", "", "", "jp") == (("Asia/Tokyo",), ZoneSource.COUNTRY)
    assert place("", "", "", "XX") == ((), ZoneSource.WORLD)


def test_devices_are_held_each_by_its_own_zone() -> None:
    here, there = device(SHANGHAI), device(YORK)
    now = at("2026-03-03 12:00")
    decision = decide(policy(), message(), user(), now, [there, here])
    assert (decision.verdict, list(decision.devices)) == (Verdict.PASS, [here])
    (waits,) = decision.held
    assert (waits.device, waits.verdict, waits.reason) == (there, Verdict.DEFER, Reason.QUIET_HOURS)
    assert waits.until_unix_ms == at("2026-03-03 08:00", YORK)


def test_user_of_whom_every_device_sleeps_waits_for_the_first_to_wake() -> None:
    devices = [device("Asia/Kolkata"), device(SHANGHAI)]
    decision = decide(policy(), message(), user(), at("2026-03-03 03:00"), devices)
    assert (*ruling(decision), decision.until_unix_ms) == (*QUIET, at("2026-03-03 08:00"))


def test_users_zone_counts_for_other_channels() -> None:
    texted = user({("promotion", int(Channel.SMS)): True}, YORK)
    by_text = message(channels=(Channel.SMS,))
    assert decide(policy(), by_text, texted, at("2026-03-03 12:00"), [device(SHANGHAI)]).verdict == Verdict.DEFER


def test_the_apps_own_inbox_has_no_quiet_hours() -> None:
    reads = user({("promotion", int(Channel.IN_APP)): True})
    inside = message(channels=(Channel.IN_APP,))
    assert decide(policy(), inside, reads, at("2026-03-03 03:00")).verdict == Verdict.PASS


def test_without_a_zone_all_of_the_countrys_must_be_awake() -> None:
    # Hawaii wakes at 18:00 UTC, when New York has 13:00; at 16:00 UTC Hawaii still sleeps.
    american = {"zone": "", "country": "US"}
    assert held(at("2026-03-03 16:00", "UTC"), **american).until_unix_ms == at("2026-03-03 18:00", "UTC")  # type: ignore[arg-type]
    assert held(at("2026-03-03 20:00", "UTC"), **american).verdict == Verdict.PASS  # type: ignore[arg-type]


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_without_zone_and_country_a_night_is_never_over(hour: int) -> None:
    decision = held(at(f"2026-03-03 {hour:02}:00", "UTC"), "")
    assert ruling(decision) == (Verdict.SUPPRESS, Gate.QUIET_HOURS, Reason.QUIET_HOURS_NO_ZONE)


def test_without_zone_and_country_the_hours_that_suit_the_whole_world_are_taken() -> None:
    # Sunday has begun in Kiribati on Saturday 10:00 UTC, and ends in Samoa on Monday 11:00 UTC.
    sunday = (QuietWindow(0, 0, weekdays=1 << 6),)
    assert held(at("2026-03-07 09:59", "UTC"), "", quiet_windows=sunday).verdict == Verdict.PASS
    decision = held(at("2026-03-07 10:00", "UTC"), "", quiet_windows=sunday)
    assert (*ruling(decision), decision.until_unix_ms) == (*QUIET, at("2026-03-09 11:00", "UTC"))


def test_what_would_expire_in_the_night_is_suppressed() -> None:
    night, morning = at("2026-03-03 03:00"), at("2026-03-03 08:00")
    too_short = decide(policy(), message(expires=morning), user(), night)
    assert ruling(too_short) == (Verdict.SUPPRESS, Gate.QUIET_HOURS, Reason.EXPIRES_IN_QUIET_HOURS)
    assert decide(policy(), message(expires=morning + 1), user(), night).until_unix_ms == morning


def test_windows_without_end_suppress() -> None:
    always = (QuietWindow(0, 0),)
    assert ruling(held(at("2026-03-03 12:00"), quiet_windows=always))[2] == Reason.EXPIRES_IN_QUIET_HOURS


def test_jitter_is_the_same_for_the_same_user_and_message_and_spreads_over_its_bound() -> None:
    rules, now = app_rules(jitter_s=1_800), at("2026-03-03 03:00")
    what, crowd = message(), [user() for _ in range(500)]
    devices = [[device()] for _ in crowd]
    first, again = (policy(rules).decide_many(what, crowd, devices, now) for _ in range(2))
    waits = [one.until_unix_ms - at("2026-03-03 08:00") for one in first]
    assert waits == [one.until_unix_ms - at("2026-03-03 08:00") for one in again]
    assert min(waits) >= 0
    assert max(waits) <= 1_800_000
    tenths = [sum(tenth * 180_000 <= wait < (tenth + 1) * 180_000 for wait in waits) for tenth in range(10)]
    assert min(tenths) > 20
    other = policy(rules).decide_many(message(), crowd, devices, now)
    assert sum(a.until_unix_ms == b.until_unix_ms for a, b in zip(first, other, strict=True)) < 5


def test_jitter_goes_into_no_other_window_and_not_past_expiry() -> None:
    rules = app_rules(jitter_s=7_200, quiet_windows=(NIGHT, QuietWindow(8 * 60 + 10, 20 * 60)))
    now, opens = at("2026-03-03 03:00"), at("2026-03-03 08:00")
    crowd = [user() for _ in range(300)]
    for expires, closes in ((1 << 43, opens + 10 * MINUTE_MS), (opens + 3 * MINUTE_MS, opens + 3 * MINUTE_MS)):
        decisions = policy(rules).decide_many(message(expires=expires), crowd, [[device()]] * 300, now)
        assert {one.verdict for one in decisions} == {Verdict.DEFER}
        assert all(opens <= one.until_unix_ms < closes for one in decisions)


def test_vivo_devices_get_marketing_between_7_and_23_of_beijing_only() -> None:
    gates = policy(app_rules(quiet_windows=(), vendor_hours=(VIVO_HOURS,)))
    phones = [device(manufacturer="vivo"), device(manufacturer="OPPO")]
    decision = decide(gates, message(), user(time_zone=LONDON), at("2026-03-03 23:30"), phones)
    assert list(decision.devices) == phones[1:]
    assert decision.held[0].until_unix_ms == at("2026-03-04 07:00")
    assert len(decide(gates, message("upkeep"), user(), at("2026-03-03 23:30"), phones).devices) == 2


windows = st.builds(
    QuietWindow,
    st.integers(0, 1_439), st.integers(0, 1_440), st.integers(0, 127), st.sampled_from(["", "promotion", "survey"]),
    st.booleans(),
)  # fmt: skip
zones = st.sampled_from(
    [YORK, LONDON, SHANGHAI, "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "Africa/Casablanca",
     "America/St_Johns", "Pacific/Apia", "Asia/Tehran", "Africa/Cairo", "America/Santiago", ""]
)  # fmt: skip
# Around the days on which these zones change their clocks.
moments = st.one_of(
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-09-06", "2026-10-25", "2026-11-01", "2026-02-15"]),
    st.dates(datetime(2025, 1, 1).date(), datetime(2027, 12, 31).date()).map(str),  # noqa: DTZ001
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    mine=st.lists(windows, max_size=3), zone=zones, other=zones, country=st.sampled_from(["CN", "BR", "US", "GB"]),
    day=moments, minute=st.integers(-1_440, 2_880),
)  # fmt: skip
def test_a_wait_lasts_exactly_as_long_as_every_minute_of_it_is_quiet(
    mine: list[QuietWindow], zone: str, other: str, country: str, day: str, minute: int
) -> None:
    now = int((datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minute)).timestamp() * 1_000)
    rules, what = app_rules(), message(expires=now + 5 * DAY_MS)
    whom = Recipient("u", time_zone=zone, country=country, choices=YES, quiet_windows=tuple(mine))
    phone = device(other)
    decision = decide(policy(rules), what, whom, now, [phone])
    end = {Verdict.PASS: now, Verdict.DEFER: decision.until_unix_ms}.get(decision.verdict, what.expires_unix_ms)
    step = MINUTE_MS if decision.verdict != Verdict.SUPPRESS else 7 * MINUTE_MS
    quiet = [is_quiet(rules, what, whom, phone, moment) for moment in range(now, end, step)]
    assert all(quiet)
    if decision.verdict != Verdict.SUPPRESS:
        assert not is_quiet(rules, what, whom, phone, end)


@pytest.mark.parametrize("country", ["CN", "US", "BR", "RU", "AU", "ID", "GB", "IN", "MX", "KZ"])
def test_zones_of_countries_keep_the_same_clocks_as_the_databases_own_table(country: str) -> None:
    seasons = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))

    def clocks(names: tuple[str, ...]) -> set[tuple[timedelta | None, ...]]:
        return {tuple(moment.astimezone(ZoneInfo(name)).utcoffset() for moment in seasons) for name in names}

    assert clocks(place("", "", "", country).zones) == clocks(country_zones(country))
