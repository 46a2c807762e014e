"""The wallet's users and their devices, some of which have died since they were registered."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from gateway.client import Device, DeviceToken, Walletpush, apns_token, fcm_token
from gateway.demo.plan import APP, DEAD_SHARE, USERS
from gateway.demo.texts import Locale
from protos.walletpush.v1.notification_pb2 import PROVIDER_APNS

CONCURRENT_CALLS = 64
_FCM_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


@dataclass(frozen=True, slots=True)
class User:
    """dead: the tokens, among those of devices, that the provider no longer knows."""

    id: str
    locale: Locale
    devices: tuple[DeviceToken, ...]
    dead: frozenset[str] = frozenset()

    @property
    def live(self) -> tuple[DeviceToken, ...]:
        """The devices that a notification must reach."""
        return tuple(device for device in self.devices if device.token not in self.dead)


@dataclass(slots=True)
class People:
    """All users, and the devices of a campaign that belong to none of them; made from a seed."""

    rng: random.Random
    campaign_size: int
    users: list[User] = field(default_factory=list)
    strangers: list[DeviceToken] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make them; two of three strangers are Apple's."""
        self.users = [self._user(number) for number in range(USERS)]
        apple = self.rng.choices((True, False), (2, 1), k=self.campaign_size)
        self.strangers = [self._apns() if one else self._fcm() for one in apple]

    def dead_tokens(self, *, apns: bool) -> list[str]:
        """Return the dead tokens of one provider."""
        return [
            device.token
            for user in self.users
            for device in user.devices
            if device.token in user.dead and (device.provider == PROVIDER_APNS) is apns
        ]

    async def register(self, client: Walletpush) -> int:
        """Register every device; return how many."""
        gate = asyncio.Semaphore(CONCURRENT_CALLS)

        async def one(user: User, token: DeviceToken) -> None:
            zone = "Asia/Shanghai" if user.locale == "zh-CN" else "Europe/London"
            device = Device(app=APP, user_id=user.id, token=token, locale=user.locale, time_zone=zone)
            async with gate:
                await client.register_device(device)

        pairs = [(user, token) for user in self.users for token in user.devices]
        await asyncio.gather(*(one(*pair) for pair in pairs))
        return len(pairs)

    async def still_registered(self, client: Walletpush, users: list[User]) -> set[str]:
        """Return the tokens that the gateway lists for these users."""
        gate = asyncio.Semaphore(CONCURRENT_CALLS)

        async def tokens(user: User) -> list[str]:
            async with gate:
                return [device.token.token for device in await client.list_devices(APP, user.id)]

        return {token for found in await asyncio.gather(*map(tokens, users)) for token in found}

    def _user(self, number: int) -> User:
        rng = self.rng
        first = self._apns() if rng.random() < 0.6 else self._fcm()
        devices = (first, self._apns()) if rng.random() < 0.15 else (first,)
        dead = frozenset(device.token for device in devices if rng.random() < DEAD_SHARE)
        return User(f"user-{number:05}", "zh-CN" if rng.random() < 0.6 else "en", devices, dead)

    def _apns(self) -> DeviceToken:
        return apns_token(self.rng.randbytes(32).hex())

    def _fcm(self) -> DeviceToken:
        name = "".join(self.rng.choices(_FCM_ALPHABET, k=21))
        return fcm_token(f"c{name}:APA91b{self.rng.randbytes(45).hex()}")
