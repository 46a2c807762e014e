"""Users with one device each, every other one at FCM; a device that dies comes back under a new token."""

from __future__ import annotations

import asyncio
import hashlib
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from adapters.registry.sqlite import SqliteRegistry
from adapters.simulators.settings import Provider as Name
from bench.stand import APP
from core.model import Device, Environment, Provider, Target
from protos.walletpush.v1 import device_pb2, notification_pb2, preference_pb2
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub

_AT_ONCE = 5_000
_CALLS = 32
_TIMEOUT_S = 30.0
_YES = preference_pb2.Consent(
    category="promotion", channel=preference_pb2.CHANNEL_PUSH, granted=True,
    method=preference_pb2.CONSENT_METHOD_APP, wording_version="1",
)  # fmt: skip
_PROVIDERS = {"apns": Provider.APNS, "fcm": Provider.FCM}


class People:
    """Users by number; the first `fans` of them want offers.

    A user's n-th token follows from both numbers, so nothing is kept but how often each device died.
    """

    def __init__(self, users: int, fans: int) -> None:
        self.users, self.fans = users, fans
        self.deaths = array("B", bytes(users))

    async def register(self, data_dir: Path) -> None:
        """Register all devices while no gateway runs."""
        registry = await SqliteRegistry.open(data_dir)
        try:
            for first in range(0, self.users, _AT_ONCE):
                numbers = range(first, min(first + _AT_ONCE, self.users))
                await registry.register([self._device(user) for user in numbers])
        finally:
            await registry.close()

    async def agree(self, address: str) -> None:
        """Let those who get offers consent to them, through a running gateway."""
        async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as tasks:
            stub = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            waiting = iter(range(self.fans))
            for _ in range(_CALLS):
                tasks.create_task(_agree(stub, waiting))

    def dying(self, place: int) -> Sequence[int]:
        """Return the users whose devices die in the trouble at this place: one in a hundred, others each time."""
        return range(place % 100, self.users, 100)

    def revive(self, user: int) -> None:
        """Give a user's device a new token."""
        self.deaths[user] += 1

    def device(self, user: int) -> device_pb2.Device:
        """Return a user's device as it is registered."""
        provider = notification_pb2.PROVIDER_FCM if provider_of(user) == "fcm" else notification_pb2.PROVIDER_APNS
        token = notification_pb2.DeviceToken(provider=provider, token=token_of(user, self.deaths[user]))
        return device_pb2.Device(app=APP, user_id=user_id(user), token=token)

    def tokens(self, user: int) -> Iterator[str]:
        """Yield all tokens that a user's device has had."""
        return (token_of(user, deaths) for deaths in range(self.deaths[user] + 1))

    def _device(self, user: int) -> Device:
        provider = _PROVIDERS[provider_of(user)]
        target = Target(provider, token_of(user, 0), Environment.PRODUCTION, time.time_ns() // 1_000_000 - 1_000)
        return Device(APP, user_id(user), target)


async def _agree(stub: PreferenceServiceStub, waiting: Iterator[int]) -> None:
    for user in waiting:
        said = preference_pb2.UpdatePreferencesRequest(app=APP, user_id=user_id(user), consents=[_YES])
        await stub.UpdatePreferences(said, timeout=_TIMEOUT_S)


def user_id(user: int) -> str:
    """Return a user's id."""
    return f"user-{user}"


def provider_of(user: int) -> Name:
    """Return who reaches a user's device."""
    return "fcm" if user % 2 else "apns"


def token_of(user: int, deaths: int) -> str:
    """Return the token that a user's device has after so many deaths."""
    return hashlib.blake2b(b"%d/%d" % (user, deaths), digest_size=32).hexdigest()
