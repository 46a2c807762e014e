"""The addresses that wallet users' links lead to, and what is checked before any page is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from core.errors import Failure, Overloaded
from core.policy.people import Channel, Recipient
from core.policy.rules import AppRules
from gateway.logs import get_logger
from gateway.pipeline.clock import Clock
from gateway.settings.components import WebSettings
from gateway.web.form_reading import NoForm, read_texts
from gateway.web.links import LinkExpired, LinkRefused, LinkSealer, Purpose
from gateway.web.page_limits import PageLimits
from gateway.web.page_view import PageView
from gateway.web.preference_centre import change_preferences, show_preferences
from gateway.web.preference_form import Fields
from gateway.web.unsubscribe import answer_unsubscribe, show_unsubscribe
from gateway.web.visit import PeopleBook, Visit, language_of, message

MAX_BODY_BYTES: Final = 64 << 10
Show = Callable[[Visit], Awaitable[web.Response]]
OpenBook = Callable[[], Awaitable[PeopleBook]]
ALLOW: Final = {"Allow": "GET, HEAD, POST, OPTIONS"}


class Pages:
    """Serves the pages. open_book: gives the file of users, opened at its first call; rules: of each app now."""

    def __init__(
        self, open_book: OpenBook, rules: Mapping[str, AppRules], sealer: LinkSealer, settings: WebSettings,
        clock: Clock, limits: PageLimits | None = None,
    ) -> None:  # fmt: skip
        self._open_book = open_book
        self._rules = rules
        self._sealer = sealer
        self._settings = settings
        self._clock = clock
        self._limits = limits or PageLimits()
        self._view = PageView()
        self._channels = tuple(int(Channel[name.upper()]) for name in settings.channels)
        self._logger = get_logger("pages")

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve /u/ and /p/. A GET never changes anything: scanners of mail follow every link."""
        ways = (
            ("/u/{token}", Purpose.UNSUBSCRIBE, show_unsubscribe, answer_unsubscribe),
            ("/p/{token}", Purpose.PREFERENCES, show_preferences, change_preferences),
        )
        for path, purpose, show, take in ways:
            router.add_get(path, self._handler(purpose, show))
            router.add_post(path, self._handler(purpose, take))
            router.add_route("OPTIONS", path, _options)

    def _handler(self, purpose: Purpose, show: Show) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            token = request.match_info["token"]
            wait_s = self._limits.wait_s(self._address(request), token, self._clock.monotonic_ns())
            if wait_s:
                return self._message(request, "busy", 429, wait_s)
            try:
                return await self._visit(request, purpose, token, show)
            except LinkRefused as refusal:
                expired = isinstance(refusal, LinkExpired)
                return self._message(request, "expired" if expired else "unknown", 410 if expired else 404)
            except (Failure, TimeoutError) as failure:
                self._logger.warning("page_failed", page=purpose.value, why=str(failure) or "the form came too slowly")
                return self._message(request, "busy", 429 if isinstance(failure, Overloaded) else 503, 5)

        return handle

    async def _visit(self, request: web.Request, purpose: Purpose, token: str, show: Show) -> web.Response:
        now_unix_ms = self._clock.unix_ms()
        link = self._sealer.open(purpose, token, now_unix_ms)
        rules = self._rules.get(link.app)
        if rules is None:
            return self._message(request, "expired", 410)
        fields = await _fields(request)
        book = await self._open_book()
        found = await book.recipients(link.app, [link.user_id], attributes=False)
        recipient = found.get(link.user_id) or Recipient(link.user_id)
        return await show(
            Visit(
                token, link, rules, recipient, book, self._view, self._sealer,
                language_of(request, recipient, rules), self._settings.app_names.get(link.app, link.app),
                self._channels, now_unix_ms, request.query.get("saved", ""),
                request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"), fields,
            )
        )  # fmt: skip

    def _message(self, request: web.Request, text: str, status: int, wait_s: int = 0) -> web.Response:
        return message(self._view, language_of(request, None, None), text, status, wait_s=wait_s)

    def _address(self, request: web.Request) -> str:
        if self._settings.proxied:
            return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()[:64]
        return request.remote or ""


async def _fields(request: web.Request) -> Fields:
    """Return the texts of a form, none where there is none."""
    if request.method != "POST":
        return {}
    try:
        return await read_texts(request)
    except NoForm:
        return {}


async def _options(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers=ALLOW)
