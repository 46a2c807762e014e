"""The bench's sections on memory, growth and the soak, run small: what they find adds up."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bench.results import SectionResult, read_section
from bench.soak.plot import PHASES_PLOT
from bench.soak.troubles import TROUBLES

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    # Gateways come up one after the other, each importing for a second or two: beside others that takes a while.
    pytest.mark.timeout(240),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a section pins gateway and callers apart"),
]


async def run_section(name: str, out: Path, *more: str) -> SectionResult:
    """Run one in a process of its own: a section pins its process to a core."""
    words = ("-m", "bench", "section", name, "--json", str(out), "--scale", "smoke", "--repeats", "1", *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return read_section(out)


async def test_memory_tells_bytes_by_what_waits_and_by_what_is_registered(tmp_path: Path) -> None:
    result = await run_section("memory", tmp_path / "memory.json")
    figures = {figure.name: figure.median for figure in result.figures}
    assert figures["memory.pending.rss_bytes"] > 0
    assert figures["memory.pending.own_bytes"] > 0
    assert figures["memory.restart.backlog_s"] >= figures["memory.restart.ready_s"] > 0
    assert 150 < figures["memory.device.file_bytes"] < 600
    assert figures["memory.device.mapped_bytes"] == pytest.approx(figures["memory.device.file_bytes"], rel=0.2)
    assert abs(figures["memory.user.file_bytes"]) < 60
    assert all(len(series.x) == len(series.y) > 1 for series in result.series)


async def test_growth_tells_each_size_and_the_largest_beside_the_smallest(tmp_path: Path) -> None:
    result = await run_section("growth", tmp_path / "growth.json")
    figures = {figure.name: figure for figure in result.figures}
    for draw in ("even", "zipf"):
        for power in (3, 4, 5):
            for word in ("notifications_per_s", "cpu_us", "delivery_cpu_us", "look_us"):
                assert figures[f"growth.{draw}.1e{power}.{word}"].median > 0
    ratio = figures["growth.cpu_ratio_1e5_1e3"]
    sizes = [figures[f"growth.even.1e{power}.delivery_cpu_us"].median for power in (3, 5)]
    assert ratio.median == pytest.approx(sizes[1] / sizes[0])
    # What was promised is promised of ten million.
    assert ratio.target is None
    (table,) = result.tables
    assert [row[1] for row in table.rows] == ["999", "9,999", "99,999"] * 2
    assert {series.x for series in result.series} == {(999.0, 9_999.0, 99_999.0)}


async def test_a_soak_meets_every_trouble_and_can_account_for_everything(tmp_path: Path) -> None:
    result = await run_section("soak", tmp_path / "soak.json", "--soak-s", "10")
    figures = {figure.name: figure for figure in result.figures}
    for nothing in ("lost", "given_up", "mistaken", "twice_untold", "receipts_too_many", "not_accepted"):
        assert (figures[f"soak.{nothing}"].median, figures[f"soak.{nothing}"].target) == (0.0, 0.0), nothing
    assert figures["soak.accepted"].median > 300
    assert [one.name for one in result.series if one.plot == PHASES_PLOT] == [one.name for one in TROUBLES]
    became, times, troubles = result.tables
    counts = {row[0]: int(row[1].replace(",", "")) for row in became.rows}
    ended = sum(count for what, count in counts.items() if what.startswith("ended "))
    assert counts["accepted"] == counts["delivered"] + ended == figures["soak.accepted"].median
    assert {one.name for one in TROUBLES} <= {row[0] for row in times.rows}
    assert len(troubles.rows) == len(TROUBLES)
    assert all(one.corrected for one in result.latencies)
