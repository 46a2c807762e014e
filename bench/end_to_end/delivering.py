"""A gateway given a workload as fast as it takes it, until the provider has everything."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from bench.cpu import Spent, Watch
from bench.end_to_end.stages import Stages
from bench.received import Received, Throughput
from bench.under_test import RunningGateway

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests made ahead. notifications: in all of them; deliveries: what the provider gets of them."""

    requests: Sequence[bytes]
    notifications: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """One run. accepted_s: until the last request was answered; delivered_s: until the provider had everything.

    stages: where its notifications spent their time, for a gateway that tells.
    """

    load: Workload
    accepted_s: float
    delivered_s: float
    spent: Spent
    rss_mib: float
    throughput: Throughput
    stages: Stages = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Notifications a second, end to end."""
        return self.load.notifications / self.delivered_s

    @property
    def accepted_per_s(self) -> float:
        """Notifications that the gateway said yes to, a second."""
        return self.load.notifications / self.accepted_s

    @property
    def deliveries_per_s(self) -> float:
        """Deliveries a second, end to end."""
        return self.load.deliveries / self.delivered_s

    @property
    def cpu_us(self) -> float:
        """CPU of the gateway a notification."""
        return self.spent.gateway_s / self.load.notifications * 1e6

    @property
    def delivery_cpu_us(self) -> float:
        """CPU of the gateway a delivery."""
        return self.spent.gateway_s / self.load.deliveries * 1e6


async def deliver(
    running: RunningGateway, in_flight: int, load: Workload, received: Received, others: Sequence[psutil.Process]
) -> Delivered:
    """Send all requests, so many at a time, and wait until the provider has taken every delivery.

    others: processes of the stand that are not the gateway's. Raises NotTaken, Stalled.
    """
    waiting = iter(load.requests)

    async def caller() -> None:
        for request in waiting:
            await running.send(request)

    gc.collect()
    gc.freeze()
    await received.begin()
    async with received.sampled() as throughput:
        watch = Watch(running.processes(), others)
        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(caller())
        accepted_s = time.perf_counter() - began_s
        await received.reach(load.deliveries)
        delivered_s = time.perf_counter() - began_s
        spent = watch.spent()
    rss = sum(process.memory_info().rss for process in running.processes())
    return Delivered(load, accepted_s, delivered_s, spent, rss / _MIB, throughput)
