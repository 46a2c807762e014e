"""Looks at a running gateway again and again: memory, processors, files, queue and what callers saw since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp
import psutil

from bench.memory.footprint import heap
from bench.quiet import process_cpu_s
from bench.soak.book import Book
from bench.stand import Stand

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Memory in MiB, of all workers; heap: what is no file and not shared. cpu: workers', percent of a core.

    files: open ones of all processes. age_s: of the oldest delivery that waits. p50_ms, p99_ms: payments from when they
    were due to the provider's answer, of those that ended since the last look.
    """

    at_s: float
    rss: float
    heap: float
    supervisor_rss: float
    cpu: float
    files: int
    pending: int
    age_s: float
    journal: float
    accepted_per_s: float
    delivered_per_s: float
    p50_ms: float
    p99_ms: float


class Sampler:
    """Takes samples of a stand; `samples` is what it has."""

    def __init__(self, place: Stand, book: Book, session: aiohttp.ClientSession) -> None:
        self._place, self._book, self._session = place, book, session
        self._began_s = time.monotonic()
        self._last_s, self._cpu_s = self._began_s, sum(map(process_cpu_s, place.workers()))
        self._accepted = self._delivered = 0
        self.samples: list[Sample] = []

    async def run(self, every_s: float) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.take()

    async def take(self) -> None:
        """Take one sample now."""
        metrics = await self._metrics()
        workers, now_s = self._place.workers(), time.monotonic()
        cpu_s, since_s = sum(map(process_cpu_s, workers)), now_s - self._last_s
        recent = self._book.recently().delivered
        p50_us, p99_us = recent.percentiles((50.0, 99.0))
        self.samples.append(Sample(
            at_s=now_s - self._began_s,
            rss=sum(worker.memory_info().rss for worker in workers) / _MIB,
            heap=sum(map(heap, workers)) / _MIB,
            supervisor_rss=self._place.supervisor.memory_info().rss / _MIB,
            cpu=(cpu_s - self._cpu_s) / since_s * 100,
            files=_files([self._place.supervisor, *workers]),
            pending=int(_total(metrics, "walletpush_deliveries_pending")),
            age_s=max(_values(metrics, "walletpush_queue_oldest_age_seconds"), default=0.0),
            journal=_total(metrics, "walletpush_journal_size_bytes") / _MIB,
            accepted_per_s=(self._book.accepted - self._accepted) / since_s,
            delivered_per_s=(self._book.delivered - self._delivered) / since_s,
            p50_ms=p50_us / 1e3,
            p99_ms=p99_us / 1e3,
        ))  # fmt: skip
        self._last_s, self._cpu_s = now_s, cpu_s
        self._accepted, self._delivered = self._book.accepted, self._book.delivered

    async def _metrics(self) -> list[str]:
        async with self._session.get(f"{self._place.web}/metrics") as answer:
            answer.raise_for_status()
            return (await answer.text()).splitlines()


def _files(processes: Iterable[psutil.Process]) -> int:
    return sum(process.num_fds() for process in processes)


def _values(lines: Iterable[str], name: str) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]


def _total(lines: Iterable[str], name: str) -> float:
    return sum(_values(lines, name))
