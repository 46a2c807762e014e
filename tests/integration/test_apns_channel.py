"""The APNs channel over real sockets against the simulator, which checks what APNs checks."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest

from adapters.apns.aioapns_transport import AioapnsChannel, AioapnsSettings
from adapters.apns.channel import ApnsChannel, ApnsSettings
from adapters.apns.provider_token import ProviderTokens
from adapters.credentials import load_apns_key
from adapters.http2.exchange import Exchange
from adapters.http2.options import ConnectionOptions, PoolOptions, Target
from adapters.http2.pool import Pool
from adapters.http2.server import Http2Server
from adapters.http2.server_session import ServerRequest
from adapters.http2.tls import client_context
from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC, SimulatorCredentials, make_credentials
from adapters.simulators.faults import Faults
from adapters.simulators.settings import SimulatorSettings
from adapters.simulators.simulation import Simulation
from adapters.simulators.token_book import TokenEntry
from core.content.message import Content
from core.delivery import Delivery, Notification
from core.ports import Channel
from core.reaction import DELIVERED, OutcomeKind
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


def provider_tokens(credentials: SimulatorCredentials) -> ProviderTokens:
    return ProviderTokens(load_apns_key(credentials.apns_key, KEY_ID, TEAM_ID))


def pools_at(port: int, tls: ssl.SSLContext, connections: int = 2) -> Callable[..., Pool]:
    def make(on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> Pool:
        return Pool(
            Target("127.0.0.1", port, tls), on_answers, on_capacity,
            options=PoolOptions(connections=connections, backoff_base_ms=5, stable_ms=1),
            connection_options=ConnectionOptions(cautious=True),
        )  # fmt: skip

    return make


def courier_to(
    port: int, credentials: SimulatorCredentials, tokens: ProviderTokens | None, connections: int = 2,
    certificate: Path | None = None, key: Path | None = None,
) -> Courier:  # fmt: skip
    tls = client_context(certificate=certificate, key=key, extra_ca=credentials.ca_certificate)

    def make(courier: Courier) -> Channel:
        settings = ApnsSettings(TOPIC)
        return ApnsChannel(1, "app", settings, courier, pools_at(port, tls, connections), time.time, tokens)

    return Courier(make)


def deliveries_for(channel: Channel, count: int, notification: Notification | None = None) -> list[Delivery]:
    note = notification or live_notice()
    rendered = channel.render(note)
    return [delivery(note, rendered, f"{number:064x}") for number in range(count)]


async def test_everything_is_delivered_once_under_an_id_of_its_own(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 2_000))
    await courier.channel.close(5.0)
    assert all(outcome is DELIVERED for outcome in courier.final.values())
    summary = simulation.ledger("apns").summary()
    assert (summary["accepted"], summary["distinct"], summary["requests"]) == (2_000, 2_000, 2_000)


async def test_certificate_authenticates_too(simulation: Simulation, credentials: SimulatorCredentials) -> None:
    pair = credentials.client
    courier = courier_to(
        simulation.ports.apns, credentials, None, certificate=pair.certificate, key=pair.key
    )
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 50))
    await courier.channel.close(5.0)
    assert simulation.ledger("apns").summary()["accepted"] == 50


async def test_dead_tokens_come_back_with_the_time_of_their_death(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    deliveries = deliveries_for(courier.channel, 10)
    simulation.books["apns"].update({
        deliveries[3].token: TokenEntry("unregistered", 1_700_000_000_000),
        deliveries[4].token: TokenEntry("wrong_environment"),
    })  # fmt: skip
    await courier.deliver(deliveries)
    await courier.channel.close(5.0)
    gone = courier.final[deliveries[3].token]
    assert (gone.kind, gone.gone_since_unix_ms) == (OutcomeKind.DEVICE_GONE, 1_700_000_000_000)
    assert courier.final[deliveries[4].token].kind is OutcomeKind.DEVICE_SUSPECT
    assert set(courier.attempts.values()) == {1}


@pytest.mark.parametrize(
    "faults",
    [
        Faults(goaway_after=60, goaway_unprocessed=20),
        Faults(stream_reset_one_in=7),
        Faults(rate_500=0.2, seed=5),
        Faults(rate_503=0.05, seed=5),
    ],
    ids=["goaway", "refused streams", "500", "503"],
)
async def test_what_failed_is_sent_again_under_the_same_id_and_nothing_else_is(
    simulation: Simulation, credentials: SimulatorCredentials, faults: Faults
) -> None:
    await simulation.apply("apns", faults)
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 400))
    await courier.channel.close(5.0)
    summary = simulation.ledger("apns").summary()
    assert (summary["distinct"], summary["accepted"]) == (400, 400)
    assert len(courier.final) == 400
    assert sum(courier.passing.values()) == sum(courier.attempts.values()) - 400 > 0


async def test_after_a_reset_the_duplicates_carry_the_same_id(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    await simulation.apply("apns", Faults(reset_rate=0.01, seed=3))
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 400))
    await courier.channel.close(5.0)
    assert simulation.ledger("apns").summary()["distinct"] == 400
    assert courier.passing["ConnectionLost"] > 0


async def test_wallet_pass_updates_pass_the_simulators_checks(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    update = live_notice(Content(pass_type_id="pass.com.example.card"))
    await courier.deliver(deliveries_for(courier.channel, 5, update))
    await courier.channel.close(5.0)
    assert [outcome.reason for outcome in courier.final.values()] == [""] * 5


class WedgedServer:
    """Refuses the provider token on its first connection whatever it is, as APNs has been seen to do."""

    def __init__(self) -> None:
        self.wedged: object = None
        self.ids: list[tuple[bytes, int]] = []

    def handle(self, requests: list[ServerRequest]) -> None:
        for request in requests:
            self.wedged = self.wedged or request.owner
            refused = request.owner is self.wedged
            self.ids.append((dict(request.headers)[b"apns-id"], 403 if refused else 200))
            request.respond(*((403, None, orjson.dumps({"reason": "ExpiredProviderToken"})) if refused else (200,)))


async def test_expired_token_is_resent_once_on_a_new_connection(credentials: SimulatorCredentials) -> None:
    wedged = WedgedServer()
    server = Http2Server(wedged.handle, credentials.server_context())
    await server.start()
    tokens = provider_tokens(credentials)
    courier = courier_to(server.port, credentials, tokens, connections=1)
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 30))
    await courier.channel.close(5.0)
    await server.close()
    accepted = [push_id for push_id, status in wedged.ids if status == 200]
    refused = [push_id for push_id, status in wedged.ids if status == 403]
    assert len(accepted) == len(set(accepted)) == 30
    assert refused
    assert set(refused) <= set(accepted)
    assert len(refused) == len(set(refused))
    assert tokens.minted <= 2
    assert server.accepted == 2


async def test_key_rotation_loses_nothing_that_is_under_way(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    channel = courier.channel
    assert isinstance(channel, ApnsChannel)
    await channel.start()
    await simulation.apply("apns", Faults(latency="fixed", latency_ms=50))
    sending = asyncio.gather(courier.deliver(deliveries_for(channel, 500)))
    await courier.answered.wait()
    await channel.rotate(provider_tokens(credentials))
    await sending
    await channel.close(5.0)
    summary = simulation.ledger("apns").summary()
    assert (summary["distinct"], summary["accepted"], len(courier.final)) == (500, 500, 500)


async def test_close_waits_for_answers_and_leaves_none_unanswered(
    simulation: Simulation, credentials: SimulatorCredentials
) -> None:
    courier = courier_to(simulation.ports.apns, credentials, provider_tokens(credentials))
    await courier.channel.start()
    await courier.deliver(deliveries_for(courier.channel, 4))
    await simulation.apply("apns", Faults(latency="fixed", latency_ms=100))
    sending = asyncio.gather(courier.deliver(deliveries_for(courier.channel, 100, live_notice(number=2))[4:]))
    await asyncio.sleep(0)
    await courier.channel.close(5.0)
    await sending
    assert len(courier.final) == 100
    assert courier.channel.capacity == 0


async def test_aioapns_is_a_channel_too(simulation: Simulation, credentials: SimulatorCredentials) -> None:
    tls = client_context(extra_ca=credentials.ca_certificate)
    settings = AioapnsSettings(ApnsSettings(TOPIC), tls, "127.0.0.1", simulation.ports.apns, max_in_flight=50)
    tokens = provider_tokens(credentials)
    courier = Courier(lambda it: AioapnsChannel(1, "app", settings, it, time.time, tokens))
    await courier.channel.start()
    deliveries = deliveries_for(courier.channel, 200)
    simulation.books["apns"].update({deliveries[3].token: TokenEntry("unregistered", 1_700_000_000_000)})
    await courier.deliver(deliveries)
    await courier.channel.close(5.0)
    gone = courier.final[deliveries[3].token]
    assert (gone.kind, gone.gone_since_unix_ms) == (OutcomeKind.DEVICE_GONE, 1_700_000_000_000)
    assert sum(outcome is DELIVERED for outcome in courier.final.values()) == 199
    assert simulation.ledger("apns").summary()["distinct"] == 199
    assert tokens.minted == 1
