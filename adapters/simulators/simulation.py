"""The simulated providers of one process: APNs, its sandbox, FCM and Google's token endpoint."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Self

from aiohttp import web

from adapters.http2.server import Http2Server
from adapters.simulators.apns import ApnsRules, ApnsSimulator
from adapters.simulators.bearer_tokens import BearerTokens
from adapters.simulators.credentials import KEY_ID, PROJECT_ID, SimulatorCredentials
from adapters.simulators.fast import apns_answers, fast_server, fcm_answers
from adapters.simulators.faults import Faults
from adapters.simulators.fcm import FcmRules, FcmSimulator
from adapters.simulators.fcm_oauth import OauthEndpoint, ServiceAccount
from adapters.simulators.front import Front
from adapters.simulators.ledger import ACCEPTED, Ledger
from adapters.simulators.settings import PROVIDERS, Provider, SimulatorSettings
from adapters.simulators.token_book import TokenBook


class FaultsUnknownError(Exception):
    """A fast simulator does as it is told at its start, and nothing else."""


class Simulation:
    """Start with start(), steer by the methods, ask the ledgers, end with close()."""

    def __init__(
        self, settings: SimulatorSettings, credentials: SimulatorCredentials, tasks: asyncio.TaskGroup
    ) -> None:
        clock_s = time.time if settings.keeps_times else None
        keeps_ids = settings.mode == "truthful"
        self.settings = settings
        self.credentials = credentials
        # Bound at once, because the assertions' audience names the port.
        self._oauth_socket = _bind(settings.host, settings.ports.oauth, shared=settings.shares_ports)
        self.ports = settings.ports._replace(oauth=self._oauth_socket.getsockname()[1])
        self.token_uri = f"https://{settings.host}:{self.ports.oauth}/token"
        self.ledgers: dict[Provider, Ledger] = {
            name: Ledger(keeps_ids=keeps_ids, clock_s=clock_s) for name in PROVIDERS
        }
        self.books: dict[Provider, TokenBook] = {name: TokenBook() for name in PROVIDERS}
        self.bearers = BearerTokens(credentials.bearer_secret(), time.time)
        self.servers: dict[Provider, Http2Server] = {}
        self._fronts: dict[Provider, Front] = {}
        self._listening: set[Provider] = set()
        self._tasks = tasks
        self._reopenings: dict[Provider, asyncio.Task[None]] = {}
        account = ServiceAccount(credentials.account_email, credentials.account_key(), self.token_uri)
        self.oauth = OauthEndpoint(account, self.bearers, time.time)
        self._oauth_runner: web.AppRunner | None = None

    async def start(self) -> Self:
        """Listen everywhere; `ports` tells where."""
        tls = self.credentials.server_context()
        for name in PROVIDERS:
            self.servers[name] = self._make_server(name, tls)
            await self._listen(name)
            if self.settings.faults != Faults():
                await self.apply(name, self.settings.faults)
        await self._start_oauth()
        return self

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for reopening in self._reopenings.values():
            reopening.cancel()
        for server in self.servers.values():
            await server.close()
        if self._oauth_runner is not None:
            await self._oauth_runner.cleanup()
        self._oauth_socket.close()

    async def apply(self, provider: Provider, faults: Faults) -> None:
        """Let a provider misbehave so from now on. Raises FaultsUnknownError in fast mode."""
        front = self._fronts.get(provider)
        if front is None:
            raise FaultsUnknownError(provider)
        front.apply(faults)
        if provider in self._reopenings:
            self._reopenings.pop(provider).cancel()
        if faults.outage != "refusing":
            await self._listen(provider)
            return
        await self.servers[provider].close()
        self._listening.discard(provider)
        if faults.outage_s:
            self._reopenings[provider] = self._tasks.create_task(self._reopen(provider, faults.outage_s))

    def faults(self, provider: Provider) -> Faults:
        """Return how a provider misbehaves now."""
        front = self._fronts.get(provider)
        return Faults() if front is None else front.faults

    def ledger(self, provider: Provider) -> Ledger:
        """Return a provider's ledger; in fast mode it knows only how many requests came, and calls all accepted."""
        ledger = self.ledgers[provider]
        if self.settings.mode == "fast":
            ledger.clear()
            ledger.count(ACCEPTED, self.servers[provider].received)
        return ledger

    def bodies(self, provider: Provider) -> list[bytes]:
        """Return the newest requests' bodies, oldest first; none in fast mode."""
        return list(self._fronts[provider].bodies) if provider in self._fronts else []

    def disconnect(self, provider: Provider) -> None:
        """Reset every connection."""
        for connection in tuple(self.servers[provider].connections):
            connection.abort()

    async def reset(self) -> None:
        """Forget all messages, faults and token states."""
        for provider in PROVIDERS:
            self.ledgers[provider].clear()
            self.books[provider].clear()
            if provider in self._fronts:
                self._fronts[provider].bodies.clear()
                await self.apply(provider, Faults())
        self.oauth.unavailable = False

    def _make_server(self, name: Provider, tls: ssl.SSLContext) -> Http2Server:
        if self.settings.mode == "fast":
            make = fcm_answers if name == "fcm" else apns_answers
            return fast_server(tls, make(self.settings.error_one_in))
        front = self._make_front(name, tls)
        self._fronts[name] = front
        return front.server

    def _make_front(self, name: Provider, tls: ssl.SSLContext) -> Front:
        ledger, book, bodies = self.ledgers[name], self.books[name], self.settings.keeps_bodies
        if name == "fcm":
            fcm = FcmSimulator(FcmRules(PROJECT_ID), ledger, book, self.bearers)
            return Front(fcm, ledger, tls, keeps_bodies=bodies)
        rules = ApnsRules(
            keys={KEY_ID: self.credentials.provider_key()},
            topics=self.settings.topics,
            sandbox=name == "sandbox",
            token_updates_per_20_min=self.settings.token_updates_per_20_min,
        )
        apns = ApnsSimulator(rules, ledger, book)
        return Front(apns, ledger, tls, locks=rules.one_stream_first, keeps_bodies=bodies)

    async def _listen(self, name: Provider) -> None:
        if name in self._listening:
            return
        self._listening.add(name)
        server = self.servers[name]
        port: int = getattr(self.ports, name)
        await server.start(self.settings.host, port, reuse_port=self.settings.shares_ports)
        self.ports = self.ports._replace(**{name: server.port})

    async def _start_oauth(self) -> None:
        runner = web.AppRunner(self.oauth.application(), access_log=None)
        await runner.setup()
        self._oauth_runner = runner
        await web.SockSite(runner, self._oauth_socket, ssl_context=self.credentials.oauth_context()).start()
        self.credentials.write_service_account(self.token_uri)

    async def _reopen(self, provider: Provider, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._listen(provider)


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    found = socket.socket(socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found
