"""What registered devices and users take: on disk, and in a worker that has looked all of them up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.end_to_end.delivering import Workload, deliver
from bench.growth.population import REGISTRY_FILE, build, user_id
from bench.growth.workload import to_user
from bench.memory.footprint import Footprint, footprint
from bench.received import Received
from bench.stand import Simulators
from bench.under_test import WalletpushUnderTest
from protos.walletpush.v1 import delivery_pb2

# What is fitted is bytes = constant + a * devices + b * users: these shapes tell the two apart.
DEVICES_EACH = (1, 3)
_BATCH = 500
_PART = 20_000
_GATEWAY = WalletpushUnderTest()


@dataclass(frozen=True, slots=True)
class Registered:
    """One registry, and the worker over it before the first look-up and after the last."""

    users: int
    devices: int
    file_bytes: int
    before: Footprint
    after: Footprint

    @property
    def mapped(self) -> int:
        """Pages of the registry that the look-ups brought into the worker, bytes."""
        return self.after.registry - self.before.registry

    @property
    def heap(self) -> int:
        """What they left in its heap, bytes."""
        return self.after.anon - self.before.anon


@dataclass(frozen=True, slots=True)
class Each:
    """Bytes a device, and bytes a user beside their devices."""

    device: float
    user: float


async def look_all_up(found: Simulators, users: int, devices_each: int, notifications: int) -> Registered:
    """Build a registry and send payments to its users in turn, as many as to any other registry."""
    place = found.apart(f"users-{users}-{devices_each}")
    registry = place.directory / "data" / REGISTRY_FILE
    devices = build(registry.parent, users, devices_each)
    file_bytes = registry.stat().st_size
    async with _GATEWAY.start(place) as running, found.simulator() as simulator:
        (worker,) = running.processes()
        before, received = footprint(worker, registry), Received(simulator)
        for load in _loads(users, devices_each, notifications):
            await deliver(running, _GATEWAY.in_flight, load, received, (found.process,))
        after = footprint(worker, registry)
    shutil.rmtree(place.directory)
    return Registered(users, devices, file_bytes, before, after)


def fit(registries: Sequence[Registered], sizes: Sequence[int]) -> Each:
    """Fit sizes, in bytes, one of each registry, by least squares."""
    shapes = np.array([(1.0, one.devices, one.users) for one in registries])
    _, device, user = np.linalg.lstsq(shapes, np.array(sizes, dtype=float))[0]
    return Each(float(device), float(user))


def _loads(users: int, devices_each: int, notifications: int) -> Iterator[Workload]:
    for first in range(0, notifications, _PART):
        last = min(first + _PART, notifications)
        requests = [
            delivery_pb2.SendBatchRequest(
                notifications=[
                    to_user(number, user_id(number % users), "devices")
                    for number in range(start, min(start + _BATCH, last))
                ]
            ).SerializeToString()
            for start in range(first, last, _BATCH)
        ]
        yield Workload(requests, last - first, (last - first) * devices_each)
