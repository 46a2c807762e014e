"""`python -m bench.stages`: what each stage of a notification costs, in CPU time and instructions, beside its budget.

Instructions come from callgrind and are the same on a busy machine; CPU time is the best of some runs. With --sampled
a loaded worker is looked at by perf instead, which shows the edges: TLS, kernel, gRPC. --save keeps the figures, and
--before shows those of an earlier run beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.stages import callgrind, samples
from bench.stages.budget import BUDGETS, PROVIDER

_CPU_BATCHES = 40


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one notification in one stage."""

    cpu_us: float
    instructions: float


def measure(batches: int, size: int, repeats: int) -> tuple[dict[str, Cost], callgrind.Counts]:
    """Return the cost of each stage, and the instructions in detail."""
    with tempfile.TemporaryDirectory(prefix="walletpush-callgrind-") as name:
        counts = callgrind.count(Path(name), batches, size)
    runs = [_cpu_ns(size) for _ in range(repeats)]
    return {
        budget.stage: Cost(
            min(run.get(budget.stage, 0) for run in runs) / _CPU_BATCHES / size / 1e3,
            counts.by_stage[budget.stage] / batches / size,
        )
        for budget in BUDGETS
    }, counts


def _cpu_ns(size: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="walletpush-stages-") as place:
        out = Path(place) / "spent.json"
        command = [sys.executable, "-m", "bench.stages.driver", "--batches", str(_CPU_BATCHES), "--size", str(size)]
        # What the worker logs stands on its standard output.
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
        found: dict[str, int] = json.loads(out.read_bytes())
        return found


def stage_table(costs: dict[str, Cost], before: dict[str, Cost]) -> Table:
    """Return one row per stage and their sum; times that of the budget where it is over it."""
    table = Table(
        "stage", "budget us", "CPU us", "x budget", "instructions", "before us", "before instructions",
        title="One notification of a SendBatch of 500, without TLS, kernel sockets and gRPC's core",
    )  # fmt: skip
    for budget in BUDGETS:
        cost, old = costs[budget.stage], before.get(budget.stage)
        table.add_row(budget.stage, f"{budget.us:.1f}", *_cells(cost, budget.us), *_old_cells(old))
    everything, old_sum = _sum(costs), _sum(before) if before else None
    total_us = sum(budget.us for budget in BUDGETS)
    table.add_row("all", f"{total_us:.1f}", *_cells(everything, total_us), *_old_cells(old_sum), style="bold")
    return table


def _cells(cost: Cost, budget_us: float) -> tuple[str, str, str]:
    return f"{cost.cpu_us:.2f}", f"{cost.cpu_us / budget_us:.1f}", f"{cost.instructions:,.0f}"


def _old_cells(cost: Cost | None) -> tuple[str, str]:
    return (f"{cost.cpu_us:.2f}", f"{cost.instructions:,.0f}") if cost else ("", "")


def _sum(costs: dict[str, Cost]) -> Cost:
    return Cost(sum(cost.cpu_us for cost in costs.values()), sum(cost.instructions for cost in costs.values()))


def function_table(counts: callgrind.Counts, stage: str, per: int, rows: int) -> Table:
    """Return the dearest functions of a stage."""
    table = Table("function", "library", "instructions", title=stage)
    for name, library, instructions in counts.top(stage, rows):
        table.add_row(name[:70], library.partition(".")[0], f"{instructions / per:,.0f}")
    return table


def sample_table(parts: dict[str, float], cpu_us: float) -> Table:
    """Return one row per part of a worker."""
    table = Table("part", "CPU us", "share", title=f"A loaded worker: {cpu_us:.1f} us a notification")
    for part, us in parts.items():
        table.add_row(part, f"{us:.2f}", f"{us / cpu_us:.1%}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=4, help="that are counted; more of them run for CPU time")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--functions", type=int, default=0, help="show so many of the dearest functions of each stage")
    parser.add_argument("--sampled", type=int, default=0, metavar="COUNT", help="sample a worker that is sent so many")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--before", type=Path)
    given = parser.parse_args()
    console = Console()
    if given.sampled:
        console.print(sample_table(*asyncio.run(samples.sample(given.sampled, given.size))))
        return
    costs, counts = measure(given.batches, given.size, given.repeats)
    before = read_costs(given.before) if given.before else {}
    console.print(stage_table(costs, before))
    stages = [*costs, PROVIDER] if given.functions else []
    for stage in stages:
        console.print(function_table(counts, stage, given.batches * given.size, given.functions))
    if given.save:
        given.save.write_text(json.dumps({name: [cost.cpu_us, cost.instructions] for name, cost in costs.items()}))


def read_costs(path: Path) -> dict[str, Cost]:
    """Read what --save wrote."""
    return {name: Cost(*pair) for name, pair in json.loads(path.read_text()).items()}


if __name__ == "__main__":
    main()
