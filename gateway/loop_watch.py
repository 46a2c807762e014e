"""How late the event loop is, and how long Python's cycle collector stopped it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping

from gateway.metrics import Metrics

_INTERVAL_S = 0.1


class LoopWatch:
    """Measures the loop it runs on; `run` until cancelled."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started_ns = 0
        self._collections = [0, 0, 0]
        self._paused_ns = [0, 0, 0]

    async def run(self) -> None:
        """Observe every tenth of a second by how much a timer is late; count the collector's runs."""
        loop = asyncio.get_running_loop()
        gc.callbacks.append(self._on_collection)
        try:
            while True:
                due_s = loop.time() + _INTERVAL_S
                await asyncio.sleep(_INTERVAL_S)
                self._metrics.loop_lag(max(0.0, loop.time() - due_s))
                self._count_collections()
        finally:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        # It may run inside a metric's lock, so it only notes; the loop counts.
        if phase == "start":
            self._started_ns = time.perf_counter_ns()
        elif self._started_ns:
            self._collections[info["generation"]] += 1
            self._paused_ns[info["generation"]] += time.perf_counter_ns() - self._started_ns

    def _count_collections(self) -> None:
        for generation, count in enumerate(self._collections):
            if count:
                self._metrics.gc(generation, count, self._paused_ns[generation] / 1e9)
                self._collections[generation] = self._paused_ns[generation] = 0
