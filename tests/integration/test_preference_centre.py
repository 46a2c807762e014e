"""The preference centre over a real socket: what it shows before it asks, and what it records of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from core.model import NotificationClass
from core.people import ConsentMethod, User
from core.policy.consent import standing
from core.policy.people import Category, LockScreenDetail, QuietWindow, Suppression
from core.policy.rules import AppRules
from gateway.settings.builtin_categories import BUILT_IN
from gateway.settings.components import WebSettings
from gateway.web.page_texts import BOTH, LANGUAGES
from tests.integration.page_stand import APP, EMAIL, NOW_MS, PUSH, SMS, USER, Page, Stand, page_stand

Fields = list[tuple[str, str]]


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with page_stand(tmp_path) as opened:
        yield opened


def with_field(fields: Fields, name: str, value: str) -> Fields:
    return [*(one for one in fields if one[0] != name), (name, value)]


def pressing_save(fields: Fields) -> Fields:
    return [*fields, ("action", "save")]


async def changed(stand: Stand, path: str, *changes: tuple[str, str], on: tuple[str, ...] = ()) -> Page:
    """Look at the page, change fields and tick boxes, and save."""
    fields = (await stand.get(path)).fields()
    for name, value in changes:
        fields = with_field(fields, name, value)
    return await stand.post(path, pressing_save([*fields, *(("on", pick) for pick in on)]))


async def test_each_category_tells_its_kind_and_purpose_before_it_asks(stand: Stand) -> None:
    for language in LANGUAGES:
        html = (await stand.get(f"{stand.centre()}?lang={language}")).html
        for one in BUILT_IN:
            at = html.index(f"<legend>{one.titles[language]} ")
            block = html[at : html.index("</fieldset>", at)]
            kind = BOTH[f"kind_{NotificationClass(one.klass).name}"][list(LANGUAGES).index(language)]
            assert block.index(kind) < block.index(one.purposes[language])
            asks = f":{one.name}" in block
            assert asks == (one.name not in ("payment", "account", "security"))
            assert not asks or block.index(one.purposes[language]) < block.index("<input")


async def test_nothing_of_marketing_is_ticked_in_advance(stand: Stand) -> None:
    fields = (await stand.get(stand.centre())).fields()
    assert {value.partition(":")[2] for name, value in fields if name == "on"} == {"service"}


async def test_saved_switches_are_consents_to_the_wording_that_was_shown(stand: Stand) -> None:
    await stand.says("loyalty", PUSH)
    path = f"{stand.centre()}?lang=zh-CN"
    fields = [one for one in (await stand.get(path)).fields() if one not in (("on", "1:loyalty"), ("on", "2:service"))]
    saved = await stand.post(path, pressing_save([*fields, ("on", "3:promotion")]))
    assert (saved.status, saved.headers["Location"]) == (303, "?saved=saved&lang=zh-CN#notice")
    lines = (await stand.history())[:-1]
    said = {(one.category, one.channel): one for one in lines}
    assert {scope: one.granted for scope, one in said.items()} == {
        ("promotion", EMAIL): True, ("loyalty", PUSH): False, ("service", SMS): False,
    }  # fmt: skip
    assert {(one.method, one.said_unix_ms, one.actor) for one in lines} == {
        (ConsentMethod.PREFERENCE_CENTRE, NOW_MS, "user")
    }
    assert said["promotion", EMAIL].wording_version.startswith("zh-CN:")
    assert all(len(one.wording_version) <= 64 and len(one.evidence) <= 256 for one in lines)
    assert said["promotion", EMAIL].wording_version != said["loyalty", PUSH].wording_version
    assert "您的设置已保存" in (await stand.get(f"{path}&saved=saved")).html


async def test_a_wording_has_one_version_until_a_word_of_it_changes(tmp_path: Path) -> None:
    versions = []
    for name, purpose in (("a", "Offers."), ("b", "Offers."), ("c", "More offers.")):
        category = Category("promotion", NotificationClass.MARKETING, False, purposes={"en": purpose})
        (tmp_path / name).mkdir()
        async with page_stand(tmp_path / name, rules=AppRules(APP, (category,))) as stand:
            await changed(stand, stand.centre(), on=("1:promotion",))
            versions.append((await stand.history())[0].wording_version)
    assert versions[0] == versions[1] != versions[2]


async def test_named_wordings_are_recorded_by_the_newest_with_the_texts_as_evidence(tmp_path: Path) -> None:
    rules = AppRules(APP, BUILT_IN, wording_versions=("2026-01", "2026-07"))
    async with page_stand(tmp_path, rules=rules) as stand:
        await changed(stand, stand.centre(), on=("1:news",))
        (line,) = await stand.history()
        assert line.wording_version == "2026-07"
        assert rules.takes_wording(line.wording_version)
        assert ", wording en:" in line.evidence


async def test_saving_what_is_so_already_records_nothing(stand: Stand) -> None:
    await stand.says("news", EMAIL)
    before = (await stand.recipient(), await stand.history())
    assert (await changed(stand, stand.centre())).headers["Location"].startswith("?saved=unchanged")
    assert (await stand.recipient(), await stand.history()) == before


async def test_a_form_sent_twice_is_recorded_once(stand: Stand) -> None:
    path = stand.centre()
    fields = pressing_save([*(await stand.get(path)).fields(), ("on", "1:news")])
    assert [(await stand.post(path, fields)).status for _ in range(2)] == [303, 303]
    assert len(await stand.history()) == 1


async def test_an_answer_given_elsewhere_meanwhile_is_not_overwritten(stand: Stand) -> None:
    await stand.says("promotion", PUSH)
    path = stand.centre()
    stale = pressing_save([*(await stand.get(path)).fields(), ("on", "1:news")])
    await stand.post(stand.link(), {"List-Unsubscribe": "One-Click"})
    page = await stand.post(path, stale)
    assert (page.status, "changed elsewhere" in page.html) == (409, True)
    assert ("on", "1:promotion") not in page.fields()
    assert len(await stand.history()) == 2
    assert (await stand.post(path, pressing_save([*page.fields(), ("on", "1:news")]))).status == 303


async def test_one_button_stops_all_advertising_and_nothing_else(stand: Stand) -> None:
    for category, channel in (("promotion", PUSH), ("news", EMAIL), ("service", SMS)):
        await stand.says(category, channel)
    path = stand.centre()
    stop = (await stand.get(path)).fields("stop-all")
    assert [(await stand.post(path, stop)).headers["Location"][:9] for _ in range(2)] == ["?saved=sa", "?saved=un"]
    recipient = await stand.recipient()
    allowed = {one.name for one in BUILT_IN if standing(one, SMS, recipient, NOW_MS).allowed}
    assert allowed == {"payment", "account", "security", "service"}
    (line, *_) = await stand.history()
    assert (line.category, line.channel, line.granted, line.method) == ("", 0, False, ConsentMethod.PREFERENCE_CENTRE)


async def test_quiet_hours_are_stored_shown_and_given_back_to_the_app(stand: Stand) -> None:
    path = stand.centre()
    own = (("quiet", "own"), ("from", "21:30"), ("until", "07:15"))
    await changed(stand, path, *own)
    assert (await stand.recipient()).quiet_windows == (QuietWindow(1290, 435),)
    await changed(stand, path, ("weekend", "1"), ("holidays", "1"))
    assert (await stand.recipient()).quiet_windows == (QuietWindow(1290, 435, holidays=True), QuietWindow(0, 1440, 96))
    shown = dict((await stand.get(path)).fields())
    assert {name: shown[name] for name in ("quiet", "from", "until", "weekend", "holidays")} == {
        "quiet": "own", "from": "21:30", "until": "07:15", "weekend": "1", "holidays": "1",
    }  # fmt: skip
    await changed(stand, path, ("quiet", "app"))
    assert (await stand.recipient()).quiet_windows == ()
    assert await stand.history() == []


@pytest.mark.parametrize(("begins", "ends"), [("", "07:00"), ("22:00", "22:00"), ("25:00", "07:00"), ("x", "y")])
async def test_wrong_hours_are_told_and_nothing_is_stored(stand: Stand, begins: str, ends: str) -> None:
    changes = (("quiet", "own"), ("from", begins), ("until", ends))
    page = await changed(stand, stand.centre(), *changes, on=("1:news",))
    assert (page.status, "give both times" in page.html) == (422, True)
    assert ("on", "1:news") in page.fields()
    assert ((await stand.recipient()).quiet_windows, await stand.history()) == ((), [])


async def test_hours_that_the_form_cannot_show_are_kept(stand: Stand) -> None:
    windows = (QuietWindow(600, 700, 1, "news"), QuietWindow(0, 1440))
    await stand.people.set_quiet_windows(APP, USER, windows)
    page = await stand.get(stand.centre())
    assert ("quiet", "keep") in page.fields()
    await changed(stand, stand.centre(), on=("1:news",))
    assert set((await stand.recipient()).quiet_windows) == set(windows)


async def test_language_zone_lock_screen_and_too_many_are_stored_and_shown(stand: Stand) -> None:
    changes = (("locale", "zh-CN"), ("zone", "Asia/Shanghai"), ("lock", "FULL"), ("often", "1"))
    await changed(stand, stand.centre(), *changes)
    recipient = await stand.recipient()
    assert (recipient.locale, recipient.time_zone) == ("zh-CN", "Asia/Shanghai")
    assert (recipient.lock_screen, recipient.too_many) == (LockScreenDetail.FULL, True)
    page = await stand.get(stand.centre())
    assert page.headers["Content-Language"] == "zh-CN"
    assert set(changes) <= set(page.fields())
    await changed(stand, stand.centre(), ("locale", ""), ("zone", ""), ("lock", "UNSET"))
    blank = replace(recipient, locale="", time_zone="", lock_screen=LockScreenDetail.UNSET)
    assert await stand.recipient() == blank


async def test_other_fields_of_a_user_stay_as_they_are(stand: Stand) -> None:
    user = User(APP, USER, locale="de-DE", time_zone="Europe/Berlin", tags=("vip",), tier="gold", email="a@example.org")
    await stand.upsert(user, "locale", "time_zone", "tags", "tier", "email")
    page = await stand.get(stand.centre())
    assert {("locale", "de-DE"), ("zone", "Europe/Berlin")} <= set(page.fields())
    assert "a@example.org" not in page.html
    await changed(stand, stand.centre(), ("lock", "MASKED"))
    found = await stand.people.get(APP, USER)
    assert found is not None
    assert (found.locale, found.tags, found.tier, found.email) == ("de-DE", ("vip",), "gold", "a@example.org")
    assert found.lock_screen == LockScreenDetail.MASKED


async def test_only_what_was_offered_can_be_said(stand: Stand) -> None:
    wrong = ("1:security", "1:gone", "9:news", "0:news", "1:", "news", "1:news,3:news")
    page = await changed(stand, stand.centre(), ("zone", "Nowhere/Else"), ("locale", "xx"), ("lock", "ALL"), on=wrong)
    assert page.headers["Location"].startswith("?saved=unchanged")
    assert await stand.history() == []


async def test_a_form_from_elsewhere_or_of_another_link_is_refused(stand: Stand) -> None:
    path = stand.centre()
    fields = pressing_save([*(await stand.get(path)).fields(), ("on", "1:news")])
    assert (await stand.post(path, fields, Sec_Fetch_Site="cross-site")).status == 403
    assert (await stand.post(stand.centre(), fields)).status == 403
    assert (await stand.post(path, with_field(fields, "proof", "1.x"))).status == 403
    assert (await stand.post(path, [("on", "1:news"), ("action", "save")])).status == 403
    assert (await stand.post(path, [("action", "stop_all")])).status == 403
    stand.clock.now_ms += 13 * 3_600_000
    assert (await stand.post(path, fields)).status == 403
    assert await stand.history() == []


async def test_a_link_to_unsubscribe_is_none_to_the_preference_centre(stand: Stand) -> None:
    assert (await stand.get(stand.link().replace("/u/", "/p/"))).status == 404


async def test_what_is_paused_says_so_and_keeps_the_choice(stand: Stand) -> None:
    await stand.says("news", PUSH)
    await stand.people.suppress(APP, USER, Suppression("news", 0, includes_transactional=False, reason="complaint"))
    page = await stand.get(stand.centre())
    assert page.html.count(BOTH["paused"][0]) == 1
    assert ("on", "1:news") in page.fields()
    assert "complaint" not in page.html


async def test_texts_of_the_settings_and_of_users_cannot_become_markup(tmp_path: Path) -> None:
    bad = '<script>alert("1")</script>'
    category = Category("promotion", NotificationClass.MARKETING, False, titles={"en": bad}, purposes={"en": bad})
    web = WebSettings(listen="127.0.0.1:0", public_url="http://localhost", app_names={APP: bad})
    async with page_stand(tmp_path, rules=AppRules(APP, (category,)), settings=web) as stand:
        await stand.upsert(User(APP, USER, time_zone=bad), "time_zone")
        for path in (stand.centre(), stand.link()):
            html = (await stand.get(f"{path}?lang=%3Cscript%3E&saved=%3Cscript%3E")).html
            assert "<script" not in html
            assert "&lt;script&gt;" in html


async def test_channels_that_the_app_does_not_use_are_not_offered_and_stay_as_they_are(tmp_path: Path) -> None:
    web = WebSettings(listen="127.0.0.1:0", public_url="http://localhost", channels=("push", "email"))
    async with page_stand(tmp_path, settings=web) as stand:
        await stand.says("news", SMS)
        page = await stand.get(stand.centre())
        assert {value[:1] for name, value in page.fields() if name == "on"} == {"1", "3"}
        await changed(stand, stand.centre(), on=("1:promotion",))
        assert (await stand.recipient()).choices == {("news", SMS): True, ("promotion", PUSH): True}


@pytest.mark.parametrize("klass", [NotificationClass.SERVICE, NotificationClass.TRANSACTIONAL])
async def test_a_category_is_offered_where_users_may_disable_it(tmp_path: Path, klass: NotificationClass) -> None:
    free, bound = Category("free", klass), Category("bound", klass, user_may_disable=False)
    async with page_stand(tmp_path, rules=AppRules(APP, (free, bound))) as stand:
        fields = (await stand.get(stand.centre())).fields()
        assert {value.partition(":")[2] for name, value in fields if name == "on"} == {"free"}
        await stand.post(stand.centre(), pressing_save([one for one in fields if one[0] != "on"]))
        assert await stand.history() == []
        path = stand.centre()
        fields = (await stand.get(path)).fields()
        await stand.post(path, pressing_save([one for one in fields if one != ("on", "2:free")]))
        assert [(one.category, one.channel, one.granted) for one in await stand.history()] == [("free", SMS, False)]


async def test_a_store_that_cannot_be_written_is_told_and_nothing_is_lost_in_silence(stand: Stand) -> None:
    path = stand.centre()
    fields = pressing_save([*(await stand.get(path)).fields(), ("on", "1:news")])
    await stand.people.close()
    page = await stand.post(path, fields)
    assert (page.status, page.headers["Retry-After"], "try again" in page.html) == (503, "5", True)


def test_every_text_is_there_in_both_languages() -> None:
    assert all(english and chinese and english != chinese for english, chinese in BOTH.values())
    assert all(any("一" <= letter <= "鿿" for letter in chinese) for _, chinese in BOTH.values())
