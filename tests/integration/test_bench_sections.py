"""The bench's sections on intake and on the whole way, run small: every figure is there, and says something."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.cpu import Spent, quietest
from bench.latency import decode
from bench.open_loop import poisson, run_open
from bench.results import SectionResult, read_section
from bench.section import BenchOptions, Scale

ROOT = Path(__file__).resolve().parents[2]
MS = 1_000_000


async def run_section(name: str, out: Path) -> SectionResult:
    """Run one in a process of its own: a section pins its process to a core."""
    words = ("-m", "bench", "section", name, "--json", str(out), "--scale", "smoke", "--repeats", "1")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, complaint = await process.communicate()
    finally:
        # A test that is given up takes the simulators and the gateway with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, complaint.decode()
    return read_section(out)


# Seven processes come up one after the other, each importing for a second or two: 13 s alone, a minute beside others.
slow_to_start = pytest.mark.timeout(150)
needs_two_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a section pins gateway and callers apart")


@needs_two_cores
@slow_to_start
async def test_intake_tells_rates_cpu_and_corrected_latencies(tmp_path: Path) -> None:
    result = await run_section("intake", tmp_path / "intake.json")
    figures = {figure.name: figure for figure in result.figures}
    for way in ("send", "send_batch_500", "send_stream_100", "client"):
        assert figures[f"intake.{way}.notifications_per_s"].median > 0
        assert figures[f"intake.{way}.server_cpu_us"].median > 0
    for case in ("send_100", "client_1000", "send_batch_500_5000"):
        p50, p99, most = (figures[f"intake.open.{case}.{word}_us"].median for word in ("p50", "p99", "max"))
        assert 0 < p50 <= p99 <= most
        assert figures[f"intake.open.{case}.to_provider_p50_us"].median > 0
    latencies = {one.name: one for one in result.latencies}
    assert all(one.corrected for one in latencies.values())
    accepted, delivered = (
        decode(latencies[f"intake.open.{name}"].encoded).count
        for name in ("send_batch_500_5000", "send_batch_500_5000.to_provider")
    )
    assert delivered == 500 * accepted
    assert {group for bars in result.bars for row in bars.figures for group in row} <= figures.keys()


@needs_two_cores
@slow_to_start
async def test_end_to_end_tells_rates_stages_and_payments_beside_a_campaign(tmp_path: Path) -> None:
    result = await run_section("end_to_end", tmp_path / "end_to_end.json")
    figures = {figure.name: figure for figure in result.figures}
    for workload in ("tokens", "users"):
        for word in ("notifications_per_s", "cpu_us", "rss_mib", *(f"stage.{s}_us" for s in ("intake", "provider"))):
            assert figures[f"end_to_end.{workload}.{word}"].median > 0
    assert figures["end_to_end.tokens.notifications_per_s"].target == 40_000
    users = figures["end_to_end.users.notifications_per_s"].median
    assert figures["end_to_end.users.deliveries_per_s"].median == pytest.approx(2 * users, rel=0.02)
    alone, beside = (figures[f"end_to_end.mix.payments_{phase}.p99_us"].median for phase in ("alone", "beside"))
    assert figures["end_to_end.mix.p99_ratio"].median == pytest.approx(beside / alone)
    assert {one.name for one in result.latencies} == {"end_to_end.mix.payments_alone", "end_to_end.mix.payments_beside"}
    assert all(series.y and min(series.y) >= 0 for series in result.series)


async def test_open_loop_charges_a_stall_to_the_calls_that_it_kept_waiting() -> None:
    free = asyncio.Event()
    started: list[int] = []

    async def call() -> tuple[str, ...]:
        if not started:
            started.append(0)
            time.sleep(0.05)  # noqa: ASYNC251  # the stall
            free.set()
        await free.wait()
        return ("id",)

    run = await run_open([call] * 3, [0, 10 * MS, 20 * MS])
    first, second, third = run.waits_us()
    assert first >= 50_000
    assert second >= 40_000
    assert third >= 30_000
    assert run.late_us()[1] >= 35_000
    assert run.ids == [("id",)] * 3


async def test_open_loop_starts_no_more_calls_once_it_is_over() -> None:
    over = asyncio.Event()

    async def call() -> tuple[str, ...]:
        over.set()
        return ("id",)

    run = await run_open([call] * 3, [0, 50 * MS, 60_000 * MS], over)
    assert run.count == 1
    assert len(run.waits_us()) == 1


def test_poisson_arrivals_come_at_their_mean_rate_and_irregularly() -> None:
    due_ns = poisson(1_000, 20.0, seed=1)
    gaps = [after - before for before, after in itertools.pairwise(due_ns)]
    assert due_ns == sorted(due_ns) == poisson(1_000, 20.0, seed=1)
    assert len(due_ns) == 20_000
    assert due_ns != poisson(1_000, 20.0, seed=2)
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance**0.5 == pytest.approx(mean, rel=0.05)


class Disturbed:
    """A round that others disturbed by so much."""

    def __init__(self, number: int, foreign_percent: float) -> None:
        self.number = number
        self.spent = Spent(1.0, 0.5, 0.1, 0.1, foreign_percent)


async def test_the_least_disturbed_rounds_count_and_quiet_ones_end_the_trying() -> None:
    async def measured(percents: list[float]) -> tuple[list[int], int, int]:
        async def measure(number: int) -> Disturbed:
            return Disturbed(number, percents[number])

        rounds = await quietest(BenchOptions(Scale.QUICK, repeats=2), measure)
        return [one.number for one in rounds.counted], rounds.quiet, rounds.tried

    assert await measured([1.0, 2.0]) == ([0, 1], 2, 2)
    assert await measured([50.0, 1.0, 2.0]) == ([1, 2], 2, 3)
    assert await measured([50.0, 20.0, 3.0]) == ([1, 2], 1, 3)
