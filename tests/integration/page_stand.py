"""The pages of wallet users over a real file of users and a real socket, with hands to hold the clock."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import aiohttp

from adapters.people.sealing import make_ring
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.people import Consent, ConsentMethod, User, UserChange
from core.policy.people import Channel, Recipient
from core.policy.rules import AppRules
from gateway.people_parts import RuleShelf
from gateway.settings.builtin_categories import BUILT_IN
from gateway.settings.components import WebSettings
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.links import LinkSealer, SealedLinks
from gateway.web.listener import WebListener
from gateway.web.page_limits import PageLimits
from gateway.web.pages import Pages

APP, USER = "com.example.wallet", "anna-0042"
NOW_MS = 1_790_000_000_000
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PUSH, SMS, EMAIL = int(Channel.PUSH), int(Channel.SMS), int(Channel.EMAIL)


class HeldClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def unix_ms(self) -> int:
        """Return what the test says."""
        return self.now_ms

    def monotonic_ns(self) -> int:
        """Return what the test says."""
        return self.now_ms * 1_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, and the fields that a browser would send from its forms."""

    status: int
    headers: dict[str, str]
    html: str

    def fields(self, form: str = "settings") -> list[tuple[str, str]]:
        """Return what a form holds as it was served; form: its id, or a name that one of its fields has."""
        forms = re.findall(r"<form(.*?)</form>", self.html, re.DOTALL)
        own = next(one for one in forms if f'id="{form}"' in one or f'name="{form}"' in one)
        found = []
        for tag in re.findall(r"<input [^>]*>", own):
            told = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            if told["type"] not in ("checkbox", "radio") or " checked" in tag:
                found.append((told["name"], unescape(told["value"])))
        for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', own, re.DOTALL):
            picked = re.search(r'value="([^"]*)" selected', options)
            found.append((name, unescape(picked[1]) if picked else ""))
        return found


class Stand:
    """A browser before the pages, and what lies behind them."""

    def __init__(
        self, base: str, people: SqlitePeople, client: aiohttp.ClientSession, links: SealedLinks, clock: HeldClock
    ) -> None:
        self.base = base
        self.people = people
        self.client = client
        self.clock = clock
        self._links = links

    def link(self, category: str = "", channel: int = 0, user_id: str = USER, app: str = APP) -> str:
        """Return the path of an unsubscribe link."""
        return self._links.make(app, user_id, category, channel, NOW_MS).unsubscribe_url.removeprefix("http://localhost")

    def centre(self, user_id: str = USER) -> str:
        """Return the path of a preference centre."""
        return self._links.make(APP, user_id, "", 0, NOW_MS).preference_centre_url.removeprefix("http://localhost")

    async def get(self, path: str, **headers: str) -> Page:
        """Look at a page."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=told, allow_redirects=False) as answer:
            return Page(answer.status, dict(answer.headers), await answer.text())

    async def post(self, path: str, fields: object, **headers: str) -> Page:
        """Send a form."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(path, data=fields, headers=told, allow_redirects=False) as answer:
            return Page(answer.status, dict(answer.headers), await answer.text())

    async def says(self, category: str, channel: int, granted: bool = True) -> None:
        """Have the user say something, a day ago."""
        said = Consent(category, channel, granted, ConsentMethod.APP, "v1", "app", NOW_MS - 86_400_000)
        await self.people.record(APP, USER, [said], NOW_MS)

    async def upsert(self, user: User, *fields: str) -> None:
        """Store fields of the user."""
        await self.people.upsert([UserChange(user, frozenset(fields))], NOW_MS)

    async def recipient(self) -> Recipient:
        """Return what is in force for the user."""
        found = await self.people.recipients(APP, [USER], attributes=False)
        return found.get(USER, Recipient(USER))

    async def history(self) -> list[Consent]:
        """Return all that was recorded of the user, newest first."""
        return [line for _, line in await self.people.history(APP, USER, 0, 1_000)]


@asynccontextmanager
async def page_stand(
    directory: Path, *, rules: AppRules | None = None, settings: WebSettings | None = None,
    limits: PageLimits | None = None, keys: Sequence[bytes] = (b"k" * 32,),
) -> AsyncIterator[Stand]:  # fmt: skip
    """Serve the pages."""
    key_file = directory / "keys" / "people.json"
    make_ring(key_file)
    shelf, clock = RuleShelf(), HeldClock()
    shelf[APP] = rules or AppRules(APP, BUILT_IN)
    web = settings or WebSettings(listen="127.0.0.1:0", public_url="http://localhost")
    registry = await SqliteRegistry.open(directory)
    people = await SqlitePeople.open(directory, key_file, registry, spared=shelf.spared, now_unix_ms=clock.unix_ms)
    sealer = LinkSealer(keys)

    async def book() -> SqlitePeople:
        return people

    app = make_app(Exposition([]), dict, None, Pages(book, shelf, sealer, web, clock, limits))
    try:
        async with WebListener(app, web) as listener:
            base = f"http://127.0.0.1:{listener.port}"
            async with aiohttp.ClientSession(base) as client:
                yield Stand(base, people, client, SealedLinks(sealer, "http://localhost", web.link_days), clock)
    finally:
        await people.close()
        await registry.close()
