"""The part of the control API that asks a ledger, whether it is one process's or that of several together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from adapters.simulators.ledger import Ledger
from adapters.simulators.settings import PROVIDERS, Provider

T = TypeVar("T")
Source = Callable[[Provider], Awaitable[Ledger]]
_IDS = TypeAdapter(list[str])


def reply(found: object, status: int = 200) -> web.Response:
    """Make a JSON response."""
    return web.Response(body=orjson.dumps(found), status=status, content_type="application/json")


def provider_of(request: web.Request) -> Provider:
    """Return the provider that a path names. Raises HTTPNotFound for any other word."""
    name = request.match_info["provider"]
    if name not in PROVIDERS:
        raise web.HTTPNotFound(text=f"no such provider: one of {', '.join(PROVIDERS)} expected")
    return name


def parse(adapter: TypeAdapter[T], body: bytes) -> T:
    """Decode a JSON body. Raises HTTPBadRequest that says what does not fit."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


class LedgerRoutes:
    """Handlers of everything under `/ledger`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def add_to(self, application: web.Application) -> None:
        """Register the handlers."""
        application.add_routes(
            [
                web.get("/ledger", self.all_summaries),
                web.get("/ledger/{provider}", self.summary),
                web.get("/ledger/{provider}/duplicates", self.duplicates),
                web.get("/ledger/{provider}/unanswered", self.unanswered),
                web.get("/ledger/{provider}/ids", self.ids),
                web.get("/ledger/{provider}/times", self.times),
                web.get("/ledger/{provider}/dump", self.dump),
                web.get("/ledger/{provider}/messages/{id:.+}", self.message),
                web.post("/ledger/{provider}/missing", self.missing),
            ]
        )

    async def all_summaries(self, request: web.Request) -> web.Response:
        """Answer every provider's totals, by its name."""
        return reply({name: (await self._source(name)).summary() for name in PROVIDERS})

    async def summary(self, request: web.Request) -> web.Response:
        """Answer one provider's totals."""
        return reply((await self._source(provider_of(request))).summary())

    async def duplicates(self, request: web.Request) -> web.Response:
        """Answer the messages accepted more than once."""
        return reply((await self._source(provider_of(request))).duplicates())

    async def unanswered(self, request: web.Request) -> web.Response:
        """Answer how many requests of each message got no answer."""
        return reply((await self._source(provider_of(request))).unanswered())

    async def ids(self, request: web.Request) -> web.Response:
        """Answer the accepted messages."""
        return reply((await self._source(provider_of(request))).ids())

    async def times(self, request: web.Request) -> web.Response:
        """Answer when each message came, in unix ms."""
        return reply((await self._source(provider_of(request))).times())

    async def dump(self, request: web.Request) -> web.Response:
        """Answer the whole ledger."""
        return reply((await self._source(provider_of(request))).dump())

    async def message(self, request: web.Request) -> web.Response:
        """Answer one message's accepted requests and how many were refused."""
        ledger, message_id = await self._source(provider_of(request)), request.match_info["id"]
        arrivals = [arrival._asdict() for arrival in ledger.arrivals(message_id)]
        return reply({"arrivals": arrivals, "refusals": ledger.refusals(message_id)})

    async def missing(self, request: web.Request) -> web.Response:
        """Answer those of a JSON array of messages that were never accepted."""
        ids = parse(_IDS, await request.read())
        return reply((await self._source(provider_of(request))).missing(ids))
