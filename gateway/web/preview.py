"""The page on which authors see a message before it is sent: /preview, for whoever may manage templates."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from core.content.faults import TemplateRefused
from core.content.rendering import CompiledTemplate
from core.errors import Failure
from gateway.callers import LOCAL, Caller, CallerBook, PermissionDenied, Unauthenticated
from gateway.pipeline.clock import Clock
from gateway.template_book import TemplateBook
from gateway.web.form_reading import NoForm, read_texts
from gateway.web.preview_form import EXAMPLE, STORED, Entered, Row, read_form
from gateway.web.preview_looks import Looks, Problem, compile_entered, rows_for, show
from gateway.web.preview_texts import LANGUAGES
from gateway.web.preview_view import PreviewView

PATH: Final = "/preview"
MAX_WAITING: Final = 8
OpenBook = Callable[[], Awaitable[TemplateBook]]
Apps = Callable[[], Sequence[str]]


class Problems(Exception):
    """A request that ends in a page of problems. status: 0 for the usual one."""

    def __init__(self, *problems: Problem, status: int = 0, wait_s: int = 0) -> None:
        super().__init__(problems)
        self.problems = problems
        self.status = status
        self.wait_s = wait_s


class Turns:
    """Lets one preview be made at a time; the line for it is of bounded length."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Wait for a turn. Raises Problems when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise Problems(Problem(("request",), "busy"), status=503, wait_s=2)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_error: object) -> None:
        """Let the next one begin."""
        self._free.release()


class PreviewPage:
    """Serves the page. One preview is made at a time, off the loop; beyond MAX_WAITING others are refused.

    guard: who may see it, None for whoever can connect. apps, open_book: of stored templates, where there are any.
    """

    def __init__(
        self, clock: Clock, guard: CallerBook | None = None, apps: Apps = tuple, open_book: OpenBook | None = None
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._apps = apps
        self._open_book = open_book
        self._view = PreviewView()
        self._turns = Turns()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve the page; its address with the fields of the form in it can be handed on."""
        router.add_get(PATH, self._handle)
        router.add_post(PATH, self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            caller = self._caller(request)
        except Unauthenticated as error:
            challenge = {"WWW-Authenticate": 'Basic realm="walletpush", charset="UTF-8"'}
            return web.Response(status=401, text=f"{error}; a browser takes the key as password\n", headers=challenge)
        except PermissionDenied as error:
            return web.Response(status=403, text=f"{error}\n")
        return await self._answer(request, caller)

    def _caller(self, request: web.Request) -> Caller:
        if self._guard is None:
            return LOCAL
        caller = self._guard.identify(_authorization(request))
        caller.require("manage_templates")
        return caller

    async def _answer(self, request: web.Request, caller: Caller) -> web.Response:
        entered, language = EXAMPLE, _language(request, {})
        now_unix_s = self._clock.unix_ms() // 1_000
        apps = self._apps_of(caller)
        try:
            sent = await _sent(request)
            language = _language(request, sent)
            entered = read_form(sent) if sent.keys() - {"lang"} else replace(EXAMPLE, locale=language)
            async with self._turns:
                rows, version, looks = await self._made(entered, apps, now_unix_s)
        except Problems as found:
            return self._view.page(
                language, entered, Looks(problems=found.problems), now_unix_s=now_unix_s, apps=apps,
                status=found.status, wait_s=found.wait_s,
            )  # fmt: skip
        entered = _with_rows(entered, rows)
        return self._view.page(language, entered, looks, now_unix_s=now_unix_s, apps=apps, shown_version=version)

    def _apps_of(self, caller: Caller) -> tuple[str, ...] | None:
        return None if self._open_book is None else tuple(app for app in self._apps() if caller.may_use(app))

    async def _made(
        self, entered: Entered, apps: tuple[str, ...] | None, now_unix_s: int
    ) -> tuple[tuple[Row, ...], int, Looks]:
        """Return the variables, the version (0: of no stored template) and the looks. Raises Problems."""
        if entered.source == STORED:
            template = await self._stored(entered, apps or ())
            rows, version = rows_for(template, entered, now_unix_s), template.source.version
        elif not entered.bodies():
            raise Problems(Problem(("field_bodies",), "nothing"))
        else:
            compiled = await asyncio.to_thread(compile_entered, entered)
            if not isinstance(compiled, CompiledTemplate):
                raise Problems(*compiled)
            template, rows, version = compiled, entered.rows, 0
        return rows, version, await asyncio.to_thread(show, template, entered, rows, now_unix_s)

    async def _stored(self, entered: Entered, apps: Sequence[str]) -> CompiledTemplate:
        version = entered.version_number
        if version is None:
            raise Problems(Problem(("version",), "wrong_version"))
        if self._open_book is None or entered.app not in apps:
            raise Problems(Problem(("app",), "no_app"), status=404)
        try:
            book = await self._open_book()
            found = await (
                book.version(entered.app, entered.template, version)
                if version
                else book.current(entered.app, entered.template)
            )
        except TemplateRefused as refused:
            raise Problems(*(Problem((one.field,), one.why, one.line) for one in refused.faults)) from refused
        except Failure as failure:
            raise Problems(Problem(("template",), "no_store"), status=503, wait_s=2) from failure
        if found is None:
            raise Problems(Problem(("template",), "no_template"), status=404)
        return found


async def _sent(request: web.Request) -> Mapping[str, str]:
    """Return the texts of the form or the address, the first of each name. Raises Problems."""
    if request.method != "POST":
        return {name: request.query[name] for name in request.query}
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Problems(Problem(("request",), "foreign"), status=403)
    try:
        form = await read_texts(request)
    except web.HTTPRequestEntityTooLarge:
        raise Problems(Problem(("request",), "too_large"), status=413) from None
    except (NoForm, TimeoutError):
        raise Problems(Problem(("request",), "no_form"), status=400) from None
    return {name: texts[0] for name, texts in form.items() if texts}


def _authorization(request: web.Request) -> str | None:
    """Return the header that shows a key. A browser asks for a name and a password, which is the key then."""
    header = request.headers.get("Authorization")
    if header is None or not header.lower().startswith("basic "):
        return header
    try:
        _, _, key = base64.b64decode(header[6:].strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return header
    return f"Bearer {key}"


def _language(request: web.Request, sent: Mapping[str, str]) -> str:
    """Return the language of the page: as picked on it, else the browser's."""
    picked = sent.get("lang") or request.query.get("lang", "")
    if picked in LANGUAGES:
        return picked
    wanted = request.headers.get("Accept-Language", "")[:64].lower()
    return "zh-CN" if wanted.startswith("zh") else "en"


def _with_rows(entered: Entered, rows: tuple[Row, ...]) -> Entered:
    """Show a stored template's variables in the form, and what else was entered behind them."""
    named = {row.name for row in rows}
    return replace(entered, rows=(*rows, *(row for row in entered.rows if row.name not in named)))
