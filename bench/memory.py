"""`python -m bench.memory`: what a worker holds while a million notifications wait, and how it gets them back.

APNs refuses every connection, so that nothing leaves. RSS counts the shared hot state (dedup window, buckets) as far
as it was touched; the column beside it is what the worker has for itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import grpc
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from adapters.simulators.faults import Faults
from bench.load import batches
from bench.stand import OTHER_CORE, Simulators, Stand, StandOptions, gateway, simulators
from protos.walletpush.v1 import delivery_pb2

_METHOD = "/walletpush.v1.DeliveryService/SendBatch"
_BATCH = 500
_STEPS = 10
_IN_FLIGHT = 4
_WAIT_S = 120.0
_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Sample:
    """A worker's memory at one moment, in bytes, with so many notifications waiting; own: not shared with others."""

    pending: int
    rss: int
    own: int


async def queued(session: aiohttp.ClientSession, place: Stand) -> int:
    """Return how many deliveries wait in all lanes."""
    async with session.get(f"{place.web}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("walletpush_queue_depth{")))


async def wait_queued(session: aiohttp.ClientSession, place: Stand, count: int) -> None:
    """Wait until so many deliveries wait. Raises TimeoutError."""
    async with asyncio.timeout(_WAIT_S):
        while await queued(session, place) < count:
            await asyncio.sleep(0.1)


def sample(worker: psutil.Process, pending: int) -> Sample:
    """Look at the worker now."""
    memory = worker.memory_full_info()
    return Sample(pending, memory.rss, memory.uss)


async def fill(session: aiohttp.ClientSession, place: Stand, count: int) -> list[Sample]:
    """Send `count` payments; return the memory before, and after each tenth of them."""
    (worker,) = place.workers()
    samples = [sample(worker, 0)]
    requests = batches(count, _BATCH, "memory")
    async with grpc.aio.insecure_channel(place.address) as channel:
        send = channel.unary_unary(_METHOD, None, None)

        async def caller(calls: Iterator[bytes], left: list[int]) -> None:
            while left:
                left.pop()
                answer = delivery_pb2.SendBatchResponse.FromString(await send(next(calls)))
                if any(result.status != delivery_pb2.SEND_STATUS_ACCEPTED for result in answer.results):
                    raise RuntimeError(f"not accepted: {answer.results[0]}")

        for step in range(1, _STEPS + 1):
            left = [0] * (count // _STEPS // _BATCH)
            await asyncio.gather(*(caller(requests, left) for _ in range(_IN_FLIGHT)))
            await wait_queued(session, place, count * step // _STEPS)
            samples.append(sample(worker, count * step // _STEPS))
    return samples


def show(samples: list[Sample], title: str) -> None:
    """Print samples; the first is what the others are compared with."""
    table = Table("pending", "RSS MiB", "own MiB", "RSS bytes each", "own bytes each", title=title)
    first = samples[0]
    for one in samples:
        grown = (one.rss - first.rss, one.own - first.own) if one.pending else ()
        each = (f"{value / one.pending:,.0f}" for value in grown)
        table.add_row(f"{one.pending:,}", f"{one.rss / _MIB:,.0f}", f"{one.own / _MIB:,.0f}", *each)
    Console().print(table)
    verdict = "under" if samples[-1].rss < _GIB else "OVER"
    Console().print(f"{samples[-1].rss / _MIB:,.0f} MiB with {samples[-1].pending:,} waiting: {verdict} 1 GiB")


async def restart(session: aiohttp.ClientSession, found: Simulators, options: StandOptions, count: int) -> None:
    """Start a gateway over the backlog and print how long it took until everything waits again."""
    began = time.perf_counter()
    async with gateway(found, options) as place:
        ready_s = time.perf_counter() - began
        (worker,) = place.workers()
        await wait_queued(session, place, count)
        back_s = time.perf_counter() - began
        used = worker.cpu_times()
        now = sample(worker, count)
    columns = ("ready after s", "all waiting again after s", "CPU s", "RSS MiB", "own MiB", "journal MiB")
    table = Table(*columns, title=f"restart over {count:,}")
    journal = sum(path.stat().st_size for path in (found.directory / "data").rglob("*") if path.is_file())
    table.add_row(
        f"{ready_s:.1f}", f"{back_s:.1f}", f"{used.user + used.system:.1f}", f"{now.rss / _MIB:,.0f}",
        f"{now.own / _MIB:,.0f}", f"{journal / _MIB:,.0f}",
    )  # fmt: skip
    Console().print(table)


async def main(count: int) -> None:
    """Fill a worker, then restart it over what it left."""
    os.sched_setaffinity(0, {OTHER_CORE})
    # A class below security may use 95 % of it.
    options = StandOptions(mode="truthful", settings=f"[dispatch]\nmax_pending = {int(count / 0.94)}\n")
    async with simulators(options) as found, aiohttp.ClientSession() as session:
        async with found.simulator() as simulator:
            await simulator.set_faults("apns", Faults(outage="refusing"))
        async with gateway(found, options) as place:
            samples = await fill(session, place, count)
        show(samples, f"SendBatch of {_BATCH}, one device each, nothing leaves")
        await restart(session, found, options, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    given = parser.parse_args()
    uvloop.run(main(given.count))
