"""The two Python clients that `bench.egress` drives: the gateway's APNs adapter, and aioapns as it ships."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import psutil
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.apns.channel import ApnsChannel, ApnsSettings
from adapters.apns.provider_token import ProviderTokens
from adapters.credentials import ApnsKey
from adapters.http2.exchange import Exchange
from adapters.http2.options import ConnectionOptions, PoolOptions, Target
from adapters.http2.pool import Pool
from adapters.http2.tls import client_context
from bench.egress_engine import Figures
from core.content.message import Content
from core.delivery import Delivery, Flow, Notification, assign_place
from core.model import NotificationClass, Provider
from core.model import PushType as OurPushType
from core.reaction import Outcome

TOPIC = "com.example.wallet"
TOKEN = "7c" * 32
_RING = 20_000
_WARM = 4_000
_TTL_MS = 3_600_000
_FLOW = Flow(1, (), ())


def payment(number: int, now_unix_ms: int) -> Notification:
    """Return a payment notice of its own."""
    content = Content(
        "Payment received", f"CNY {number % 1_000}.{number % 90 + 10} at 星巴克", thread_key="payments",
        deep_link=f"wallet://transactions/{number}", data={"transaction": str(number), "kind": "payment"},
    )  # fmt: skip
    notification = Notification(
        "bank", "wallet", "", NotificationClass.TRANSACTIONAL, OurPushType.ALERT, b"", now_unix_ms, 0,
        now_unix_ms + _TTL_MS, 1, 1, (), (), content,
    )  # fmt: skip
    assign_place(notification, hashlib.sha256(b"%d" % number).digest()[:16], 1, number)
    return notification


def _key() -> ApnsKey:
    return ApnsKey("ABC123DEFG", "DEF123GHIJ", ec.generate_private_key(ec.SECP256R1()))


def request_shape() -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the header fields of one request of the adapter, and its payload."""
    notification = payment(123_456, time.time_ns() // 1_000_000)
    channel = _channel(_NoSink(), "localhost", 1, ssl.create_default_context(), 1)
    payload, _ = channel.render(notification)
    authorization = ProviderTokens(_key()).at(int(time.time())).authorization
    fields = [
        (b"authorization", authorization), (b"apns-topic", TOPIC.encode()), (b"apns-push-type", b"alert"),
        (b"apns-priority", b"10"), (b"apns-id", b"eabeae54-14a8-11e5-b60b-1697f925ec7b"),
        (b"apns-expiration", b"%d" % (notification.expires_unix_ms // 1_000)),
        (b"apns-collapse-id", notification.collapse_id),
    ]  # fmt: skip
    return fields, payload


class _NoSink:
    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Hear nothing."""

    def on_capacity(self, route: int) -> None:
        """Hear nothing."""


class AdapterLoad:
    """The sink of a channel that keeps `streams` deliveries in flight until `total` were answered after a warm-up.

    The deliveries are made ahead and used again and again, each long after its last answer.
    """

    def __init__(self, streams: int, total: int) -> None:
        now_unix_ms = time.time_ns() // 1_000_000
        self._streams, self._total = streams, total
        self._left = _WARM + total
        self._flying = self._done = self._next = 0
        self._early_mib = self._started_s = self._cpu_s = 0.0
        self._over = asyncio.Event()
        self._unix_ms = now_unix_ms
        self._ring: list[Delivery] = []
        self.channel: ApnsChannel | None = None

    async def run(self, directory: Path, port: int, connections: int) -> Figures:
        """Run once."""
        tls = client_context(extra_ca=directory / "ca.pem")
        channel = self.channel = _channel(self, "localhost", port, tls, connections)
        for number in range(_RING):
            notification = payment(number, self._unix_ms)
            payload, envelope = channel.render(notification)
            token = hashlib.sha256(b"device %d" % number).hexdigest()
            self._ring.append(Delivery(notification, token, payload, envelope, number, 0, Provider.APNS, 1, _FLOW))
        await channel.start()
        async with asyncio.timeout(120):
            await self._over.wait()
        elapsed_s, cpu_s = time.perf_counter() - self._started_s, time.process_time() - self._cpu_s
        end_mib = _rss_mib()
        await channel.close(1.0)
        return Figures(self._total / elapsed_s, cpu_s / self._total * 1e6, self._early_mib, end_mib)

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Count, and send as many again."""
        if not all(outcome.status for outcome in outcomes):
            raise SystemExit("a request was not answered")
        self._flying -= len(deliveries)
        before, self._done = self._done, self._done + len(deliveries)
        if before < _WARM <= self._done:
            self._started_s, self._cpu_s = time.perf_counter(), time.process_time()
        if not self._early_mib and self._done > _WARM + self._total // 10:
            self._early_mib = _rss_mib()
        if self._done >= _WARM + self._total:
            self._over.set()
        self._send()

    def on_capacity(self, route: int) -> None:
        """Fill up."""
        self._send()

    def _send(self) -> None:
        count = min(self._streams - self._flying, self._left)
        if count <= 0 or self.channel is None:
            return
        batch = self._ring[self._next : self._next + count]
        taken = self.channel.submit(batch, self._unix_ms)
        self._next = (self._next + taken) % _RING
        self._flying += taken
        self._left -= taken


def _channel(sink: AdapterLoad | _NoSink, host: str, port: int, tls: ssl.SSLContext, connections: int) -> ApnsChannel:
    def make(on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> Pool:
        return Pool(
            Target(host, port, tls), on_answers, on_capacity, options=PoolOptions(connections=connections),
            connection_options=ConnectionOptions(cautious=True),
        )  # fmt: skip

    settings = ApnsSettings(TOPIC, authority=f"{host}:{port}")
    return ApnsChannel(1, "wallet", settings, sink, make, time.time, ProviderTokens(_key()))


class _Callers:
    """Callers of aioapns' public client, each sending one notification after the other."""

    def __init__(self, client: APNs, total: int) -> None:
        self._client = client
        self._left = total
        payload = request_shape()[1]
        self._message = orjson.loads(payload)

    @classmethod
    async def send(cls, client: APNs, callers: int, total: int) -> None:
        """Send `total` notifications."""
        crowd = cls(client, total)
        await asyncio.gather(*(crowd._call() for _ in range(callers)))

    async def _call(self) -> None:
        while self._left > 0:
            self._left -= 1
            request = NotificationRequest(
                TOKEN, self._message, time_to_live=3_600, priority=10, collapse_key="0123456789abcdef" * 2,
                push_type=PushType.ALERT,
            )  # fmt: skip
            if not (await self._client.send_notification(request)).is_successful:
                raise SystemExit("aioapns was refused")


class _Local:
    """Makes aioapns' clients for a server on this host."""

    def __init__(self, directory: Path, port: int) -> None:
        self._tls = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        self._tls.set_alpn_protocols(["h2"])
        self._port = port

    def client(self, connections: int) -> APNs:
        """Return a client with token authentication."""
        key = _key()
        pem = key.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        client = APNs(
            key=pem.decode(), key_id=key.key_id, team_id=key.team_id, topic=TOPIC, max_connections=connections,
            ssl_context=self._tls,
        )  # fmt: skip
        attributes = {"APNS_SERVER": "localhost", "APNS_PORT": self._port}
        client.pool.protocol_class = type("LocalProtocol", (APNsProductionClientProtocol,), attributes)
        return client


async def adapter_load(directory: Path, port: int, connections: int, streams: int, total: int) -> Figures:
    """Measure the adapter, after a warm-up."""
    return await AdapterLoad(streams, total).run(directory, port, connections)


async def aioapns_load(directory: Path, port: int, connections: int, streams: int, total: int) -> Figures:
    """Measure aioapns with `streams` callers, after a warm-up."""
    client = _Local(directory, port).client(connections)
    await _Callers.send(client, 1, 20)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.timeout(120):
        await _Callers.send(client, streams, total)
    elapsed_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    client.pool.close()
    return Figures(total / elapsed_s, cpu_s / total * 1e6, 0.0, _rss_mib())


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20
