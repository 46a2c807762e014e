"""The HTTP control API of one simulation, for loopback: steer it and ask its ledgers from other processes."""

from __future__ import annotations

from aiohttp import web
from pydantic import TypeAdapter

from adapters.simulators.faults import Faults
from adapters.simulators.ledger import Ledger
from adapters.simulators.ledger_routes import LedgerRoutes, parse, provider_of, reply
from adapters.simulators.settings import Provider
from adapters.simulators.simulation import FaultsUnknownError, Simulation
from adapters.simulators.token_book import TokenEntry

MAX_BODY_BYTES = 256 * 1024 * 1024
FAULTS = TypeAdapter(Faults)
TOKENS = TypeAdapter(dict[str, TokenEntry])


class Control:
    """Handlers over one Simulation; a body that does not fit answers 400 with what is wrong."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def application(self) -> web.Application:
        """Make the aiohttp application."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        LedgerRoutes(self._ledger).add_to(application)
        application.add_routes(
            [
                web.get("/healthz", self.health),
                web.get("/faults/{provider}", self.faults),
                web.put("/faults/{provider}", self.set_faults),
                web.post("/tokens/{provider}", self.add_tokens),
                web.delete("/tokens/{provider}", self.clear_tokens),
                web.post("/goaway/{provider}", self.goaway),
                web.post("/disconnect/{provider}", self.disconnect),
                web.get("/connections/{provider}", self.connections),
                web.get("/bodies/{provider}", self.bodies),
                web.get("/oauth", self.oauth),
                web.post("/oauth/revoke", self.revoke),
                web.put("/oauth/unavailable", self.set_unavailable),
                web.post("/reset", self.reset),
            ]
        )
        return application

    async def health(self, request: web.Request) -> web.Response:
        """Answer the ports."""
        return reply(self._simulation.ports._asdict())

    async def faults(self, request: web.Request) -> web.Response:
        """Answer how a provider misbehaves."""
        return reply(FAULTS.dump_python(self._simulation.faults(provider_of(request))))

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace how a provider misbehaves; what the body leaves out is well."""
        faults = parse(FAULTS, await request.read())
        try:
            await self._simulation.apply(provider_of(request), faults)
        except FaultsUnknownError as error:
            raise web.HTTPConflict(text="a fast simulator knows no faults") from error
        return reply(FAULTS.dump_python(faults))

    async def add_tokens(self, request: web.Request) -> web.Response:
        """Set the state of single device tokens; APNs tokens in lower case."""
        entries = parse(TOKENS, await request.read())
        self._simulation.books[provider_of(request)].update(entries)
        return reply({"known": len(entries)})

    async def clear_tokens(self, request: web.Request) -> web.Response:
        """Make every device healthy."""
        self._simulation.books[provider_of(request)].clear()
        return reply({})

    async def goaway(self, request: web.Request) -> web.Response:
        """Ask every client to leave; what was received is still answered."""
        self._simulation.servers[provider_of(request)].goaway()
        return reply({})

    async def disconnect(self, request: web.Request) -> web.Response:
        """Reset every connection."""
        self._simulation.disconnect(provider_of(request))
        return reply({})

    async def connections(self, request: web.Request) -> web.Response:
        """Answer how many connections there are, and were."""
        server = self._simulation.servers[provider_of(request)]
        return reply({"present": len(server.connections), "accepted": server.accepted})

    async def bodies(self, request: web.Request) -> web.Response:
        """Answer the newest requests' bodies as texts, oldest first."""
        return reply([body.decode("utf-8", "replace") for body in self._simulation.bodies(provider_of(request))])

    async def oauth(self, request: web.Request) -> web.Response:
        """Answer how many access tokens were issued and how many requests for one refused."""
        return reply({"issued": self._simulation.oauth.issued, "refused": self._simulation.oauth.refused})

    async def revoke(self, request: web.Request) -> web.Response:
        """Refuse all access tokens issued up to now."""
        self._simulation.bearers.revoke()
        return reply({})

    async def set_unavailable(self, request: web.Request) -> web.Response:
        """Let the token endpoint answer 503, or no longer: the body is true or false."""
        self._simulation.oauth.unavailable = parse(TypeAdapter(bool), await request.read())
        return reply({})

    async def reset(self, request: web.Request) -> web.Response:
        """Forget all messages, faults and token states."""
        await self._simulation.reset()
        return reply({})

    async def _ledger(self, provider: Provider) -> Ledger:
        return self._simulation.ledger(provider)
