"""Settings of an app -> the channels of its routes: credentials read, pools and token sources wired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext

import aiohttp

from adapters.apns.aioapns_transport import AioapnsChannel, AioapnsSettings
from adapters.apns.channel import ApnsChannel
from adapters.apns.channel import ApnsSettings as ApnsChannelSettings
from adapters.apns.provider_token import ProviderTokens
from adapters.credentials import load_apns_key, load_service_account
from adapters.fcm.channel import FcmChannel
from adapters.fcm.channel import FcmSettings as FcmChannelSettings
from adapters.fcm.oauth import AccessTokens
from adapters.http2.options import ConnectionOptions, PoolOptions, Proxy, Target
from adapters.http2.pool import Pool
from adapters.http2.tls import client_context
from adapters.line import PoolFactory
from core.errors import CredentialFailure
from core.model import Environment, Provider
from core.ports import Channel, Sink
from gateway.metrics import route_label
from gateway.settings.apps import ApnsSettings, AppSettings, FcmSettings
from gateway.settings.values import split_address

# A provider that comes back is used again within this; the breaker, not the dialling, spares one that is ill.
_REDIAL_CAP_MS = 3_000


class ChannelMaker:
    """Makes channels and keeps what they share: provider tokens by key, access tokens by service account.

    Everything raises CredentialFailure when a credential file cannot be used.
    """

    def __init__(self, sink: Sink, request_timeout_s: float) -> None:
        self._sink = sink
        self._timeout_ms = int(request_timeout_s * 1_000)
        self._provider_tokens: dict[tuple[str, str, str], ProviderTokens] = {}
        self._access_tokens: dict[tuple[str, str], AccessTokens] = {}
        self._sessions: list[aiohttp.ClientSession] = []
        self._users: dict[tuple[str, str], ProviderTokens | AccessTokens] = {}
        self.pools: dict[int, Pool] = {}

    def make(self, number: int, app: AppSettings, provider: Provider, environment: Environment) -> Channel:
        """Make the channel of a route; the app must have settings for its provider."""
        if provider is Provider.APNS and app.apns is not None:
            return self._apns(number, app, app.apns, environment)
        if provider is Provider.FCM and app.fcm is not None:
            return self._fcm(number, app, app.fcm)
        raise ValueError(f"app {app.id} has no settings for {provider.name}")

    def _apns(self, number: int, app: AppSettings, settings: ApnsSettings, environment: Environment) -> Channel:
        sandbox = environment is Environment.SANDBOX
        host, port = (settings.sandbox_host, settings.sandbox_port) if sandbox else (settings.host, settings.port)
        tls = _tls(settings.cert_file, _path(settings.cert_key_file), settings.ca_file)
        tokens = self._tokens_of(settings)
        if tokens is not None:
            self._users[route_label(Provider.APNS, environment), app.id] = tokens
        core = ApnsChannelSettings(
            settings.topic, environment, "" if port == 443 else f"{host}:{port}", environment_certain=True
        )
        if settings.transport == "aioapns":
            if tokens is None:
                raise CredentialFailure(f"app {app.id}: the aioapns transport needs a token key")
            wide = AioapnsSettings(core, tls, host, port, settings.connections)
            return AioapnsChannel(number, app.id, wide, self._sink, time.time, tokens)
        target = Target(host, port, tls, proxy=_proxy(settings))
        connections = settings.sandbox_connections if sandbox else settings.connections
        # With a token, APNs allows one stream until the first request with a valid token succeeded.
        pool = self._pool(number, target, connections, cautious=tokens is not None)
        return ApnsChannel(number, app.id, core, self._sink, pool, time.time, tokens)

    def _fcm(self, number: int, app: AppSettings, settings: FcmSettings) -> Channel:
        tls = _tls(None, None, settings.ca_file)
        target = Target(settings.host, settings.port, tls, proxy=_proxy(settings))
        authority = settings.host if settings.port == 443 else f"{settings.host}:{settings.port}"
        pool = self._pool(number, target, settings.connections, cautious=False)
        tokens = self._users[route_label(Provider.FCM), app.id] = self._access_of(settings, tls)
        return FcmChannel(
            number, app.id, FcmChannelSettings(settings.project_id, authority), self._sink, pool, time.time, tokens
        )

    async def start(self) -> None:
        """Begin fetching access tokens, also those of channels made since the last call."""
        for tokens in self._access_tokens.values():
            await tokens.start()

    async def close(self) -> None:
        """Stop fetching and close the sessions; the channels must be closed before."""
        await asyncio.gather(*(tokens.close() for tokens in self._access_tokens.values()))
        await asyncio.gather(*(session.close() for session in self._sessions))

    def credentials(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how often credentials were made or fetched, and could not be, by (route label, app)."""
        return {
            name: (tokens.minted, 0) if isinstance(tokens, ProviderTokens) else (tokens.fetched, tokens.failed)
            for name, tokens in self._users.items()
        }

    def _pool(self, number: int, target: Target, connections: int, *, cautious: bool) -> PoolFactory:
        def make(on_answers: Callable[..., None], on_capacity: Callable[[], None]) -> Pool:
            pool = Pool(
                target, on_answers, on_capacity,
                options=PoolOptions(connections=connections, backoff_cap_ms=_REDIAL_CAP_MS),
                connection_options=ConnectionOptions(request_timeout_ms=self._timeout_ms, cautious=cautious),
            )  # fmt: skip
            # A renewed pool replaces the figures of the one that is being drained.
            self.pools[number] = pool
            return pool

        return make

    def _tokens_of(self, settings: ApnsSettings) -> ProviderTokens | None:
        if settings.key_file is None or settings.key_id is None or settings.team_id is None:
            return None
        # One source per key and content: APNs counts how often a key's token changes, whoever sends it.
        name = (settings.team_id, settings.key_id, settings.key_file.digest)
        if name not in self._provider_tokens:
            key = load_apns_key(settings.key_file.path, settings.key_id, settings.team_id)
            self._provider_tokens[name] = ProviderTokens(key)
        return self._provider_tokens[name]

    def _access_of(self, settings: FcmSettings, tls: SSLContext) -> AccessTokens:
        name = (str(settings.service_account_file.path), settings.service_account_file.digest)
        if name not in self._access_tokens:
            account = load_service_account(settings.service_account_file.path)
            tls_http1 = _tls(None, None, settings.ca_file)
            tls_http1.set_alpn_protocols(["http/1.1"])
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls_http1))
            self._sessions.append(session)
            self._access_tokens[name] = AccessTokens(account, session, time.time)
        return self._access_tokens[name]


def _tls(certificate: Path | None, key: Path | None, extra_ca: Path | None) -> SSLContext:
    try:
        return client_context(certificate=certificate, key=key, extra_ca=extra_ca)
    except OSError as error:
        raise CredentialFailure(f"cannot use the TLS files {certificate or extra_ca}: {error}") from error


def _path(file: object) -> Path | None:
    return Path(str(file)) if file is not None else None


def _proxy(settings: ApnsSettings | FcmSettings) -> Proxy | None:
    if settings.proxy is None:
        return None
    host, port = split_address(settings.proxy.partition("://")[2].rstrip("/"))
    if settings.proxy_auth_file is None:
        return Proxy(host, port)
    user, _, password = settings.proxy_auth_file.path.read_text().strip().partition(":")
    return Proxy(host, port, user, password)
