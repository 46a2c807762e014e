"""`python -m bench.end_to_end`: gRPC in, durable, out over HTTP/2, one worker pinned to one core."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from dataclasses import dataclass

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from bench.load import batches
from bench.stand import OTHER_CORE, Stand, StandOptions, stand
from protos.walletpush.v1 import delivery_pb2

_METHOD = "/walletpush.v1.DeliveryService/SendBatch"
_IN_FLIGHT = 8
_OPTIONS = (("grpc.max_send_message_length", 1 << 26),)
_COLUMNS = ("run", "notifications", "accepted/s", "end to end/s", "CPU us each", "RSS MiB")


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. accepted_s: until the last call was answered; delivered_s: until the provider had everything."""

    count: int
    accepted_s: float
    delivered_s: float
    cpu_s: float
    rss_mib: float

    @property
    def per_s(self) -> float:
        """Notifications per second, end to end."""
        return self.count / self.delivered_s

    @property
    def cpu_us(self) -> float:
        """CPU of the worker per notification."""
        return self.cpu_s / self.count * 1e6


async def measure(place: Stand, requests: list[bytes], count: int, received_before: int) -> Run:
    """Send all requests, a few at a time, and wait until the simulator has received every notification."""
    (worker,) = place.workers()
    before = worker.cpu_times()
    started = time.perf_counter()
    async with grpc.aio.insecure_channel(place.address, options=_OPTIONS) as channel:
        send = channel.unary_unary(_METHOD, None, None)
        waiting = iter(requests)

        async def caller() -> None:
            for request in waiting:
                answer = delivery_pb2.SendBatchResponse.FromString(await send(request))
                if any(result.status != delivery_pb2.SEND_STATUS_ACCEPTED for result in answer.results):
                    raise RuntimeError(f"not accepted: {answer.results[0]}")

        await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))
    accepted_s = time.perf_counter() - started
    async with place.simulator() as simulator:
        while (await simulator.summary("apns"))["accepted"] < received_before + count:
            await asyncio.sleep(0.01)
    delivered_s = time.perf_counter() - started
    after = worker.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return Run(count, accepted_s, delivered_s, cpu_s, worker.memory_info().rss / 2**20)


async def main(count: int, size: int, repeats: int) -> None:
    """Print a table of `repeats` runs."""
    os.sched_setaffinity(0, {OTHER_CORE})
    table = Table(*_COLUMNS, title=f"SendBatch of {size}")
    async with stand(StandOptions()) as place:
        for number in range(repeats):
            requests = list(batches(count, size, f"run{number}"))
            run = await measure(place, requests, count, number * count)
            table.add_row(
                str(number), f"{count:,}", f"{count / run.accepted_s:,.0f}", f"{run.per_s:,.0f}", f"{run.cpu_us:.1f}",
                f"{run.rss_mib:.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    uvloop.run(main(given.count, given.size, given.repeats))
