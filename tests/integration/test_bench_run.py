"""`python -m bench` as a process: a run's values, tables and plots, and what a failing section leaves of others."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from bench import runner
from bench.catalogue import ENTRIES, Entry
from bench.results import SectionResult, read_run
from bench.section import BenchOptions

ROOT = Path(__file__).resolve().parents[2]
# A section's process: it tells a step, then writes a result, fails, or leaves a child behind and ends.
CHILD = """
import os, pathlib, subprocess, sys
name, path, descriptor = sys.argv[1], sys.argv[3], int(sys.argv[5])
os.write(descriptor, b'{"done": 1, "total": 2, "doing": "half"}\\n')
if name == "bad":
    sys.exit("it broke")
if name == "leaving":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(path).with_name("child.pid").write_text(str(child.pid))
pathlib.Path(path).write_text('{"section": "%s"}' % name)
"""


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)


def test_a_run_leaves_values_tables_and_plots_that_compare_with_themselves(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = bench("run", "--only", "kernels", "--scale", "smoke", "--repeats", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    run = read_run(out / "run.json")
    assert [section.section for section in run.sections] == ["kernels"]
    assert run.options == {"scale": "smoke", "repeats": "1", "peers": ""}
    figures = run.figures()
    assert figures["kernels.hash128.10000.ns"].median > 0
    assert figures["journal.500.cpu_us"].median > 0
    report = (out / "report.md").read_text()
    for text in ("kernels.dedup_new.1000.ns", "receipts pack", run.commit[:7]):
        assert text in done.stdout
        assert text in report
    plots = {path.name for path in (out / "plots").iterdir()}
    assert {"kernels-throughput-by-batch-size.png", "kernels-latency-journal-append.svg"} <= plots
    assert all(f"plots/{name}" in report for name in plots if name.endswith(".png"))
    assert {path.name for path in out.iterdir()} == {"run.json", "report.md", "plots", "kernels.log"}
    assert bench("compare", str(out), str(out)).returncode == 0


def run_children(names: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[runner.Outcome, list[int]]:
    monkeypatch.setattr(runner, "_command", lambda entry, options: [sys.executable, "-c", CHILD, entry.name])
    kept: list[int] = []

    def keep(results: tuple[SectionResult, ...]) -> None:
        kept.append(len(results))

    entries = [Entry("z", name) for name in names.split()]
    with (directory / "screen").open("w") as screen:
        return runner.Runner(directory, BenchOptions(), Console(file=screen)).run(entries, keep), kept


def test_a_failing_section_loses_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, kept = run_children("first bad second", tmp_path, monkeypatch)
    assert [result.section for result in outcome.results] == ["first", "second"]
    assert outcome.failed == ("bad",)
    assert kept == [1, 2]
    assert "it broke" in (tmp_path / "screen").read_text()
    assert "it broke" in (tmp_path / "bad.log").read_text()


def runs(pid: int) -> bool:
    """Tell whether a process lives; where nobody reaps orphans, a killed one stays as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nothing_that_a_section_started_outlives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = run_children("leaving", tmp_path, monkeypatch)
    assert outcome.failed == ()
    child = int((tmp_path / "child.pid").read_text())
    ends_s = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def test_a_name_that_is_no_section_is_told_with_those_there_are() -> None:
    done = bench("--only", "kernels,kernel")
    assert done.returncode == 2
    assert "no section 'kernel'" in done.stderr
    assert all(entry.name in done.stderr for entry in ENTRIES)
