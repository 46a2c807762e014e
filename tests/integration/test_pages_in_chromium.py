"""The pages in Chromium, with and without JavaScript: users find their way, and what is shown fits and can be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pytest
import pytest_asyncio

from core.people import ConsentMethod, User
from core.policy.people import LockScreenDetail, QuietWindow
from tests.integration.browser import Browser, Screen, chromium
from tests.integration.page_stand import APP, EMAIL, PUSH, USER, Stand, page_stand

T = TypeVar("T")
SCREENS = (Screen(375, 812), Screen(375, 812, dark=True), Screen(1280, 900), Screen(320, 640))
# Against its nearest background that is not transparent. https://www.w3.org/TR/WCAG22/#contrast-minimum
LOW_CONTRAST = """
const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(v =>
  v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll('h1, h2, p, legend, label span, .badge, .button, a, li')].filter(e => e.innerText)
  .map(e => [light(getComputedStyle(e).color), light(behind(e)), e.innerText])
  .filter(([a, b]) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5).map(one => one[2]);
"""
UNNAMED = """
return [...document.querySelectorAll('input:not([type=hidden]), select')]
  .filter(e => !e.labels.length || !e.labels[0].innerText.trim()).map(e => e.outerHTML)
  .concat([...document.querySelectorAll('fieldset')]
    .filter(e => !e.querySelector('legend') && !e.getAttribute('aria-labelledby')).map(e => e.outerHTML));
"""
SMALL = """
return [...document.querySelectorAll('label, .button, select, input[type=time], nav a')]
  .filter(e => { const r = e.getBoundingClientRect(); return r.height < 24 || r.width < 24; }).map(e => e.outerHTML);
