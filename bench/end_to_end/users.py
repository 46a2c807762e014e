"""Users with one to three registered devices, and payments to them, so that finding the devices is in the measure."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from adapters.registry.sqlite import SqliteRegistry
from bench.end_to_end.delivering import Workload
from bench.load import apns_token, payment
from bench.stand import APP
from core.model import Device, Environment, Provider, Target
from protos.walletpush.v1 import delivery_pb2, notification_pb2

_AT_ONCE = 10_000
_MOST_DEVICES = 3


def devices_of(user: int) -> int:
    """Return how many devices a user has."""
    return 1 + user % _MOST_DEVICES


async def register(data_dir: Path, users: int) -> int:
    """Register the devices of so many users while no gateway runs; return how many there are."""
    registry = await SqliteRegistry.open(data_dir)
    try:
        devices = _devices(users, time.time_ns() // 1_000_000)
        count = 0
        while batch := list(islice(devices, _AT_ONCE)):
            await registry.register(batch)
            count += len(batch)
        return count
    finally:
        await registry.close()


def user_workload(count: int, users: int, size: int, run: str) -> Workload:
    """Make payments to users at random, the same ones for a run's name, in SendBatchRequests of `size`."""
    rng = random.Random(run)
    order = [rng.randrange(users) for _ in range(count)]
    requests = [
        delivery_pb2.SendBatchRequest(
            notifications=[_to_user(number, order[number], run) for number in range(start, min(start + size, count))]
        ).SerializeToString()
        for start in range(0, count, size)
    ]
    return Workload(requests, count, sum(map(devices_of, order)))


def _devices(users: int, now_unix_ms: int) -> Iterator[Device]:
    for user in range(users):
        for place in range(devices_of(user)):
            token = apns_token(user * _MOST_DEVICES + place)
            target = Target(Provider.APNS, token, Environment.PRODUCTION, now_unix_ms)
            yield Device(APP, _user_id(user), target, "zh-CN", "Asia/Shanghai", "9.1.0")


def _to_user(number: int, user: int, run: str) -> notification_pb2.Notification:
    notification = payment(number, run)
    del notification.devices[:]
    notification.user_ids.append(_user_id(user))
    return notification


def _user_id(user: int) -> str:
    return f"user-{user}"
