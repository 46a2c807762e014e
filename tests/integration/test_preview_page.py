"""The preview page over real sockets: what authors see, who may see it, and what hostile input gets."""

from __future__ import annotations

import asyncio
import base64
import html
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from adapters.templates.sqlite import SqliteTemplates
from core.content.templates import TemplateBody, Variable, VariableType
from core.errors import Unavailable
from core.policy.people import Channel
from gateway.callers import CallerBook, new_key
from gateway.pipeline.clock import SystemClock
from gateway.preview_parts import PreviewParts
from gateway.settings.apps import ApnsSettings, AppSettings
from gateway.settings.components import CallerSettings, WebSettings
from gateway.settings.root import Settings
from gateway.settings.values import SecretFile
from gateway.template_book import TemplateBook
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.listener import WebListener
from gateway.web.preview import MAX_WAITING, PreviewPage
from gateway.web.preview_form import EXAMPLE
from gateway.web.preview_texts import BOTH, texts_in
from gateway.web.preview_values import SAMPLES, WrongEntry, sample, typed, written
from tests.fixtures_tls import tls_files
from tests.unit.template_stand import VARIABLES, source
from tests.unit.test_template_hostile import TEXTS as HOSTILE

ENGLISH, CHINESE = texts_in("en"), texts_in("zh-CN")


@asynccontextmanager
async def served(page: PreviewPage) -> AsyncIterator[aiohttp.ClientSession]:
    app = make_app(Exposition([CollectorRegistry()]), dict, preview=page)
    async with (
        WebListener(app, WebSettings(listen="127.0.0.1:0")) as web,
        aiohttp.ClientSession(f"http://127.0.0.1:{web.port}") as client,
    ):
        yield client


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with served(PreviewPage(SystemClock())) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteTemplates]:
    opened = await SqliteTemplates.open(tmp_path)
    yield opened
    await opened.close()


