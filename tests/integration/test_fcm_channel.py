"""The FCM channel over real sockets against the simulator, with access tokens from its OAuth endpoint."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from adapters.credentials import load_service_account
from adapters.fcm.channel import FcmChannel, FcmSettings
from adapters.fcm.oauth import AccessTokens
from adapters.http2.exchange import Exchange
from adapters.http2.options import PoolOptions, Target
from adapters.http2.pool import Pool
from adapters.http2.server import Http2Server
from adapters.http2.server_session import ServerRequest
from adapters.http2.tls import client_context
from adapters.simulators.credentials import SimulatorCredentials, make_credentials
from adapters.simulators.faults import Faults
from adapters.simulators.settings import SimulatorSettings
from adapters.simulators.simulation import Simulation
from adapters.simulators.token_book import TokenEntry
from core.content.message import Content, FcmOptions
from core.delivery import Delivery, Notification
from core.model import Provider
from core.ports import Channel
from core.reaction import DELIVERED, Outcome, OutcomeKind
from tests.integration.courier import Courier
from tests.unit.notices import delivery, live_notice


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> SimulatorCredentials:
    return make_credentials(tmp_path_factory.mktemp("simulated"))


@pytest.fixture
async def simulation(credentials: SimulatorCredentials) -> AsyncIterator[Simulation]:
    async with asyncio.TaskGroup() as tasks:
        running = await Simulation(SimulatorSettings(credentials.directory), credentials, tasks).start()
        yield running
        await running.close()


def pools_at(port: int, tls: ssl.SSLContext) -> Callable[..., Pool]:
    def make(on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> Pool:
        options = PoolOptions(connections=2, backoff_base_ms=5, stable_ms=1)
        return Pool(Target("127.0.0.1", port, tls), on_answers, on_capacity, options=options)

    return make


@asynccontextmanager
async def tokens_for(credentials: SimulatorCredentials) -> AsyncIterator[AccessTokens]:
    trust = ssl.create_default_context(cafile=str(credentials.ca_certificate))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        tokens = AccessTokens(load_service_account(credentials.service_account), session, time.time)
        await tokens.start()
        try:
            yield tokens
        finally:
            await tokens.close()


@asynccontextmanager
async def courier_to(port: int, credentials: SimulatorCredentials, tokens: AccessTokens) -> AsyncIterator[Courier]:
    make_pool = pools_at(port, client_context(extra_ca=credentials.ca_certificate))
    courier = Courier(lambda it: FcmChannel(2, "app", FcmSettings(), it, make_pool, time.time, tokens))
    await courier.channel.start()
    try:
        yield courier
    finally:
        await courier.channel.close(5.0)


def deliveries_for(channel: Channel, count: int, notification: Notification | None = None) -> list[Delivery]:
    note = notification or live_notice()
    rendered = channel.render(note)
    return [delivery(note, rendered, f"fcm-token:{number:032x}", Provider.FCM) for number in range(count)]


async def test_every_device_hears_once_and_the_simulator_finds_no_fault(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    content = Content(
        title="Paid", body="12 EUR", image_url="https://cdn.example/i.png", deep_link="https://wallet.example/tx/1",
        badge=1, thread_key="tx", data={"tx": "1"}, fcm=FcmOptions(channel_id="pay", color="#00ff00", icon="ic"),
    )  # fmt: skip
    async with tokens_for(credentials) as tokens, courier_to(simulation.ports.fcm, credentials, tokens) as courier:
        deliveries = deliveries_for(courier.channel, 1_000, live_notice(content))
        await courier.deliver(deliveries)
        assert tokens.fetched == 1
    assert all(outcome is DELIVERED for outcome in courier.final.values())
    assert len({each.provider_message_id for each in deliveries}) == 1_000
    summary = simulation.ledger("fcm").summary()
    assert (summary["accepted"], summary["requests"]) == (1_000, 1_000)


async def test_dead_tokens_are_told_apart_and_sent_once(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    async with tokens_for(credentials) as tokens, courier_to(simulation.ports.fcm, credentials, tokens) as courier:
        deliveries = deliveries_for(courier.channel, 10)
        simulation.books["fcm"].update({
            deliveries[2].token: TokenEntry("unregistered"), deliveries[5].token: TokenEntry("wrong_topic"),
        })  # fmt: skip
        await courier.deliver(deliveries)
    gone = [token for token, outcome in courier.final.items() if outcome.kind is OutcomeKind.DEVICE_GONE]
    assert sorted(gone) == [deliveries[2].token, deliveries[5].token]
    assert set(courier.attempts.values()) == {1}


async def test_faults_are_sent_again_and_say_how_long_to_wait(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    await simulation.apply("fcm", Faults(rate_429=0.1, rate_503=0.1, retry_after_s=7, seed=2))
    waits: set[tuple[OutcomeKind, int]] = set()

    class Watch(Courier):
        def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
            waits.update((outcome.kind, outcome.retry_after_ms) for outcome in outcomes if outcome is not DELIVERED)
            super().on_outcomes(deliveries, outcomes)

    make_pool = pools_at(simulation.ports.fcm, client_context(extra_ca=credentials.ca_certificate))
    async with tokens_for(credentials) as tokens:
        courier = Watch(lambda it: FcmChannel(2, "app", FcmSettings(), it, make_pool, time.time, tokens))
        await courier.channel.start()
        await courier.deliver(deliveries_for(courier.channel, 200))
        await courier.channel.close(5.0)
    assert waits == {(OutcomeKind.ROUTE_THROTTLED, 7_000), (OutcomeKind.PROVIDER_FAULT, 7_000)}
    assert len(courier.final) == 200


async def test_validate_only_reaches_no_device(simulation: Simulation, credentials: SimulatorCredentials) -> None:
    dry = live_notice(Content(title="t", fcm=FcmOptions(validate_only=True)))
    async with tokens_for(credentials) as tokens, courier_to(simulation.ports.fcm, credentials, tokens) as courier:
        await courier.deliver(deliveries_for(courier.channel, 5, dry))
    assert simulation.ledger("fcm").summary()["accepted"] == 0
    assert all(outcome is DELIVERED for outcome in courier.final.values())


class ForgetfulServer:
    """Takes the first bearer it sees for a revoked one."""

    def __init__(self) -> None:
        self.revoked = b""
        self.refused = self.accepted = 0

    def handle(self, requests: list[ServerRequest]) -> None:
        for request in requests:
            bearer = dict(request.headers)[b"authorization"]
            self.revoked = self.revoked or bearer
            if bearer == self.revoked:
                self.refused += 1
                request.respond(401, None, b'{"error":{"code":401,"status":"UNAUTHENTICATED"}}')
            else:
                self.accepted += 1
                request.respond(200, None, b'{"name":"projects/p/messages/1"}')


async def test_a_revoked_token_is_refreshed_once_whatever_is_in_flight(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    forgetful = ForgetfulServer()
    server = Http2Server(forgetful.handle, credentials.server_context())
    await server.start()
    async with tokens_for(credentials) as tokens:
        async with courier_to(server.port, credentials, tokens) as courier:
            await courier.deliver(deliveries_for(courier.channel, 300))
        assert tokens.fetched == 2
    await server.close()
    assert forgetful.accepted == 300
    assert 0 < forgetful.refused <= 300
    assert courier.passing == {"UNAUTHENTICATED": forgetful.refused}
