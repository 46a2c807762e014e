"""What a worker holds while notifications wait, and how it gets them back when it is started anew.

APNs refuses every connection, so that nothing leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import linear_regression

import aiohttp

from adapters.simulators.faults import Faults
from bench.growth.population import REGISTRY_FILE
from bench.load import batches
from bench.memory.footprint import Footprint, footprint
from bench.quiet import process_cpu_s
from bench.stand import Simulators, Stand, StandOptions, gateway
from bench.under_test import RunningWalletpush, WalletpushUnderTest

_BATCH = 500
_STEPS = 10
_IN_FLIGHT = 4
_WAIT_S = 120.0
_POLL_S = 0.1
Step = tuple[int, Footprint]


@dataclass(frozen=True, slots=True)
class Restart:
    """A start over a backlog. ready_s: until the gateway was ready; back_s: until everything waited again."""

    ready_s: float
    back_s: float
    cpu_s: float
    journal_bytes: int
    after: Footprint


@dataclass(frozen=True, slots=True)
class Pending:
    """One filling. steps: (waiting, memory), from none to all."""

    steps: tuple[Step, ...]
    restart: Restart

    @property
    def count(self) -> int:
        """How many waited at the end."""
        return self.steps[-1][0]

    @property
    def rss_each(self) -> float:
        """Return the slope of RSS, bytes a waiting notification."""
        return self._slope([memory.rss for _, memory in self.steps])

    @property
    def own_each(self) -> float:
        """Return the slope of what only the worker has."""
        return self._slope([memory.own for _, memory in self.steps])

    def _slope(self, sizes: list[int]) -> float:
        return linear_regression([waiting for waiting, _ in self.steps], sizes).slope


async def fill_and_restart(found: Simulators, count: int) -> Pending:
    """Let `count` payments wait in a worker, stop it, and start another over what it left; count: n x 5,000."""
    # No class may use all of it.
    options = StandOptions(settings=f"[dispatch]\nmax_pending = {count * 5 // 4}\n")
    async with found.simulator() as simulator:
        await simulator.set_faults("apns", Faults(outage="refusing"))
    async with aiohttp.ClientSession() as session:
        async with WalletpushUnderTest(options).start(found) as running:
            steps = [step async for step in _fill(session, running, count)]
        return Pending(tuple(steps), await _restart(session, found, options, count))


async def _fill(session: aiohttp.ClientSession, running: RunningWalletpush, count: int) -> AsyncIterator[Step]:
    (worker,) = running.processes()
    registry = running.place.directory / "data" / REGISTRY_FILE
    yield 0, footprint(worker, registry)
    requests = batches(count, _BATCH, "memory")
    for step in range(1, _STEPS + 1):
        tenth = islice(requests, count // _STEPS // _BATCH)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_IN_FLIGHT):
                tasks.create_task(_send_all(running, tenth))
        waiting = count * step // _STEPS
        await _wait_queued(session, running.place, waiting)
        yield waiting, footprint(worker, registry)


async def _send_all(running: RunningWalletpush, requests: Iterator[bytes]) -> None:
    for request in requests:
        await running.send(request)


async def _restart(session: aiohttp.ClientSession, found: Simulators, options: StandOptions, count: int) -> Restart:
    began_s = time.perf_counter()
    async with gateway(found, options) as place:
        ready_s = time.perf_counter() - began_s
        await _wait_queued(session, place, count)
        back_s = time.perf_counter() - began_s
        (worker,) = place.workers()
        data_dir = found.directory / "data"
        journal_bytes = sum(path.stat().st_size for path in data_dir.glob("journal*") if path.is_file())
        return Restart(
            ready_s, back_s, process_cpu_s(worker), journal_bytes, footprint(worker, data_dir / REGISTRY_FILE)
        )


async def _wait_queued(session: aiohttp.ClientSession, place: Stand, count: int) -> None:
    """Wait until so many deliveries wait in all lanes. Raises TimeoutError."""
    async with asyncio.timeout(_WAIT_S):
        while await _queued(session, place) < count:
            await asyncio.sleep(_POLL_S)


async def _queued(session: aiohttp.ClientSession, place: Stand) -> int:
    async with session.get(f"{place.web}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("walletpush_queue_depth{")))