def rows(*told: tuple[str, str, str, bool]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, (name, kind, value, sensitive) in enumerate(told):
        fields |= {f"name_{number}": name, f"type_{number}": kind, f"value_{number}": value}
        fields |= {f"sensitive_{number}": "on"} if sensitive else {}
    return fields


async def post(client: aiohttp.ClientSession, fields: Mapping[str, str]) -> tuple[int, str]:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    async with client.post("/preview", data=form) as answer:
        return answer.status, await answer.text()


def notices(page: str, platform: str) -> list[str]:
    """Return the words of a platform's notices: locked, then open."""
    found = re.findall(rf'<figure class="phone {platform}">(.*?)</figure>', page, re.DOTALL)
    texts = [re.search(r'<div class="notice"[^>]*>(.*?)</div>', one, re.DOTALL) for one in found]
    return [html.unescape(re.sub(r"<[^>]+>|\s+", " ", text[1])) for text in texts if text]


def problems(page: str) -> str:
    found = re.search(r'<section class="problems".*?</section>', page, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>|\s+", " ", found[0])) if found else ""


async def test_the_first_page_shows_an_example_covered_and_in_full_on_both_platforms(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/preview", headers={"Accept-Language": "zh-CN,zh;q=0.9"}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Language"] == "zh-CN"
        page = await answer.text()
    for platform in ("ios", "android"):
        covered, full = notices(page, platform)
        assert "付款成功" in covered
        assert "付款•••，" in covered
        assert "128.50" not in covered
        assert "7890" not in covered
        assert "¥128.50" in full
        assert "•••• 7890" in full
    assert CHINESE["sms_one"] in page
    assert not problems(page)
    async with client.get("/preview?lang=en") as answer:
        assert "you paid CN¥128.50 at" in notices(await answer.text(), "ios")[1]


async def test_nothing_is_loaded_nothing_runs_and_no_frame_shows_it(client: aiohttp.ClientSession) -> None:
    async with client.get("/preview") as answer:
        policy, page = answer.headers["Content-Security-Policy"], await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script|<img|\sstyle=|\son\w+=|javascript:|https?://", page)


async def test_a_reader_gets_their_language_and_what_was_entered_stays_in_the_form(
    client: aiohttp.ClientSession,
) -> None:
    texts = {"en_title": "Hello", "en_body": "\nDear {{ name }}", "zh-CN_body": "亲爱的{{ name }}", "lang": "en"}
    fields = {**texts, **rows(("name", "TEXT", 'Ann "A" <b>', False))}
    status, page = await post(client, {**fields, "locale": "zh-CN"})
    assert status == 200
    assert '亲爱的Ann "A" <b>' in notices(page, "ios")[1]
    assert "<b>亲" not in page
    for kept in ('value="Hello"', "\n\nDear {{ name }}</textarea>", "Ann &#34;A&#34; &lt;b&gt;"):
        assert kept in page
    _, page = await post(client, {**fields, "locale": "fr"})
    assert "there is no text in fr" in page


async def test_what_is_cut_and_how_many_texts_it_takes_is_told(client: aiohttp.ClientSession) -> None:
    fields = {"zh-CN_title": "题" * 60, "zh-CN_body": "界" * 200, "zh-CN_sms": "短" * 80, "locale": "zh-CN"}
    _, page = await post(client, {**fields, "lang": "en"})
    assert '<li class="cut">Title 60 / 50 · is cut</li>' in page
    assert "<li>Title 60 / 65 · fits</li>" in page
    assert '<li class="cut">Text 200 / 178 · is cut</li>' in page
    assert "界" * 177 + "…" in notices(page, "ios")[1]
    assert "2 text messages" in page
    assert "80 of 134 units, UCS-2" in page
    _, page = await post(client, {**fields, "lang": "zh-CN"})
    assert '<li class="cut">标题 60 / 50 · 会被截断</li>' in page
    assert "2 条短信" in page


async def test_every_fault_is_shown_with_its_place(client: aiohttp.ClientSession) -> None:
    texts = {"zh-CN_title": "{{ name", "zh-CN_body": "一\n二\n{% if name %}", "en_sms": "{% include 'x' %}"}
    status, page = await post(client, {**texts, "lang": "en", **rows(("name", "TEXT", "Ann", False))})
    told = problems(page)
    assert status == 422
    assert re.search(r"Chinese · Push title, line 1 +\{\{ is never closed", told)
    assert re.search(r"Chinese · Push text, line 3 ", told)
    assert re.search(r"English · SMS, line 1 +the tag 'include' is not allowed", told)
    assert notices(page, "ios") == []
    _, page = await post(client, {**texts, "lang": "zh-CN"})
    assert "中文 · 推送正文, 第 3 行" in problems(page)


async def test_values_that_are_none_are_told_by_their_variable(client: aiohttp.ClientSession) -> None:
    wrong = rows(("amount", "MONEY", "12,50", False), ("when", "TIME", "soon", False), ("n", "INTEGER", "", False))
    status, page = await post(client, {"en_body": "{{ amount }}", "lang": "en", **wrong})
    assert status == 422
    assert "Variable · amount must be an amount" in re.sub(" +", " ", problems(page))
    assert "Variable · when must be a time" in re.sub(" +", " ", problems(page))
    assert "· n" not in problems(page)
    status, page = await post(client, {"en_body": "{{ a }}", "lang": "en", **rows(("a b", "TEXT", "x", False))})
    assert status == 422
    assert "Variable · a b" in problems(page)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_template_ends_in_a_page(client: aiohttp.ClientSession, name: str) -> None:
    began_s = time.process_time()
    status, page = await post(client, {"en_body": HOSTILE[name], "lang": "en", **rows(("name", "TEXT", "Ann", False))})
    assert time.process_time() - began_s < 5.0
    assert (status == 422) == bool(problems(page))
    assert status in (200, 422)
    assert len(page) < 300_000
    for told in ("Traceback", "object at 0x", "root:", "uid="):
        assert told not in problems(page) + " ".join(notices(page, "ios"))


async def test_a_form_beyond_the_limit_and_one_that_is_none_are_told(client: aiohttp.ClientSession) -> None:
    status, page = await post(client, {"en_body": "x" * 70_000, "lang": "en"})
    assert status == 413
    assert "at most 64 KiB" in problems(page)
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    async with client.post("/preview", data=b"nothing of it", headers=broken) as answer:
        assert answer.status == 400
    async with client.post("/preview", data=b"en_body=%ff%fe") as answer:
        assert answer.status in (200, 400, 422)
    status, page = await post(client, {"en_body": "y" * 20_000, "lang": "en"})
    assert status == 422
    assert "English · Push text" in problems(page)


async def test_an_empty_form_asks_for_a_text(client: aiohttp.ClientSession) -> None:
    status, page = await post(client, {"source": "texts", "lang": "en"})
    assert status == 422
    assert ENGLISH["nothing"] in problems(page)


async def test_another_site_cannot_have_previews_made(client: aiohttp.ClientSession) -> None:
    async with client.post("/preview", data={"en_body": "x"}, headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 403
    async with client.post("/preview", data={"en_body": "x"}, headers={"Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.status == 200


def callers(*, templates: bool) -> tuple[CallerBook, str]:
    key, key_hash = new_key()
    caller = CallerSettings(
        name="marketing",
        apps=("wallet",),
        key_sha256=(key_hash,),
        may_manage_templates=templates,
        may_read_metrics=True,
    )
    return CallerBook([caller]), key


def as_browsers_show(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{key}".encode()).decode()}


async def test_where_others_can_connect_it_wants_a_key_that_may_manage_templates() -> None:
    guard, key = callers(templates=True)
    async with served(PreviewPage(SystemClock(), guard)) as client:
        async with client.get("/preview") as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        async with client.get("/preview", headers={"Authorization": f"Bearer {key}"}) as answer:
            assert answer.status == 200
        async with client.get("/preview", headers=as_browsers_show(key)) as answer:
            assert answer.status == 200
        for wrong in ("Basic !", "Basic " + base64.b64encode(b"x:wp_wrong").decode(), "Basic /w==", "Bearer wp_x"):
            async with client.post("/preview", headers={"Authorization": wrong}) as answer:
                assert answer.status == 401
    guard, key = callers(templates=False)
    async with (
        served(PreviewPage(SystemClock(), guard)) as client,
        client.get("/preview", headers=as_browsers_show(key)) as answer,
    ):
        assert answer.status == 403


async def test_a_published_version_is_shown_with_samples_for_its_variables(store: SqliteTemplates) -> None:
    for number in (1, 2):
        body = TemplateBody(Channel.PUSH, "en", title=f"Number {number}", body="{{ name }} paid {{ amount }}")
        await store.publish("wallet", source(body), "test", number)
    book = TemplateBook(store, {}, SystemClock())

    async def open_book() -> TemplateBook:
        return book

    page = PreviewPage(SystemClock(), None, lambda: ["wallet"], open_book)
    asked = {"source": "stored", "app": "wallet", "template": "payment.sent", "locale": "en-US", "lang": "en"}
    async with served(page) as client:
        async with client.get("/preview", params=asked) as answer:
            text = await answer.text()
        assert "Number 2" in notices(text, "ios")[1]
        assert "‹name› paid CN¥128.50" in notices(text, "ios")[1]
        assert "‹name› paid •••" in notices(text, "ios")[0]
        for variable in VARIABLES:
            assert f'value="{variable.name}"' in text
        _, text = await post(client, {**asked, "version": "1", **rows(("name", "TEXT", "Ann", False))})
        assert "Number 1" in notices(text, "android")[0]
        assert "Ann paid" in notices(text, "android")[0]
        for wrong, status in (
            ({"version": "7"}, 404), ({"template": "none"}, 404), ({"app": "bank"}, 404), ({"version": "x"}, 422),
        ):  # fmt: skip
            assert (await post(client, {**asked, **wrong}))[0] == status


async def test_a_key_sees_the_templates_of_its_apps_only(store: SqliteTemplates) -> None:
    guard, key = callers(templates=True)
    text = TemplateBody(Channel.PUSH, "en", title="Of the bank")
    await store.publish("bank", source(text), "test", 1)
    book = TemplateBook(store, {}, SystemClock())

    async def open_book() -> TemplateBook:
        return book

    page = PreviewPage(SystemClock(), guard, lambda: ["wallet", "bank"], open_book)
    asked = {"source": "stored", "app": "bank", "template": "payment.sent", "lang": "en"}
    async with (
        served(page) as client,
        client.get("/preview", params=asked, headers=as_browsers_show(key)) as answer,
    ):
        assert answer.status == 404
        told = await answer.text()
    assert "Of the bank" not in told
    assert "<option>bank" not in told


async def test_beyond_a_bounded_line_previews_are_refused() -> None:
    free = asyncio.Event()

    async def open_book() -> TemplateBook:
        await free.wait()
        raise Unavailable("templates is closed")

    page = PreviewPage(SystemClock(), None, lambda: ["wallet"], open_book)
    asked = {"source": "stored", "app": "wallet", "template": "x", "lang": "en"}
    async with served(page) as client, asyncio.timeout(20):
        late = {asyncio.ensure_future(post(client, asked)) for _ in range(MAX_WAITING + 4)}
        refused: list[tuple[int, str]] = []
        while len(refused) < 3:
            done, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
            refused += [one.result() for one in done]
        free.set()
        served_later = await asyncio.gather(*late)
    assert all(status == 503 and ENGLISH["busy"] in problems(text) for status, text in refused)
    assert [ENGLISH["no_store"] in problems(text) for _, text in served_later] == [True] * (MAX_WAITING + 1)


async def test_the_supervisor_reads_the_templates_that_workers_publish(tmp_path: Path, store: SqliteTemplates) -> None:
    files = tls_files()
    apns = ApnsSettings(
        topic="com.example.w", cert_file=files.client.certificate, cert_key_file=SecretFile(files.client.key, "")
    )
    told = Settings(data_dir=tmp_path, apps=(AppSettings(id="wallet", apns=apns),))
    asked = {"source": "stored", "app": "wallet", "template": "payment.sent", "lang": "en"}
    async with PreviewParts(told, SystemClock()) as parts, served(parts.page) as client:
        await store.publish("wallet", source(TemplateBody(Channel.PUSH, "en", title="At last")), "worker", 1)
        assert "At last" in notices((await post(client, asked))[1], "ios")[0]
        parts.replace(told.model_copy(update={"apps": ()}))
        assert (await post(client, asked))[0] == 404


kinds = st.sampled_from([one for one in VariableType if one is not VariableType.LIST])


@given(
    kinds, st.text(max_size=40), st.sampled_from(("", "CNY", "JPY", "BHD")), st.sampled_from(("", "Asia/Tokyo", "x"))
)
@settings(max_examples=300)
def test_whatever_is_typed_is_a_value_or_told_in_both_languages(
    kind: VariableType, text: str, currency: str, zone: str
) -> None:
    told = ""
    try:
        assert typed(Variable("x", kind), text, currency, zone) is not None
    except WrongEntry as wrong:
        told = str(wrong)
    assert not told or told in BOTH


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda one: one.name)
def test_samples_are_values_and_values_are_written_as_typed(variable: Variable) -> None:
    value = typed(variable, sample(variable, "CNY", 1_800_000_000), "CNY", "UTC")
    assert value
    if not isinstance(value, (list, tuple)):
        assert typed(variable, written(value), "CNY", "UTC") == value  # type: ignore[arg-type]


def test_the_examples_fit_their_types() -> None:
    assert all(typed(Variable("x", kind), text, "CNY", "UTC") is not None for kind, text in SAMPLES.items())
    assert all(typed(row.variable, row.text, "CNY", "UTC") for row in EXAMPLE.rows)
