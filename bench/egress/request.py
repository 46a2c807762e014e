"""What every client sends: one payment notice to APNs, as the gateway's adapter makes it."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from adapters.apns.channel import ApnsChannel, ApnsSettings
from adapters.apns.provider_token import ProviderTokens
from adapters.credentials import ApnsKey
from adapters.http2.exchange import Exchange
from adapters.http2.options import ConnectionOptions, PoolOptions, Target
from adapters.http2.pool import Pool
from core.content.message import Content
from core.delivery import Delivery, Notification, assign_place
from core.model import NotificationClass, PushType
from core.ports import Sink
from core.reaction import Outcome

TOPIC = "com.example.wallet"
TOKEN = "7c" * 32
PATH = f"/3/device/{TOKEN}"
_TTL_MS = 3_600_000

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. shared: fields that all requests of a connection have; own: those that each has of its own."""

    shared: Fields
    own: Fields
    body: bytes

    def headers(self) -> list[tuple[str, str]]:
        """Return all fields as text."""
        return [(name.decode(), value.decode()) for name, value in (*self.shared, *self.own)]


def request() -> Request:
    """Make the request that clients without an adapter send again and again."""
    notification = payment(123_456, time.time_ns() // 1_000_000)
    body, _ = channel(_NoSink(), "localhost", 1, ssl.create_default_context(), 1).render(notification)
    authorization = ProviderTokens(key()).at(int(time.time())).authorization
    shared = (
        (b"authorization", authorization), (b"apns-topic", TOPIC.encode()), (b"apns-push-type", b"alert"),
        (b"apns-priority", b"10"),
    )  # fmt: skip
    own = (
        (b"apns-id", b"eabeae54-14a8-11e5-b60b-1697f925ec7b"),
        (b"apns-expiration", b"%d" % (notification.expires_unix_ms // 1_000)),
        (b"apns-collapse-id", notification.collapse_id),
    )
    return Request(shared, own, body)


def payment(number: int, now_unix_ms: int) -> Notification:
    """Return a payment notice of its own."""
    content = Content(
        "Payment received", f"CNY {number % 1_000}.{number % 90 + 10} at 星巴克", thread_key="payments",
        deep_link=f"wallet://transactions/{number}", data={"transaction": str(number), "kind": "payment"},
    )  # fmt: skip
    notification = Notification(
        "bank", "wallet", "", NotificationClass.TRANSACTIONAL, PushType.ALERT, b"", now_unix_ms, 0,
        now_unix_ms + _TTL_MS, 1, 1, (), (), content,
    )  # fmt: skip
    assign_place(notification, hashlib.sha256(b"%d" % number).digest()[:16], 1, number)
    return notification


def key() -> ApnsKey:
    """Make a key that no server here checks."""
    return ApnsKey("ABC123DEFG", "DEF123GHIJ", ec.generate_private_key(ec.SECP256R1()))


def channel(sink: Sink, host: str, port: int, tls: ssl.SSLContext, connections: int) -> ApnsChannel:
    """Make the gateway's APNs adapter for one server."""

    def make(on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> Pool:
        return Pool(
            Target(host, port, tls), on_answers, on_capacity, options=PoolOptions(connections=connections),
            connection_options=ConnectionOptions(cautious=True),
        )  # fmt: skip

    settings = ApnsSettings(TOPIC, authority=f"{host}:{port}")
    return ApnsChannel(1, "wallet", settings, sink, make, time.time, ProviderTokens(key()))


class _NoSink:
    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Hear nothing."""

    def on_capacity(self, route: int) -> None:
        """Hear nothing."""
