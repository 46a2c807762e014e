"""`python -m bench.calls`: what each way of calling costs the gateway, one worker pinned to one core.

The caller is Python too, on the other core, together with the simulator; `caller us` tells when it is the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from bench.load import batches, payment
from bench.quiet import QUIET_PERCENT, cores_busy_s, process_cpu_s
from bench.stand import OTHER_CORE, Stand, StandOptions, stand
from gateway.client import Walletpush
from protos.walletpush.v1 import delivery_pb2

_SERVICE = "/walletpush.v1.DeliveryService/"
_BATCH_CALLS = 8
_STREAM_WINDOW = 64
_DELIVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Wall time and CPU so far, in seconds: of the worker, of this process, of what else the stand runs, of all."""

    wall_s: float
    server_s: float
    caller_s: float
    others_s: float
    busy_s: float


class Tally:
    """What the callers saw: how long each call or chunk took, from the moment that everything was prepared."""

    def __init__(self, place: Stand) -> None:
        (self._worker,) = place.workers()
        self._others = (place.supervisor, place.simulators)
        self.times_s: list[float] = []
        self.began = self.now()

    def now(self) -> Moment:
        """Look at the clocks."""
        others_s = sum(process_cpu_s(process) for process in self._others)
        return Moment(
            time.perf_counter(), process_cpu_s(self._worker), time.process_time(), others_s, cores_busy_s()
        )  # fmt: skip

    def begin(self) -> None:
        """Forget what preparing took."""
        self.began = self.now()

    async def timed(self, call: Awaitable[object]) -> None:
        """Await one call and note its time."""
        began = time.perf_counter()
        await call
        self.times_s.append(time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement; CPU in us a notification, of the worker and of this process; others' share of both cores."""

    per_s: float
    calls_per_s: float
    server_us: float
    caller_us: float
    p50_ms: float
    p99_ms: float
    foreign_percent: float


Way = Callable[[str, str, int, Tally], Awaitable[None]]
SizedWay = Callable[[str, str, int, Tally, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One way of calling. size: what tells it from its sisters. count: notifications of a run."""

    name: str
    size: str
    count: int
    way: Way


async def unary(address: str, run: str, count: int, tally: Tally, callers: int) -> None:
    """Call Send, one notification each."""
    requests = [
        delivery_pb2.SendRequest(notification=payment(number, run)).SerializeToString() for number in range(count)
    ]
    await _call_all(address, "Send", iter(requests), callers, tally)


async def batch(address: str, run: str, count: int, tally: Tally, size: int) -> None:
    """Call SendBatch, a few calls at a time."""
    await _call_all(address, "SendBatch", iter(list(batches(count, size, run))), _BATCH_CALLS, tally)


async def stream(address: str, run: str, count: int, tally: Tally, size: int) -> None:
    """Send chunks on one stream, at most so many of them unanswered."""
    chunks = [
        delivery_pb2.SendStreamRequest(
            sequence=start // size,
            notifications=[payment(number, run) for number in range(start, min(start + size, count))],
        ).SerializeToString()
        for start in range(0, count, size)
    ]
    sent_s: dict[int, float] = {}
    window = asyncio.Semaphore(_STREAM_WINDOW)

    async def paced() -> AsyncIterator[bytes]:
        for place, chunk in enumerate(chunks):
            await window.acquire()
            sent_s[place] = time.perf_counter()
            yield chunk

    async with grpc.aio.insecure_channel(address) as channel:
        tally.begin()
        call = channel.stream_stream(_SERVICE + "SendStream", None, delivery_pb2.SendStreamResponse.FromString)(paced())
        async for answer in call:
            tally.times_s.append(time.perf_counter() - sent_s[answer.sequence])
            window.release()


async def client(address: str, run: str, count: int, tally: Tally, callers: int) -> None:
    """Call the client's send from many tasks; it makes chunks by itself."""
    notifications = iter([payment(number, run) for number in range(count)])

    async with Walletpush(address) as sender:

        async def caller() -> None:
            for notification in notifications:
                await tally.timed(sender.send(notification))

        tally.begin()
        await asyncio.gather(*(caller() for _ in range(callers)))


async def _call_all(address: str, method: str, requests: Iterator[bytes], callers: int, tally: Tally) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        send = channel.unary_unary(_SERVICE + method, None, None)

        async def caller() -> None:
            for request in requests:
                await tally.timed(send(request))

        await channel.channel_ready()
        tally.begin()
        await asyncio.gather(*(caller() for _ in range(callers)))


async def measure(place: Stand, case: Case, run: str) -> Run:
    """Run a case once. CPU is counted until the provider has everything, time until the last answer."""
    async with place.simulator() as simulator:
        before = (await simulator.summary("apns"))["accepted"]
        tally = Tally(place)
        await case.way(place.address, run, case.count, tally)
        answered_s = time.perf_counter() - tally.began.wall_s
        async with asyncio.timeout(_DELIVERY_S):
            while (await simulator.summary("apns"))["accepted"] < before + case.count:
                await asyncio.sleep(0.02)
    began, ended = tally.began, tally.now()
    server_s, caller_s = ended.server_s - began.server_s, ended.caller_s - began.caller_s
    foreign_s = ended.busy_s - began.busy_s - server_s - caller_s - (ended.others_s - began.others_s)
    available_s = (ended.wall_s - began.wall_s) * (os.cpu_count() or 1)
    times_s = sorted(tally.times_s)
    return Run(
        case.count / answered_s, len(times_s) / answered_s, server_s / case.count * 1e6, caller_s / case.count * 1e6,
        times_s[len(times_s) // 2] * 1e3, times_s[int(len(times_s) * 0.99)] * 1e3, foreign_s / available_s * 100,
    )  # fmt: skip


def cells(runs: Sequence[Run]) -> list[str]:
    """Return medians over the quiet runs, or the quietest one, and how many were quiet."""
    quiet = [run for run in runs if run.foreign_percent <= QUIET_PERCENT]
    counted = quiet or [min(runs, key=lambda run: run.foreign_percent)]

    def median(name: str, digits: int) -> str:
        return f"{statistics.median(getattr(run, name) for run in counted):,.{digits}f}"

    spread = f"{min(run.per_s for run in counted):,.0f}-{max(run.per_s for run in counted):,.0f}"
    return [
        median("calls_per_s", 0), median("per_s", 0), spread, median("server_us", 1), median("caller_us", 1),
        median("p50_ms", 2), median("p99_ms", 2), f"{len(quiet)} of {len(runs)}",
    ]  # fmt: skip


def cases(scale: float) -> Iterator[Case]:
    """Yield what is measured."""
    for name, way, unit, sizes in (
        ("Send", unary, "callers", ((1, 1_000), (100, 5_000), (1_000, 5_000))),
        ("SendStream", stream, "a chunk", ((1, 10_000), (10, 50_000), (100, 100_000), (500, 100_000))),
        ("SendBatch", batch, "a call", ((10, 30_000), (100, 100_000), (500, 100_000))),
        ("Walletpush.send", client, "callers", ((1, 1_000), (100, 20_000), (1_000, 50_000))),
    ):
        for size, count in sizes:
            yield Case(name, f"{size:,} {unit}", max(size, int(count * scale)), partial(_sized, way, size))


async def _sized(way: SizedWay, size: int, address: str, run: str, count: int, tally: Tally) -> None:
    await way(address, run, count, tally, size)


async def main(rounds: int, scale: float) -> None:
    """Print one table."""
    os.sched_setaffinity(0, {OTHER_CORE})
    table = Table(
        "way", "size", "calls/s", "notifications/s", "spread", "server us", "caller us", "p50 ms", "p99 ms", "quiet",
        title="CPU in us a notification; the server's is the whole way to the provider's answer",
    )  # fmt: skip
    async with stand(StandOptions()) as place:
        await measure(place, Case("warm-up", "", 20_000, partial(_sized, batch, 500)), "warm")
        for case in cases(scale):
            runs = [await measure(place, case, f"{case.name}{case.size}{number}") for number in range(rounds)]
            table.add_row(case.name, case.size, *cells(runs))
    Console(width=150).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    uvloop.run(main(given.rounds, given.scale))
