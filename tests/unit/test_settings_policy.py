"""Settings of policy: what they mean to the gates, their defaults, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.model import NotificationClass
from core.policy.caps import AdaptiveWeek, CapFilter, CapRule, OverCap, Window
from core.policy.people import LockScreenDetail, QuietWindow
from core.policy.rules import AppRules, Backlog
from gateway.settings.loading import SettingsError, load
from gateway.settings.policy import CategorySettings, PolicySettings, parse_window

NIGHT = QuietWindow(22 * 60, 8 * 60)


def rules(tmp_path: Path, text: str) -> AppRules:
    """Load an app with these lines behind it; return its rules."""
    account = tmp_path / "account.json"
    account.write_text("{}")
    account.chmod(0o600)
    path = tmp_path / "walletpush.toml"
    head = '[[apps]]\nid = "wallet"\n[apps.fcm]\nproject_id = "p"\nservice_account_file = "account.json"\n'
    path.write_text(head + text)
    return load(path, {}).apps[0].rules()


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as raised:
        rules(tmp_path, text)
    return {problem.path.removeprefix("apps[0]."): problem.reason for problem in raised.value.problems}


def test_an_app_that_says_nothing_has_sane_rules(tmp_path: Path) -> None:
    found = rules(tmp_path, "")
    names = [one.name for one in found.categories]
    assert names == ["payment", "account", "security", "service", "promotion", "loyalty", "survey", "news"]
    # Its own defaults are the gates' own, so that both are looked at in one place.
    assert dataclasses.replace(AppRules("wallet"), categories=found.categories) == found
    assert found.quiet_windows == (NIGHT,)
    assert found.caps[0] == CapRule("marketing_week", 3, adaptive=True)


def test_built_in_categories_say_in_both_languages_what_they_are_for(tmp_path: Path) -> None:
    for one in rules(tmp_path, "").categories:
        assert set(one.titles) == set(one.purposes) == {"en", "zh-CN"}
        assert all(one.titles.values())
        assert all(one.purposes.values())
        assert one.default_on is (one.klass != NotificationClass.MARKETING)
        assert one.user_may_disable is (one.klass >= NotificationClass.SERVICE)


def test_every_setting_reaches_the_rules(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        """
        [[apps.categories]]
        name = "offers"
        notification_class = "marketing"
        quiet_windows = ["12:00-14:00 sat,sun"]
        titles = { en = "Offers" }
        [[apps.categories]]
        name = "upkeep"
        notification_class = "service"
        default_on = false
        user_may_disable = false
        quiet = false
        [apps.policy]
        time_zone = "Asia/Shanghai"
        country = "CN"
        currency = "CNY"
        default_locale = "zh-CN"
        quiet_windows = ["21:30-09:00 mon-fri holidays"]
        service_is_quiet = false
        jitter_s = 60
        after_quiet = "summary"
        summary_titles = { de = "Brieftasche" }
        summary_bodies = { de = "{count} neue Nachrichten" }
        lock_screen = "full"
        vendor_quotas = false
        max_cap_wait_s = 3600
        wording_versions = ["2026-01", "2026-07"]
        [[apps.policy.caps]]
        name = "offers_day"
        limit = 1
        window = "day"
        classes = ["marketing", "service"]
        category = "offers"
        channel = "push"
        tag = "spring"
        over = "in_app_only"
        [apps.policy.adaptive]
        active_days = 3
        most = 5
        """,
    )
    assert [(one.name, one.default_on, one.user_may_disable) for one in found.categories] == [
        ("offers", False, True),
        ("upkeep", False, False),
    ]
    assert found.quiet_windows == (
        QuietWindow(21 * 60 + 30, 9 * 60, 0b11111, holidays=True),
        QuietWindow(12 * 60, 14 * 60, 0b1100000, "offers"),
    )
    wanted = CapFilter(frozenset({NotificationClass.MARKETING, NotificationClass.SERVICE}), "offers", 1, "spring")
    assert found.caps == (CapRule("offers_day", 1, 7 * 86_400, Window.DAY, wanted, OverCap.IN_APP_ONLY),)
    assert found.adaptive == AdaptiveWeek(active_days=3, most=5)
    assert (found.time_zone, found.country, found.currency) == ("Asia/Shanghai", "CN", "CNY")
    assert (found.default_locale, found.lock_screen, found.backlog) == ("zh-CN", LockScreenDetail.FULL, Backlog.SUMMARY)
    assert found.summary_texts == {"de": ("Brieftasche", "{count} neue Nachrichten")}
    assert (found.vendor_hours, found.jitter_s, found.max_cap_wait_s) == ((), 60, 3_600)
    assert (found.service_is_quiet, found.never_quiet) == (False, frozenset({"upkeep"}))
    assert [found.takes_wording(one) for one in ("2025-07", "2026-01", "2026-07")] == [False, True, True]


def test_news_apps_have_larger_vendor_quotas(tmp_path: Path) -> None:
    found = rules(tmp_path, "[apps.policy]\nnews_app = true\ncaps = []\n")
    assert {(one.filter.manufacturer, one.limit) for one in found.caps} == {
        ("huawei", 5), ("honor", 5), ("oppo", 5), ("vivo", 5)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("22:00-08:00", NIGHT),
        ("00:00-24:00", QuietWindow(0, 1_440)),
        ("09:30-09:30 wed", QuietWindow(570, 570, 0b100)),
        ("22:00-08:00 fri-mon", NIGHT._replace(weekdays=0b1110001)),
        ("22:00-08:00 mon,wed-thu holidays", NIGHT._replace(weekdays=0b1101, holidays=True)),
    ],
)
def test_windows_are_read_as_people_write_them(text: str, window: QuietWindow) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text", ["", "22-8", "22:00", "24:00-08:00", "22:60-08:00", "22:00-24:01", "22:00-08:00 noday", "22:00-08:00 mon-"]
)
def test_windows_that_cannot_be_read_are_told_how(text: str) -> None:
    with pytest.raises(ValueError, match='must read like "22:00-08:00"'):
        parse_window(text)


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ('[[apps.categories]]\nname = "a"\nnotification_class = "marketing"\ndefault_on = true', "categories[0]",
         "a: marketing is never on by default, it needs each user's consent"),
        ('[[apps.categories]]\nname = "a"\nnotification_class = "marketing"\nuser_may_disable = false', "categories[0]",
         "a: users may always say no to marketing"),
        ('[[apps.categories]]\nname = "a"\nnotification_class = "transactional"\ndefault_on = false', "categories[0]",
         "a: transactional is always on by default"),
        ('[[apps.categories]]\nname = "a"\nnotification_class = "service"\n' * 2, "",
         "categories: a is named 2 times"),
        ('[apps.policy]\ntime_zone = "Mars/Phobos"', "policy.time_zone",
         "Mars/Phobos is no zone of the time zone database"),
        ('[apps.policy]\ncountry = "cn"', "policy.country", "cn is no country of ISO 3166, two capital letters"),
        ('[[apps.policy.caps]]\nname = "a"\nlimit = 1\nclasses = ["security"]', "policy.caps[0]",
         "a: security is never counted or held back"),
        ('[[apps.policy.caps]]\nname = "a"\nlimit = 1\n' * 2, "policy", "caps: a is named 2 times"),
        ('[[apps.policy.caps]]\nname = "a"\nlimit = 1\ncategory = "ofers"', "",
         "policy.caps: a counts ofers, which is no category of the app"),
        ('[apps.policy]\nsummary_titles = { de = "" }\nsummary_bodies = { de = "Neues" }', "policy",
         "summary_bodies: de does not tell {count}"),
        ('[apps.policy]\nsummary_titles = { de = "" }', "policy",
         "summary_titles and summary_bodies must be in the same languages, one at least"),
        ("[apps.policy.adaptive]\nmost = 1", "policy.adaptive", "fewest, usual and most must ascend"),
        ("[apps.policy]\nquite_windows = []", "policy.quite_windows",
         "unknown key apps[0].policy.quite_windows, did you mean apps[0].policy.quiet_windows?"),
    ],
)  # fmt: skip
def test_wrong_settings_are_told_where_and_why(tmp_path: Path, text: str, path: str, why: str) -> None:
    found = {where.removeprefix("apps[0]"): reason for where, reason in problems(tmp_path, text).items()}
    assert found == {path: why}


def test_settings_can_be_made_without_a_file() -> None:
    one = CategorySettings(name="offers", notification_class="marketing")
    assert PolicySettings().to_rules("wallet", (one,)).first_category(NotificationClass.MARKETING) == one.to_category()
