"""What callers of a wallet's gateway do all day: every class, both providers, users, repeats and mistakes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import grpc

from bench.stand import APP
from core.notification_id import parse_id, parse_id_text
from protos.walletpush.v1 import delivery_pb2, device_pb2, notification_pb2, preference_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub

SECURITY, TRANSACTIONAL, SERVICE, MARKETING = 1, 2, 3, 4
SANDBOX_APP = "pay"
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 1 << 26))
_REACH_S = 20.0
_TIMEOUT_S = 5.0
_PACE_S = 0.1
_MIX = ((SECURITY, 1), (TRANSACTIONAL, 3), (SERVICE, 2))
_OFFERS = 3
_USERS = 40
# Counters hold some 500 messages a user: few users with very many offers would wait, and be pending, for want of room.
_FANS = 400
_YES = preference_pb2.Consent(
    category="promotion", channel=preference_pb2.CHANNEL_PUSH, granted=True,
    method=preference_pb2.CONSENT_METHOD_APP, wording_version="1",
)  # fmt: skip


class WorkerNotReached(RuntimeError):
    """The host gave all connections to other workers."""


class Callers:
    """Connections to every worker in turn; `reach` opens them."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels: list[grpc.aio.Channel] = []
        self._stubs: list[DeliveryServiceStub] = []
        self._turn = 0

    async def reach(self, workers: int) -> None:
        """Open connections until each worker has one: the host spreads them as it likes. Raises WorkerNotReached.

        To be called again when workers were started anew, since connections then lead where they like.
        """
        found: dict[int, grpc.aio.Channel] = {}
        refused, until_s = "", time.monotonic() + _REACH_S
        while len(found) < workers:
            if time.monotonic() > until_s:
                raise WorkerNotReached(f"only workers {sorted(found)} of {workers} within {_REACH_S} s; {refused}")
            channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
            try:
                answer = await _stub(channel).Send(_probe(), timeout=_TIMEOUT_S)
            except grpc.RpcError as error:
                refused = str(error)
                await channel.close(None)
                await asyncio.sleep(_PACE_S)
                continue
            # A notification's id names the worker that accepted it.
            number = parse_id(parse_id_text(answer.notification_id))[1]
            if number in found:
                await channel.close(None)
            else:
                found[number] = channel
        self._channels += found.values()
        self._stubs = [_stub(found[number]) for number in sorted(found)]

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close(None)

    async def send(self, notifications: Iterable[notification_pb2.Notification], connection: int | None = None) -> int:
        """Send one batch, on the next connection unless one is named; return how many a gateway in trouble accepts."""
        self._turn += 1
        stub = self._stubs[(self._turn if connection is None else connection) % len(self._stubs)]
        request = delivery_pb2.SendBatchRequest(notifications=list(notifications))
        try:
            answer = await stub.SendBatch(request, timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return 0
        return sum(result.status == delivery_pb2.SEND_STATUS_ACCEPTED for result in answer.results)

    async def register_users(self) -> None:
        """Register an Android device for each user, and an Apple one for each of those who want offers."""
        stub = DeviceServiceStub(self._channels[0])  # type: ignore[no-untyped-call]
        preferences = PreferenceServiceStub(self._channels[0])  # type: ignore[no-untyped-call]
        for number in range(_FANS):
            device = device_pb2.Device(app=APP, user_id=f"fan-{number}", token=apns_device())
            await stub.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=_TIMEOUT_S)
            said = preference_pb2.UpdatePreferencesRequest(app=APP, user_id=device.user_id, consents=[_YES])
            await preferences.UpdatePreferences(said, timeout=_TIMEOUT_S)
        for number in range(_USERS):
            device = device_pb2.Device(app=APP, user_id=f"user-{number}", token=fcm_device())
            await stub.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=_TIMEOUT_S)

    async def day(self) -> None:
        """Call as usual until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._batches, self._singles, self._users, self._mistakes):
                tasks.create_task(_paced(work, tasks))

    async def _batches(self) -> None:
        devices: tuple[Callable[[], notification_pb2.DeviceToken], ...] = (apns_device, apns_device, fcm_device)
        for device in devices:
            mixed = [notice(klass, device()) for klass, count in _MIX for _ in range(count)]
            await self.send([*mixed, *(offer() for _ in range(_OFFERS))])
        await self.send(notice(klass, sandbox_device(), app=SANDBOX_APP) for klass, _ in _MIX for _ in range(3))

    async def _singles(self) -> None:
        self._turn += 1
        request = delivery_pb2.SendRequest(notification=notice(TRANSACTIONAL, apns_device()))
        with suppress(grpc.RpcError):
            await self._stubs[self._turn % len(self._stubs)].Send(request, timeout=_TIMEOUT_S)

    async def _users(self) -> None:
        one = notice(SERVICE)
        one.user_ids.append(f"user-{secrets.randbelow(_USERS)}")
        await self.send([one])

    async def _mistakes(self) -> None:
        once = notice(SERVICE, apns_device())
        await self.send([once, once, notice(SERVICE, apns_device(), app="nobody")])


def _stub(channel: grpc.aio.Channel) -> DeliveryServiceStub:
    return DeliveryServiceStub(channel)  # type: ignore[no-untyped-call]


def _probe() -> delivery_pb2.SendRequest:
    return delivery_pb2.SendRequest(notification=notice(SECURITY, apns_device()))


async def _paced(work: Callable[[], object], tasks: asyncio.TaskGroup) -> None:
    # An open loop: callers do not slow down because the gateway does. What hangs ends at its timeout.
    while True:
        tasks.create_task(work())  # type: ignore[arg-type]
        await asyncio.sleep(_PACE_S)


def notice(
    klass: int, *devices: notification_pb2.DeviceToken, app: str = APP, ttl_s: int = 0, padding_bytes: int = 0
) -> notification_pb2.Notification:
    """Return a new notification. padding_bytes: of payload that no compression makes smaller."""
    made = notification_pb2.Notification(
        idempotency_key=secrets.token_hex(12), app=app,
        notification_class=klass,  # type: ignore[arg-type]
        devices=devices,
        content=notification_pb2.Content(title="You paid", body=f"CNY {secrets.randbelow(9_000)}.50 at 星巴克"),
    )  # fmt: skip
    if ttl_s:
        made.ttl.FromSeconds(ttl_s)
    if padding_bytes:
        made.content.data["one"] = secrets.token_hex(padding_bytes // 4)
        made.content.data["two"] = secrets.token_hex(padding_bytes // 4)
    return made


def offer() -> notification_pb2.Notification:
    """Return marketing to one of those who want it."""
    made = notice(MARKETING)
    made.user_ids.append(f"fan-{secrets.randbelow(_FANS)}")
    return made


def apns_device() -> notification_pb2.DeviceToken:
    """Return a new Apple device."""
    return notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=secrets.token_hex(32))


def sandbox_device() -> notification_pb2.DeviceToken:
    """Return a new Apple device of a developer."""
    device = apns_device()
    device.environment = notification_pb2.ENVIRONMENT_SANDBOX
    return device


def fcm_device() -> notification_pb2.DeviceToken:
    """Return a new Android device."""
    token = f"cJ2xkQ0RT2:APA91bF-{secrets.token_hex(32)}"
    return notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_FCM, token=token)
