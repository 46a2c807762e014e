"""The load of a soak: payments at random moments through the batching client, and a campaign beside them."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from bench.soak.book import Book
from bench.soak.people import People, user_id
from bench.stand import APP
from gateway.client import SERVICE, TRANSACTIONAL, Content, Notification, Walletpush, WalletpushError
from gateway.client.answers import Accepted

# The simulated FCM's ledger names a message by this entry.
LEDGER_KEY = "notification_id"
_STRIDE = 20
_MOST_UNANSWERED = 20_000


@dataclass(frozen=True, slots=True)
class Rates:
    """payments_per_s: on average, at random moments. batch: of the campaign, one in every batch_s."""

    payments_per_s: float = 300.0
    batch: int = 1_500
    batch_s: float = 3.0


class Load:
    """Sends until the timeline's end; every payment is a task of its own, as in a service with many requests."""

    def __init__(self, rates: Rates, people: People, client: Walletpush, book: Book) -> None:
        self._rates, self._people, self._client, self._book = rates, people, client, book
        self._rng = random.Random(7)
        self._unanswered = 0

    async def run(self, seconds: float) -> None:
        """Send for so long, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._campaign(end_s))
            due_s = loop.time()
            while (due_s := due_s + self._rng.expovariate(self._rates.payments_per_s)) < end_s:
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                if self._unanswered >= _MOST_UNANSWERED:
                    self._book.refused["not sent: too many unanswered"] += 1
                    continue
                late_us = int((loop.time() - due_s) * 1e6)
                tasks.create_task(self._pay(time.time_ns() // 1_000 - late_us))

    async def _pay(self, due_unix_us: int) -> None:
        user = self._rng.randrange(self._people.users)
        number = self._book.due(user, payment=True, at_unix_us=due_unix_us)
        self._unanswered += 1
        try:
            answer = await self._client.send(_payment(number, user))
        except WalletpushError as error:
            self._book.refused[type(error).__name__] += 1
        else:
            self._book.take(number, answer.id, time.time_ns() // 1_000)
        finally:
            self._unanswered -= 1

    async def _campaign(self, end_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while (due_s := due_s + self._rates.batch_s) < end_s:
            notifications, numbers = [], []
            for place in range(self._rates.batch):
                if place % _STRIDE == 0:
                    # Made a few at a time over the whole pause, or payments would wait for it in this process.
                    part_s = self._rates.batch_s * (1 - place / self._rates.batch)
                    await asyncio.sleep(max(0.0, due_s - part_s - loop.time()))
                user = self._rng.randrange(self._people.fans)
                numbers.append(self._book.due(user, payment=False, at_unix_us=int(time.time_ns() // 1_000)))
                notifications.append(_offer(numbers[-1], user))
            self._note(numbers, await self._client.send_batch(notifications))

    def _note(self, numbers: list[int], answers: list[Accepted | WalletpushError]) -> None:
        now_unix_us = time.time_ns() // 1_000
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, WalletpushError):
                self._book.refused[type(answer).__name__] += 1
            else:
                self._book.take(number, answer.id, now_unix_us)


def ledger_name(number: int) -> str:
    """Return what FCM's ledger calls a notification, before the token."""
    return f"soak-{number}"


def _payment(number: int, user: int) -> Notification:
    return Notification(
        idempotency_key=ledger_name(number), app=APP, user_ids=[user_id(user)], notification_class=TRANSACTIONAL,
        content=Content(
            title="Payment received", body=f"CNY {number % 1_000}.{number % 100:02d} at FamilyMart",
            deep_link=f"wallet://transactions/{number}", data={LEDGER_KEY: ledger_name(number)},
        ),
    )  # fmt: skip


def _offer(number: int, user: int) -> Notification:
    return Notification(
        idempotency_key=ledger_name(number), app=APP, user_ids=[user_id(user)], notification_class=SERVICE,
        campaign_id="autumn",
        content=Content(
            title="New terms", body="新的服务条款 · From next month", data={LEDGER_KEY: ledger_name(number)},
        ),
    )  # fmt: skip
