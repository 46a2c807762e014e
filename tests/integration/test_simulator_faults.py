"""Each fault of the simulators does what it says, on the wire."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pydantic import ValidationError

from adapters.http2.connection import Connection
from adapters.http2.dial import dial
from adapters.http2.errors import HandshakeTimedOut
from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.headers import HeaderBlock
from adapters.http2.options import ConnectionOptions, Target
from adapters.simulators.credentials import TOPIC
from adapters.simulators.faults import Dice, Faults, Luck
from adapters.simulators.simulation import Simulation
from tests.fixtures_simulators import APNS_TOKEN, PAYLOAD, ApnsCaller, FcmCaller, eventually, provider_token, simulated

QUICK = ConnectionOptions(request_timeout_ms=2_000, handshake_timeout_ms=500)


@pytest_asyncio.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with simulated() as running:
        yield running


class Engine:
    """Our own client, which shows what a connection was told."""

    def __init__(self, simulation: Simulation, options: ConnectionOptions = QUICK) -> None:
        self._simulation = simulation
        self._options = options
        token = provider_token(simulation.credentials).encode()
        pairs = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost")]
        fields = [(b"authorization", b"bearer " + token), (b"apns-topic", TOPIC.encode()), (b"apns-priority", b"10")]
        self._head = HeaderBlock([*pairs, *fields])
        self.answers: list[Exchange] = []
        self._changed = asyncio.Event()

    def on_answers(self, connection: Connection, exchanges: list[Exchange]) -> None:
        self.answers += exchanges
        self._changed.set()

    def on_change(self, connection: Connection) -> None:
        self._changed.set()

    async def connect(self) -> Connection:
        context = self._simulation.credentials.client_context()
        context.set_alpn_protocols(["h2"])
        return await dial(Target("127.0.0.1", self._simulation.ports.apns, context), self._options, self)

    def exchanges(self, count: int) -> list[Exchange]:
        ids = [str(uuid.uuid4()).encode() for _ in range(count)]
        path = b"/3/device/" + APNS_TOKEN.encode()
        return [Exchange(self._head, path, (b"apns-id", apns_id), PAYLOAD) for apns_id in ids]

    async def unlock(self, connection: Connection) -> None:
        """Send one good push, and wait for the streams that it brings."""
        connection.submit(self.exchanges(1))
        await self.until(lambda: len(self.answers) == 1 and connection.max_streams != 1)
        self.answers.clear()

    async def until(self, holds: object) -> None:
        """Wait until a condition holds, at most 5 s."""
        assert callable(holds)
        async with asyncio.timeout(5):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


async def test_connection_has_one_stream_until_its_provider_token_is_known(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    before = connection.max_streams
    await engine.unlock(connection)
    assert (before, connection.max_streams) == (1, 1000)
    connection.abort("done")


async def test_stream_limit_can_change_on_a_live_connection(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(max_concurrent_streams=7))
    await engine.until(lambda: connection.max_streams == 7)
    await simulation.apply("apns", Faults(max_concurrent_streams=50))
    await engine.until(lambda: connection.max_streams == 50)
    connection.abort("done")


async def test_goaway_leaves_out_what_it_says(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(goaway_after=11, goaway_unprocessed=4))
    assert connection.submit(engine.exchanges(10)) == 10
    await engine.until(lambda: len(engine.answers) == 10)
    fates = Counter(exchange.fate for exchange in engine.answers)
    assert fates == {Fate.ANSWERED: 6, Fate.NOT_SENT: 4}
    assert simulation.ledger("apns").summary()["requests"] == 7
    connection.abort("done")


async def test_reset_leaves_accepted_requests_without_an_answer(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(reset_after=6))
    connection.submit(engine.exchanges(10))
    await engine.until(lambda: len(engine.answers) == 10)
    summary = simulation.ledger("apns").summary()
    answered = sum(exchange.fate is Fate.ANSWERED for exchange in engine.answers)
    assert (summary["accepted"], summary["unanswered"]) == (6, 5 - answered)
    assert set(simulation.ledger("apns").unanswered()) <= set(simulation.ledger("apns").ids())
    assert {exchange.fate for exchange in engine.answers} <= {Fate.UNKNOWN, Fate.ANSWERED}


async def test_answers_on_timers_are_lost_with_their_connection(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(latency="fixed", latency_ms=100))
    connection.submit(engine.exchanges(4))
    await eventually(lambda: simulation.ledger("apns").summary()["accepted"] == 5)
    connection.abort("gone")
    await eventually(lambda: simulation.ledger("apns").summary()["unanswered"] == 4)
    assert [exchange.fate for exchange in engine.answers] == [Fate.UNKNOWN] * 4


async def test_every_third_stream_is_refused(simulation: Simulation) -> None:
    engine = Engine(simulation)
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(stream_reset_one_in=3))
    connection.submit(engine.exchanges(9))
    await engine.until(lambda: len(engine.answers) == 9)
    assert Counter(exchange.fate for exchange in engine.answers) == {Fate.ANSWERED: 6, Fate.NOT_SENT: 3}
    connection.abort("done")


async def test_black_hole_reads_and_says_nothing(simulation: Simulation) -> None:
    engine = Engine(simulation, ConnectionOptions(request_timeout_ms=200, handshake_timeout_ms=500))
    connection = await engine.connect()
    await engine.unlock(connection)
    await simulation.apply("apns", Faults(black_hole_rate=1.0))
    connection.submit(engine.exchanges(3))
    await engine.until(lambda: len(engine.answers) == 3)
    summary = simulation.ledger("apns").summary()
    assert {exchange.fate for exchange in engine.answers} == {Fate.TIMED_OUT}
    assert (summary["by_reason"]["0 Swallowed"], summary["unanswered"], summary["accepted"]) == (3, 3, 1)
    connection.abort("done")


async def test_silent_server_never_sends_its_settings(simulation: Simulation) -> None:
    await simulation.apply("apns", Faults(silent=True))
    with pytest.raises(HandshakeTimedOut):
        await Engine(simulation).connect()


async def test_random_resets_cut_connections(simulation: Simulation) -> None:
    await simulation.apply("apns", Faults(reset_rate=1.0))
    async with ApnsCaller(simulation) as apns:
        with pytest.raises(httpx.TransportError):
            await apns.push()
    assert simulation.ledger("apns").summary()["unanswered"] == 1


@pytest.mark.parametrize(
    ("faults", "status", "reason"),
    [
        (Faults(rate_410=1.0), 410, "Unregistered"),
        (Faults(rate_429=1.0), 429, "TooManyRequests"),
        (Faults(rate_500=1.0), 500, "InternalServerError"),
        (Faults(rate_503=1.0), 503, "ServiceUnavailable"),
        (Faults(dead_prefix="aabb"), 410, "Unregistered"),
        (Faults(dead_share=1.0), 410, "Unregistered"),
        (Faults(outage="unavailable"), 503, "ServiceUnavailable"),
    ],
)
async def test_apns_answers_a_fault(simulation: Simulation, faults: Faults, status: int, reason: str) -> None:
    await simulation.apply("apns", faults)
    async with ApnsCaller(simulation) as apns:
        answer = await apns.push()
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        (Faults(rate_410=1.0), 404, "UNREGISTERED"),
        (Faults(rate_429=1.0), 429, "QUOTA_EXCEEDED"),
        (Faults(rate_500=1.0), 500, "INTERNAL"),
        (Faults(rate_503=1.0), 503, "UNAVAILABLE"),
        (Faults(dead_prefix="cJ2x"), 404, "UNREGISTERED"),
    ],
)
async def test_fcm_answers_a_fault(simulation: Simulation, faults: Faults, status: int, code: str) -> None:
    await simulation.apply("fcm", faults)
    async with FcmCaller(simulation) as fcm:
        answer = await fcm.send()
    assert (answer.status_code, answer.json()["error"]["details"][0]["errorCode"]) == (status, code)


async def test_retry_after_goes_with_429_and_503_only(simulation: Simulation) -> None:
    found = []
    async with ApnsCaller(simulation) as apns, FcmCaller(simulation) as fcm:
        for rate in ("rate_429", "rate_503", "rate_500"):
            for provider in ("apns", "fcm"):
                await simulation.apply(provider, Faults(**{rate: 1.0}, retry_after_s=17))  # type: ignore[arg-type]
            found.append([(await send()).headers.get("retry-after") for send in (apns.push, fcm.send)])
    assert found == [["17", "17"], ["17", "17"], [None, None]]


async def test_outage_ends_by_itself(simulation: Simulation) -> None:
    await simulation.apply("apns", Faults(outage="unavailable", outage_s=0.2))
    async with ApnsCaller(simulation) as apns:
        statuses = [(await apns.push()).status_code]
        async with asyncio.timeout(5):
            while (await apns.push()).status_code != 200:
                pass
    assert statuses == [503]


async def test_refusing_outage_drops_connections_and_takes_none_until_it_ends(simulation: Simulation) -> None:
    async with ApnsCaller(simulation) as apns:
        assert (await apns.push()).status_code == 200
        await simulation.apply("apns", Faults(outage="refusing"))
        with pytest.raises(httpx.TransportError):
            await apns.push()
        with pytest.raises(httpx.ConnectError):
            await apns.push()
        port = simulation.ports.apns
        await simulation.apply("apns", Faults())
        assert ((await apns.push()).status_code, simulation.ports.apns) == (200, port)


async def test_refusing_outage_with_an_end_reopens_the_same_port(simulation: Simulation) -> None:
    await simulation.apply("apns", Faults(outage="refusing", outage_s=0.2))
    refused = 0
    async with ApnsCaller(simulation) as apns, asyncio.timeout(5):
        while True:
            try:
                assert (await apns.push()).status_code == 200
                break
            except httpx.ConnectError:
                refused += 1
    assert refused


async def test_fixed_latency_delays_each_answer(simulation: Simulation) -> None:
    await simulation.apply("apns", Faults(latency="fixed", latency_ms=80))
    async with ApnsCaller(simulation) as apns:
        await apns.push()
        started_s = time.perf_counter()
        answer = await apns.push()
    assert answer.status_code == 200
    assert time.perf_counter() - started_s >= 0.079


def _dice(faults: Faults) -> Dice:
    return Dice(faults, lambda: 0.0)


def test_rates_come_out_as_asked_and_the_same_for_the_same_seed() -> None:
    faults = Faults(rate_410=0.1, rate_429=0.2, rate_500=0.05, rate_503=0.15, reset_rate=0.02, black_hole_rate=0.03)
    dice, again = _dice(faults), _dice(faults)
    rolls = [dice.roll(b"t") for _ in range(20_000)]
    shares = {luck: count / 20_000 for luck, count in Counter(rolls).items()}
    expected = {
        Luck.UNREGISTERED: 0.1,
        Luck.THROTTLED: 0.2,
        Luck.INTERNAL: 0.05,
        Luck.UNAVAILABLE: 0.15,
        Luck.RESET: 0.02,
        Luck.SWALLOWED: 0.03,
        Luck.GOOD: 0.45,
    }
    assert shares == pytest.approx(expected, abs=0.015)
    assert rolls == [again.roll(b"t") for _ in range(20_000)]


def test_dead_share_is_of_tokens_and_a_dead_one_stays_dead() -> None:
    dice = _dice(Faults(dead_share=0.25))
    dead = [token for token in (b"%064x" % n for n in range(4_000)) if dice.roll(token) is Luck.UNREGISTERED]
    assert len(dead) / 4_000 == pytest.approx(0.25, abs=0.03)
    assert all(dice.roll(token) is Luck.UNREGISTERED for token in dead)


@pytest.mark.parametrize(
    ("faults", "low", "high", "middle"),
    [
        (Faults(latency="fixed", latency_ms=20), 20, 20, 20),
        (Faults(latency="uniform", latency_ms=10, latency_spread=30), 10, 40, 25),
        (Faults(latency="lognormal", latency_ms=20, latency_spread=0.5), 0, 1_000, 20),
    ],
)
def test_latency_has_its_distribution(faults: Faults, low: float, high: float, middle: float) -> None:
    dice = _dice(faults)
    delays = sorted(dice.delay_ms() for _ in range(4_001))
    assert low <= delays[0] <= delays[-1] <= high
    assert delays[2_000] == pytest.approx(middle, rel=0.1)


def test_outage_is_over_at_its_time() -> None:
    now_s = itertools.count()
    dice = Dice(Faults(outage="unavailable", outage_s=3), lambda: float(next(now_s)))
    assert [dice.roll(b"t") for _ in range(4)] == [Luck.UNAVAILABLE, Luck.UNAVAILABLE, Luck.GOOD, Luck.GOOD]


@pytest.mark.parametrize("wrong", [{"rate_500": 1.5}, {"latency": "odd"}, {"goaway_after": -1}, {"rate_42": 0.1}])
def test_impossible_faults_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Faults(**wrong)  # type: ignore[arg-type]
