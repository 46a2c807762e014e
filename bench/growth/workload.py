"""Payments to users drawn from a registry: evenly, or a few of them again and again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from bench.end_to_end.delivering import Workload
from bench.growth.population import devices_of, user_id
from bench.load import payment
from protos.walletpush.v1 import delivery_pb2, notification_pb2

BATCH = 500
Draw = Callable[[random.Random, int, int], list[int]]


def evenly(rng: random.Random, users: int, count: int) -> list[int]:
    """Draw users of whom each is as likely as another, and none comes twice: the least that any cache can help."""
    return rng.sample(range(users), min(count, users))


def by_zipf(rng: random.Random, users: int, count: int) -> list[int]:
    """Draw users of whom the k-th is as likely as 1/k: a rank whose logarithm is even.

    Ranks are users scattered over the registry, since a user's id says nothing of its number.
    """
    return [min(users, int((users + 1) ** rng.random())) - 1 for _ in range(count)]


def workload(draw: Draw, users: int, batches: int, run: str) -> Workload:
    """Make so many SendBatchRequests of one payment to each user drawn; the same `run` draws the same users."""
    made = list(_drawn(draw, users, batches, run))
    requests = [_request(batch, f"{run}-{number}") for number, batch in enumerate(made)]
    return Workload(requests, sum(map(len, made)), sum(devices_of(user) for batch in made for user in batch))


def to_user(number: int, name: str, run: str) -> notification_pb2.Notification:
    """Return a payment notice to all devices of a user."""
    notification = payment(number, run)
    del notification.devices[:]
    notification.user_ids.append(name)
    return notification


def _drawn(draw: Draw, users: int, batches: int, run: str) -> Iterator[list[int]]:
    rng = random.Random(run)
    for _ in range(batches):
        yield draw(rng, users, BATCH)


def _request(users: list[int], run: str) -> bytes:
    notifications = [to_user(number, user_id(user), run) for number, user in enumerate(users)]
    return delivery_pb2.SendBatchRequest(notifications=notifications).SerializeToString()
