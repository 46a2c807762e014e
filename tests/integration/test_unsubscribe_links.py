"""Unsubscribing by link over a real socket: a look changes nothing, one click does, a second thought takes it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from adapters.hotstate import shared_file
from core.model import NotificationClass
from core.people import ConsentMethod
from core.policy.consent import standing
from core.policy.people import Suppression
from core.policy.rules import AppRules
from core.token_buckets import Rate
from gateway.people_parts import link_maker, make_pages, prepare_people
from gateway.pipeline.clock import SystemClock
from gateway.settings.apps import AppSettings
from gateway.settings.builtin_categories import BUILT_IN
from gateway.settings.components import WebSettings
from gateway.settings.policy import PolicySettings
from gateway.settings.root import Settings
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.listener import WebListener
from gateway.web.page_limits import PageLimits
from tests.integration.page_stand import APP, EMAIL, NOW_MS, ONE_CLICK, PUSH, SMS, USER, Stand, page_stand

AS_FILE = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"; filename="f"\r\n\r\nOne-Click\r\n--x--'


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with page_stand(tmp_path) as opened:
        yield opened


async def allowed(stand: Stand, category: str, channel: int) -> bool:
    known = next(one for one in BUILT_IN if one.name == category)
    return standing(known, channel, await stand.recipient(), stand.clock.now_ms).allowed


async def test_scanners_that_follow_every_link_change_nothing(stand: Stand) -> None:
    await stand.says("promotion", EMAIL)
    before = (await stand.recipient(), await stand.history())
    for path in (stand.link(), stand.link("promotion", EMAIL), stand.centre()):
        page = await stand.get(path)
        assert (page.status, "Offers" in page.html) == (200, True)
        assert (await stand.get(f"{path}?answer=stop&List-Unsubscribe=One-Click")).status == 200
        async with stand.client.head(path) as head, stand.client.options(path) as options:
            assert (head.status, await head.read()) == (200, b"")
            assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")
        async with stand.client.put(path, data=ONE_CLICK) as put:
            assert put.status == 405
    assert (await stand.recipient(), await stand.history()) == before


@pytest.mark.parametrize("multipart", [False, True])
async def test_one_click_unsubscribes_without_cookie_or_redirect(stand: Stand, multipart: bool) -> None:
    await stand.says("promotion", EMAIL)
    await stand.says("promotion", PUSH)
    form = aiohttp.FormData(ONE_CLICK, default_to_multipart=multipart)
    page = await stand.post(stand.link("promotion", EMAIL), form)
    assert page.status == 200
    assert not {"Location", "Set-Cookie"} & page.headers.keys()
    assert not await allowed(stand, "promotion", EMAIL)
    assert await allowed(stand, "promotion", PUSH)
    (line, *_) = await stand.history()
    assert (line.category, line.channel, line.granted) == ("promotion", EMAIL, False)
    assert (line.method, line.said_unix_ms, line.actor) == (ConsentMethod.UNSUBSCRIBE_LINK, NOW_MS, "user")
    assert line.evidence.startswith("link ")
    assert USER not in line.evidence


async def test_a_click_repeated_is_recorded_once(stand: Stand) -> None:
    await stand.says("news", EMAIL)
    link = stand.link()
    assert [(await stand.post(link, ONE_CLICK)).status for _ in range(5)] == [200] * 5
    assert [line.granted for line in await stand.history()] == [False, True]


async def test_no_to_all_marketing_leaves_payments_security_and_service_alone(stand: Stand) -> None:
    await stand.says("promotion", SMS)
    await stand.says("service", SMS)
    await stand.post(stand.link(), ONE_CLICK)
    found = [(one.name, one.klass, await allowed(stand, one.name, SMS)) for one in BUILT_IN]
    assert [name for name, klass, on in found if on != (klass != NotificationClass.MARKETING)] == []


async def test_an_undo_gives_back_what_was_on_and_nothing_more_with_its_wording_on_record(stand: Stand) -> None:
    await stand.says("promotion", EMAIL)
    await stand.says("news", PUSH)
    link = stand.link()
    done = await stand.post(f"{link}?lang=zh-CN", ONE_CLICK)
    assert "重新接收" in done.html
    fields = dict(done.fields("restore"))
    assert fields["restore"] == "1:news,3:promotion"
    undone = await stand.post(f"{link}?lang=zh-CN", {**fields, "answer": "undo"})
    assert (undone.status, "已恢复订阅" in undone.html) == (200, True)
    marketing = [one.name for one in BUILT_IN if one.klass == NotificationClass.MARKETING]
    asked = [(name, channel) for name in marketing for channel in (PUSH, SMS, EMAIL)]
    assert [one for one in asked if await allowed(stand, *one)] == [("promotion", EMAIL), ("news", PUSH)]
    again = (await stand.history())[:2]
    assert {line.method for line in again} == {ConsentMethod.PREFERENCE_CENTRE}
    assert all(line.wording_version.startswith("zh-CN:") and line.evidence.startswith("link ") for line in again)


async def test_an_undo_grants_nothing_that_it_was_not_shown_for(stand: Stand) -> None:
    await stand.says("promotion", EMAIL)
    link = stand.link()
    fields = {**dict((await stand.post(link, ONE_CLICK)).fields("restore")), "answer": "undo"}
    wrong = (
        {**fields, "restore": "3:promotion,1:promotion"}, {**fields, "proof": "1.x"}, {**fields, "restore": ""},
        {"answer": "undo"}, {**fields, "proof": fields["proof"] + "0"},
    )  # fmt: skip
    assert [(await stand.post(link, one)).status for one in wrong] == [403] * len(wrong)
    assert (await stand.post(stand.link(), fields)).status == 403
    assert (await stand.post(link, fields, Sec_Fetch_Site="cross-site")).status == 403
    stand.clock.now_ms += 13 * 3_600_000
    assert (await stand.post(link, fields)).status == 403
    assert len(await stand.history()) == 2


async def test_an_undo_counts_once_and_not_after_another_answer(stand: Stand) -> None:
    await stand.says("promotion", EMAIL)
    link = stand.link("promotion", EMAIL)
    undo = {**dict((await stand.post(link, ONE_CLICK)).fields("restore")), "answer": "undo"}
    assert (await stand.post(link, undo)).status == 200
    assert (await stand.post(link, undo)).status == 403
    stand.clock.now_ms += 1_000
    await stand.says("news", PUSH)
    await stand.post(link, ONE_CLICK)
    assert (await stand.post(link, undo)).status == 403
    assert not await allowed(stand, "promotion", EMAIL)


async def test_what_cannot_be_switched_off_says_why_and_records_nothing(stand: Stand) -> None:
    for category in ("security", "payment"):
        assert "cannot be switched off" in (await stand.get(stand.link(category))).html
        assert (await stand.post(stand.link(category), ONE_CLICK)).status == 409
    assert await stand.history() == []


async def test_a_category_that_has_left_the_settings_can_still_be_refused(stand: Stand) -> None:
    assert (await stand.post(stand.link("gone", EMAIL), ONE_CLICK)).status == 200
    assert [(line.category, line.granted) for line in await stand.history()] == [("gone", False)]


async def test_a_suppressed_user_is_asked_and_recorded_all_the_same(stand: Stand) -> None:
    await stand.says("news", EMAIL)
    await stand.people.suppress(APP, USER, Suppression("", 0, includes_transactional=False, reason="bounce"))
    assert "restore" in dict((await stand.post(stand.link("news"), ONE_CLICK)).fields("restore"))


async def test_links_that_do_not_open_are_told_apart_and_name_nobody(stand: Stand) -> None:
    link = stand.link()
    wrong = (link[:-1], f"{link}A", "/u/x", stand.centre().replace("/p/", "/u/"))
    pages = [await stand.post(path, ONE_CLICK) for path in wrong]
    assert {page.status for page in pages} == {404}
    assert (await stand.get(stand.link(app="other"))).status == 410
    stand.clock.now_ms += 61 * 86_400_000
    late = await stand.post(link, ONE_CLICK)
    assert (late.status, "expired" in late.html) == (410, True)
    assert all(USER not in page.html and APP not in page.html for page in (late, *pages))
    assert await stand.history() == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=One-Clic", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=One-Click", "text/plain"),
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded; charset=nonesuch"),
        (b"\xff=\xff", "application/x-www-form-urlencoded; charset=utf-8"),
        (b"no parts", "multipart/form-data"),
        (b"no parts", "multipart/form-data; boundary=x"),
        (AS_FILE, "multipart/form-data; boundary=x"),
        (AS_FILE.replace(b"; filename", b"\r\nContent-Transfer-Encoding: a\r\nX: "), "multipart/form-data; boundary=x"),
        (b"--x\r\n" + b"A: b\r\n" * 9_000, "multipart/form-data; boundary=x"),
        # Decoding this takes Python seconds.
        (b"List-Unsubscribe=One-Click&a=-" + b"9" * 60_000, "application/x-www-form-urlencoded; charset=punycode"),
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded; charset=utf-7"),
    ],
)
async def test_anything_but_the_click_changes_nothing(stand: Stand, body: bytes, kind: str) -> None:
    page = await stand.post(stand.link(), body, Content_Type=kind)
    assert page.status == 400
    assert await stand.history() == []


@pytest.mark.parametrize(
    ("rest", "headers", "body"),
    [
        ("?lang=\xff", "", b""),
        ("", "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n", b"no gzip"),
        ("", "Transfer-Encoding: chunked\r\n", b"zz\r\n"),
    ],
)
async def test_broken_requests_are_refused_without_a_link_in_the_log(
    stand: Stand, caplog: pytest.LogCaptureFixture, rest: str, headers: str, body: bytes
) -> None:
    link = stand.link()
    length = "" if "chunked" in headers else f"Content-Length: {len(body)}\r\n"
    head = f"POST {link}{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{headers}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(stand.base).port)
    writer.write(head.encode("latin-1") + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert caplog.text == ""
    assert await stand.history() == []


async def test_a_body_is_bounded(stand: Stand) -> None:
    body = {"List-Unsubscribe": "One-Click", "more": "x" * (65 << 10)}
    assert (await stand.post(stand.link(), body)).status == 413
    assert await stand.history() == []


async def test_pages_keep_their_address_to_themselves(stand: Stand) -> None:
    for page in (await stand.get(stand.link()), await stand.post(stand.link(), ONE_CLICK), await stand.get("/u/x")):
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == ("no-referrer", "no-store")
        assert (page.headers["X-Frame-Options"], "noindex" in page.headers["X-Robots-Tag"]) == ("DENY", True)
        assert "<script" not in page.html


async def test_a_page_is_in_the_language_picked_else_the_users_else_the_browsers(tmp_path: Path) -> None:
    async with page_stand(tmp_path, rules=AppRules(APP, BUILT_IN, default_locale="zh")) as stand:
        seen = []
        for path, header in (("", ""), ("", "fr, en;q=0.5"), ("", "en;q=0, zh-TW"), ("?lang=en", "zh")):
            page = await stand.get(stand.link() + path, Accept_Language=header)
            seen.append(page.headers["Content-Language"])
        assert seen == ["zh-CN", "en", "zh-CN", "en"]


async def test_one_link_and_one_address_are_held_to_their_rates(tmp_path: Path) -> None:
    limits = PageLimits(per_address=Rate(1, 6), per_link=Rate(1, 3))
    async with page_stand(tmp_path, limits=limits) as stand:
        one, other = stand.link(), stand.link()
        answers = [await stand.get(path) for path in (one, one, one, one, other, other, other, other)]
        assert [page.status for page in answers] == [200, 200, 200, 429, 200, 200, 200, 429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        stand.clock.now_ms += 1_000
        assert (await stand.post(one, ONE_CLICK)).status == 200


async def test_behind_a_proxy_the_address_is_the_one_it_names_last(tmp_path: Path) -> None:
    web = WebSettings(listen="127.0.0.1:0", public_url="http://localhost", proxied=True)
    limits = PageLimits(per_address=Rate(1, 1), per_link=Rate(1, 30))
    async with page_stand(tmp_path, settings=web, limits=limits) as stand:
        told = (
            "6.6.6.6, 1.1.1.1", "7.7.7.7, 1.1.1.1", "1.1.1.1, 2.2.2.2", "2001:db8::1", "2001:db8::ffff:1",
            "2001:db8:0:1::1", "::ffff:1.1.1.1", "not an address",
        )  # fmt: skip
        answers = [(await stand.get(stand.link(), X_Forwarded_For=one)).status for one in told]
        assert answers == [200, 429, 200, 200, 429, 200, 429, 200]


@pytest.mark.parametrize(
    "path", ["/u/%FF%ED%A0%80", "/u/%00", "/u/..%2f..%2fmetrics", "/u/%F0%9F%98%80", f"/p/{'A' * 2_000}", "/u/="]
)
async def test_addresses_that_were_never_ours_are_unknown(stand: Stand, path: str) -> None:
    url = URL(f"{stand.base}{path}", encoded=True)
    for answer in (await stand.client.get(url), await stand.client.post(url, data=b"List-Unsubscribe=%ED%A0%80")):
        assert answer.status == 404
        assert "<script" not in await answer.text()


async def test_pages_begin_as_soon_as_the_file_of_users_can_be_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, web=WebSettings(listen="127.0.0.1:0", public_url="http://localhost"))
    apps = (AppSettings.model_construct(id=APP, categories=(), policy=PolicySettings()),)
    settings = settings.model_copy(update={"apps": apps})
    made = link_maker(settings).make(APP, USER, "", 0, SystemClock().unix_ms())
    path = made.unsubscribe_url.removeprefix("http://localhost")
    try:
        async with make_pages(settings, SystemClock()) as parts:
            served = WebListener(make_app(Exposition([]), dict, None, parts.pages), settings.web)
            async with served as web, aiohttp.ClientSession(f"http://127.0.0.1:{web.port}") as client:
                assert (await client.post(path, data=ONE_CLICK)).status == 503
                prepare_people(settings)
                assert (await client.post(path, data=ONE_CLICK)).status == 200
                assert [line.granted for _, line in await (await parts.book.open()).history(APP, USER, 0, 9)] == [False]
                parts.rules.clear()
                assert (await client.get(path)).status == 410
    finally:
        shared_file.remove(shared_file.shared_directory(tmp_path))
