"""The load: streams of notifications that arrive at random, whether or not earlier ones were answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from gateway.client import (
    SECURITY,
    SERVICE,
    TRANSACTIONAL,
    Content,
    DeviceToken,
    Notification,
    NotificationClass,
    WalletPassUpdate,
    Walletpush,
    WalletpushError,
)
from gateway.demo.book import Book, Kind, Sent
from gateway.demo.people import People, User
from gateway.demo.plan import APP, CAMPAIGN, DEVICES_PER_MESSAGE, PASS_TYPE, Plan
from gateway.demo.texts import Locale, Writer
from protos.walletpush.v1.notification_pb2 import PROVIDER_APNS

# The simulated FCM's ledger names a message by this entry.
LEDGER_KEY = "notification_id"
CLASSES: dict[Kind, NotificationClass] = {
    "security": SECURITY,
    "payment": TRANSACTIONAL,
    "service": SERVICE,
    "pass": SERVICE,
    # Not marketing: these devices belong to nobody who could have agreed to it.
    "campaign": SERVICE,
}


class Load:
    """Sends by the plan; every call is a task of its own in `tasks`, as in a service with many requests."""

    def __init__(self, plan: Plan, people: People, client: Walletpush, book: Book, tasks: asyncio.TaskGroup) -> None:
        self._plan = plan
        self._people = people
        self._client = client
        self._book = book
        self._tasks = tasks
        self._rng = random.Random(plan.seed)  # noqa: S311  # a load, not a secret
        self._writer = Writer(self._rng)
        self._number = 0
        self.addressed: set[str] = set()

    async def run(self) -> None:
        """Send everything; returns when the last call was started."""
        plan, write = self._plan, self._writer
        async with asyncio.TaskGroup() as streams:
            streams.create_task(self._arrivals(plan.payments_per_s, self._pay))
            streams.create_task(self._arrivals(plan.alerts_per_s, lambda: self._tell("security", write.sign_in)))
            streams.create_task(self._arrivals(plan.services_per_s, lambda: self._tell("service", write.points)))
            streams.create_task(self._arrivals(plan.passes_per_s, self._update_pass))
            streams.create_task(self._campaign())

    async def _arrivals(self, per_s: float, arrive: Callable[[], None]) -> None:
        """Call arrive as a Poisson process, until the plan's end; what is late is made up for at once."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        end_s = next_s + self._plan.seconds
        while (next_s := next_s + self._rng.expovariate(per_s)) < end_s:
            wait_s = next_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            arrive()

    async def _campaign(self) -> None:
        await asyncio.sleep(self._plan.campaign_s)
        devices = self._people.strangers
        pause_s = self._plan.seconds * self._plan.campaign_share * DEVICES_PER_MESSAGE / max(1, len(devices))
        for start in range(0, len(devices), DEVICES_PER_MESSAGE):
            locale: Locale = "zh-CN" if self._rng.random() < 0.6 else "en"
            part = devices[start : start + DEVICES_PER_MESSAGE]
            self._send("campaign", self._writer.campaign(locale), devices=part)
            await asyncio.sleep(pause_s)

    def _pay(self) -> None:
        user = self._anyone()
        notification, sent = self._send("payment", self._writer.payment(user.locale, f"{self._number:06}"), user=user)
        if self._rng.random() < self._plan.repeated_share:
            after_s = self._rng.uniform(0.05, 1.5)
            self._tasks.create_task(self._repeat(notification, sent, after_s))

    def _tell(self, kind: Kind, write: Callable[[Locale], Content]) -> None:
        user = self._anyone()
        self._send(kind, write(user.locale), user=user)

    def _update_pass(self) -> None:
        device = next((one for one in self._anyone().live if one.provider == PROVIDER_APNS), None)
        if device is not None:
            serial = f"card-{self._rng.randrange(10_000):04}"
            self._send("pass", WalletPassUpdate(pass_type_id=PASS_TYPE, serial_number=serial), devices=[device])

    def _send(
        self,
        kind: Kind,
        message: Content | WalletPassUpdate,
        user: User | None = None,
        devices: Sequence[DeviceToken] = (),
    ) -> tuple[Notification, Sent]:
        self._number += 1
        if user is not None:
            self.addressed.add(user.id)
        key = f"{kind}-{self._number:06}"
        notification = Notification(
            idempotency_key=key,
            app=APP,
            user_ids=[user.id] if user else [],
            devices=devices,
            notification_class=CLASSES[kind],
            campaign_id=CAMPAIGN if kind == "campaign" else "",
        )
        if isinstance(message, Content):
            message.data[LEDGER_KEY] = key
            notification.content.CopyFrom(message)
        else:
            notification.wallet_pass.CopyFrom(message)
        sent = Sent(kind, key, user.live if user else tuple(devices))
        self._book.add(sent)
        self._tasks.create_task(self._deliver(notification, sent))
        return notification, sent

    async def _deliver(self, notification: Notification, sent: Sent) -> None:
        try:
            self._book.on_accepted(sent, await self._client.send(notification))
        except WalletpushError as error:
            self._book.on_error(error)

    async def _repeat(self, notification: Notification, sent: Sent, after_s: float) -> None:
        """Do what a caller does who missed the answer: the same request once more."""
        await asyncio.sleep(after_s)
        try:
            self._book.on_repeat(sent, await self._client.send(notification))
        except WalletpushError as error:
            self._book.on_error(error)

    def _anyone(self) -> User:
        return self._rng.choice(self._people.users)
