"""Keeps the frequency counters' file on the disk and tells how full it is; one for all workers, whose file it is."""

from __future__ import annotations

import asyncio
import mmap
import time
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from core.frequency import FrequencyCounters
from gateway.entered_task import EnteredTask
from gateway.logs import get_logger

# A power cut forgets what was sent in so long at most; only pages that changed are written.
FLUSH_EVERY_S = 30.0


class FrequencyKeeper(EnteredTask):
    """Flushes the file while it is entered, once it was told that it is there. attach: maps it."""

    def __init__(
        self, registry: CollectorRegistry, attach: Callable[[], mmap.mmap], every_s: float = FLUSH_EVERY_S
    ) -> None:
        super().__init__("frequency")
        self._attach = attach
        self._every_s = every_s
        self._there = asyncio.Event()
        self._users = Gauge(
            "walletpush_frequency_entries", "Places of 3 counted messages that users take.", registry=registry
        )
        self._limit = Gauge(
            "walletpush_frequency_limit_entries", "Places that the frequency counters have.", registry=registry
        )
        self._full = Counter(
            "walletpush_frequency_full", "Messages held back because no place was left.", registry=registry
        )
        self._flushed = Gauge(
            "walletpush_frequency_flush_timestamp_seconds", "When the counters were last on the disk, since 1970.",
            registry=registry,
        )  # fmt: skip
        self._seen = 0
        self._logger = get_logger("frequency")

    def begin(self) -> None:
        """Take the file, which was just made ready."""
        self._there.set()

    async def _run(self) -> None:
        await self._there.wait()
        mapping = self._attach()
        counters = FrequencyCounters(mapping)
        self._seen = counters.full
        try:
            while True:
                try:
                    await asyncio.to_thread(self._keep, mapping, counters)
                except OSError as error:
                    # The disk's own alerts tell why; the flush's age tells since when.
                    self._logger.warning("frequency_not_flushed", why=str(error))
                await asyncio.sleep(self._every_s)
        finally:
            with suppress(OSError):
                mapping.flush()

    def _keep(self, mapping: mmap.mmap, counters: FrequencyCounters) -> None:
        self._users.set(counters.used)
        self._limit.set(counters.capacity)
        full = counters.full
        self._full.inc(full - self._seen)
        self._seen = full
        mapping.flush()
        self._flushed.set(time.time())
