"""A gateway as the bench drives it, so that the same pushes go through walletpush and through others.

All of them deliver to the same simulators; each is pinned to `bench.stand.GATEWAY_CORE`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import psutil

from adapters.simulators.settings import Provider
from bench.load import apns_token
from bench.stand import APP, Simulators, Stand, StandOptions, gateway
from protos.walletpush.v1 import delivery_pb2, notification_pb2

SEND_BATCH = "/walletpush.v1.DeliveryService/SendBatch"
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", 1 << 26),
    ("grpc.max_receive_message_length", 1 << 26),
    # Otherwise channels of one process share a connection, as callers that are different services do not.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Push:
    """One notification to one device. key: unique, and the same if it is sent again."""

    key: str
    token: str
    title: str
    body: str


class NotTaken(RuntimeError):
    """A gateway refused what it was sent."""


class RunningGateway(Protocol):
    """A gateway that is ready to take requests."""

    def prepare(self, pushes: Sequence[Push]) -> bytes:
        """Make one request of at most GatewayUnderTest.batch pushes; called ahead, outside of what is measured."""

    async def send(self, request: bytes) -> None:
        """Hand over a request and await the gateway's yes to all of it. Raises NotTaken."""

    def processes(self) -> Sequence[psutil.Process]:
        """Return the processes whose CPU and memory count as the gateway's."""


class GatewayUnderTest(Protocol):
    """A gateway that can be started."""

    @property
    def name(self) -> str:
        """What figures are named after."""

    @property
    def provider(self) -> Provider:
        """Whose simulator hears the pushes."""

    @property
    def batch(self) -> int:
        """How many pushes a request carries."""

    @property
    def in_flight(self) -> int:
        """How many requests are kept unanswered."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of it, one sentence each."""

    def start(self, found: Simulators) -> AbstractAsyncContextManager[RunningGateway]:
        """Run it over these simulators until left; what it writes goes below found.directory."""


class RunningWalletpush:
    """walletpush over one channel."""

    def __init__(self, place: Stand, channel: grpc.aio.Channel) -> None:
        self.place = place
        self._processes = place.workers()
        self._send = channel.unary_unary(SEND_BATCH, None, delivery_pb2.SendBatchResponse.FromString)

    def prepare(self, pushes: Sequence[Push]) -> bytes:
        """Make one SendBatchRequest."""
        return delivery_pb2.SendBatchRequest(notifications=map(_notification, pushes)).SerializeToString()

    async def send(self, request: bytes) -> None:
        """Call SendBatch. Raises NotTaken, grpc.aio.AioRpcError."""
        answer = await self._send(request)
        for result in answer.results:
            if result.status != delivery_pb2.SEND_STATUS_ACCEPTED:
                raise NotTaken(str(result))

    def processes(self) -> Sequence[psutil.Process]:
        """Return the workers."""
        return self._processes


@dataclass(frozen=True, slots=True)
class WalletpushUnderTest:
    """walletpush itself: one worker, every notification journaled before it is answered."""

    options: StandOptions = field(default_factory=StandOptions)
    name: str = "walletpush"
    provider: Provider = "apns"
    batch: int = 500
    in_flight: int = 8
    notes: tuple[str, ...] = ()

    @asynccontextmanager
    async def start(self, found: Simulators) -> AsyncIterator[RunningWalletpush]:
        """Run a supervisor and its worker, with one channel to them."""
        async with (
            gateway(found, self.options) as place,
            grpc.aio.insecure_channel(place.address, options=CHANNEL_OPTIONS) as channel,
        ):
            await channel.channel_ready()
            yield RunningWalletpush(place, channel)


def pushes(count: int, run: str) -> Iterator[Push]:
    """Yield what every gateway is given: a payment notice to each of `count` devices."""
    for number in range(count):
        body = f"CNY {number % 1_000}.{number % 100:02d} at FamilyMart"
        yield Push(f"{run}-{number}", apns_token(number), "Payment received", body)


def _notification(push: Push) -> notification_pb2.Notification:
    return notification_pb2.Notification(
        idempotency_key=push.key,
        app=APP,
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        devices=[notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=push.token)],
        content=notification_pb2.Content(title=push.title, body=push.body),
    )