"""


@pytest.fixture(scope="module", params=[False, True], ids=["without scripts", "with scripts"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with chromium(scripts=bool(request.param)) as opened:
        yield opened


@pytest.fixture(scope="module")
def looking() -> Iterator[Browser]:
    with chromium(scripts=True) as opened:
        yield opened


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with page_stand(tmp_path) as opened:
        yield opened


async def beside(act: Callable[[], T]) -> T:
    """Let the browser act while this loop serves it."""
    return await asyncio.to_thread(act)


@pytest.mark.timeout(180)
def test_a_browser_without_scripts_runs_none(browser: Browser, request: pytest.FixtureRequest) -> None:
    browser.open("data:text/html,<title>still</title><script>document.title = 'ran'</script>")
    assert browser.driver.title == ("ran" if "with scripts" in request.node.name else "still")


@pytest.mark.timeout(180)
async def test_the_checks_of_what_is_shown_find_what_is_wrong(looking: Browser) -> None:
    looking.open(
        "data:text/html,<p style='color:%23999'>pale</p><label><input type=checkbox></label><fieldset></fieldset>"
        "<a class=button style='display:block;width:9px;height:9px;overflow:hidden'>x</a>"
    )
    assert looking.ask(LOW_CONTRAST) == ["pale"]
    assert [str(one)[:9] for one in cast("list[str]", looking.ask(UNNAMED))] == ["<input ty", "<fieldset"]
    assert len(cast("list[str]", looking.ask(SMALL))) == 2


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("language", "ask", "done", "undone"),
    [
        ("en", "Stop these messages?", "You are unsubscribed", "You are subscribed again"),
        ("zh-CN", "确定不再接收以下信息吗？", "您已退订", "已恢复订阅"),
    ],
)
async def test_a_user_unsubscribes_and_thinks_again(
    stand: Stand, browser: Browser, language: str, ask: str, done: str, undone: str
) -> None:
    await stand.says("promotion", EMAIL)
    await stand.upsert(User(APP, USER, locale=language), "locale")

    def act() -> list[str]:
        browser.open(f"{stand.base}{stand.link('promotion', EMAIL)}")
        seen = [browser.text("h1")]
        for button in ("form button", ".undo button"):
            browser.follow(button)
            seen.append(browser.text("h1").removeprefix("✓ "))
        browser.follow(".more a")
        return [*seen, browser.one('[value="3:promotion"]').get_attribute("checked") or ""]

    assert await beside(act) == [ask, done, undone, "true"]
    assert [line.granted for line in await stand.history()] == [True, False, True]


@pytest.mark.timeout(180)
async def test_opening_and_loading_again_changes_nothing(stand: Stand, browser: Browser) -> None:
    await stand.says("promotion", EMAIL)
    before = (await stand.recipient(), await stand.history())

    def act() -> None:
        for path in (stand.link(), stand.centre()):
            browser.open(f"{stand.base}{path}")
            browser.driver.refresh()

    await beside(act)
    assert (await stand.recipient(), await stand.history()) == before


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("language", "saved"), [("en", "Your settings are saved."), ("zh-CN", "您的设置已保存。")])
async def test_a_user_sets_everything_and_finds_it_kept(
    stand: Stand, browser: Browser, language: str, saved: str
) -> None:
    await stand.says("loyalty", PUSH)

    def act() -> str:
        browser.open(f"{stand.base}{stand.centre()}")
        browser.follow(f'nav a[lang="{language}"]')
        for pick in ("3:promotion", "1:loyalty", "2:service"):
            browser.click(f'[value="{pick}"]')
        for name, value in (("often", "1"), ("quiet", "own"), ("weekend", "1"), ("lock", "FULL")):
            browser.click(f'[name="{name}"][value="{value}"]')
        browser.one('[name="from"]').send_keys("0930PM")
        browser.one('option[value="zh-CN"]').click()
        browser.one('option[value="Asia/Shanghai"]').click()
        browser.follow('[value="save"]')
        browser.driver.refresh()
        return browser.text("#notice")

    assert await beside(act) == saved
    recipient = await stand.recipient()
    assert recipient.quiet_windows == (QuietWindow(1290, 480), QuietWindow(0, 1440, 96))
    assert (recipient.locale, recipient.time_zone, recipient.too_many) == ("zh-CN", "Asia/Shanghai", True)
    assert recipient.lock_screen == LockScreenDetail.FULL
    (*lines, _) = await stand.history()
    assert {(one.category, one.channel, one.granted) for one in lines} == {
        ("promotion", 3, True), ("loyalty", 1, False), ("service", 2, False),
    }  # fmt: skip
    assert all(one.method == ConsentMethod.PREFERENCE_CENTRE for one in lines)
    assert all(one.wording_version.startswith(f"{language}:") for one in lines)


@pytest.mark.timeout(180)
async def test_one_button_stops_all_advertising(stand: Stand, browser: Browser) -> None:
    await stand.says("news", PUSH)

    def act() -> tuple[str, str | None]:
        browser.open(f"{stand.base}{stand.centre()}?lang=en")
        browser.follow('[form="stop-all"]')
        return browser.text("#notice"), browser.one('[value="1:news"]').get_attribute("checked")

    assert await beside(act) == ("Your settings are saved.", None)
    assert not any((await stand.recipient()).choices.values())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("screen", SCREENS, ids=lambda one: f"{one.width}{' dark' if one.dark else ''}")
async def test_pages_fit_their_screen_and_can_be_read_and_named(
    stand: Stand, looking: Browser, screen: Screen
) -> None:
    await stand.says("promotion", PUSH)
    paths = [f"{path}?lang={language}" for path in (stand.centre(), stand.link()) for language in ("en", "zh-CN")]

    def faults(path: str) -> dict[str, object]:
        looking.open(f"{stand.base}{path}", screen)
        found = {
            "wider than its screen": looking.ask("return document.documentElement.scrollWidth > innerWidth"),
            "hard to read": looking.ask(LOW_CONTRAST), "without a name": looking.ask(UNNAMED),
            "too small": looking.ask(SMALL), "refused by its policy": looking.refusals(),
        }  # fmt: skip
        return {what: one for what, one in found.items() if one}

    assert await beside(lambda: [found for path in [*paths, "/u/nothing"] if (found := faults(path))]) == []
