"""The frequency counters' file is flushed and told of while a gateway runs."""

from __future__ import annotations

import asyncio
import time
from array import array
from pathlib import Path

from prometheus_client import CollectorRegistry

from adapters.hotstate.frequency_file import FILE, FrequencyOptions, attach_frequency, open_frequency
from adapters.hotstate.shared_file import attach
from gateway.frequency_keeper import FrequencyKeeper

NOW_S = 1_700_000_000


async def test_counters_are_flushed_and_told_of_from_the_moment_that_they_are_there(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    keeper = FrequencyKeeper(registry, lambda: attach(tmp_path / FILE), every_s=0.01)

    def told(name: str) -> float:
        return registry.get_sample_value(f"walletpush_frequency_{name}") or 0.0

    async with keeper:
        await asyncio.sleep(0)
        assert told("flush_timestamp_seconds") == 0
        open_frequency(tmp_path, NOW_S, FrequencyOptions(capacity=1_000))
        keeper.begin()
        counters = attach_frequency(tmp_path)
        async with asyncio.timeout(10):
            while not told("flush_timestamp_seconds"):  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.01)
        n = 5_000
        users, ones = array("Q", range(1, n + 1)), array("I", [1]) * n
        counted = counters.commit_many(users, ones, array("Q", [1]) * n, NOW_S)
        assert counted < n
        limits, since, until = array("H", [1]) * n, array("I", [NOW_S - 60]) * n, array("I", [0]) * n
        out = array("B", bytes(n)), array("B", bytes(n)), array("I", bytes(4 * n))
        counters.reserve_many(
            users, array("I", [2]) * n, array("Q", [2]) * n, array("B", [1]) * n, limits, since, until, NOW_S, *out
        )
        async with asyncio.timeout(10):
            while told("full_total") != counters.full or not counters.full:  # noqa: ASYNC110 - a thread sets them
                await asyncio.sleep(0.01)
        assert told("entries") == counters.used > 0
        assert told("limit_entries") == counters.capacity >= 1_000
        assert abs(time.time() - told("flush_timestamp_seconds")) < 5
