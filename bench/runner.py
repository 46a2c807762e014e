"""Runs sections one after the other, each in a fresh process, so that none inherits another's heap, caches or fate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.catalogue import Entry
from bench.progress import Step, read_step
from bench.results import SectionResult, read_section
from bench.section import BenchOptions

_LIMIT_S = 2 * 3_600.0
_TAIL_LINES = 15


class SectionFailed(RuntimeError):
    """A section's process did not leave a result; the text is the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the sections that were asked for. failed: their names."""

    results: tuple[SectionResult, ...]
    failed: tuple[str, ...]


class Runner:
    """Runs sections of one run. What a section prints goes to NAME.log in `directory`."""

    def __init__(self, directory: Path, options: BenchOptions, console: Console) -> None:
        self._directory, self._options, self._console = directory, options, console

    def run(self, entries: Sequence[Entry], keep: Callable[[tuple[SectionResult, ...]], None]) -> Outcome:
        """Run all, calling `keep` with all results so far after each, so that a later failure loses none."""
        results: list[SectionResult] = []
        failed: list[str] = []
        with _bars(self._console) as bars:
            total = bars.add_task("sections", total=len(entries), doing="")
            for entry in entries:
                bars.update(total, doing=f"({entry.letter}) {entry.name}")
                try:
                    results.append(self._section(entry, bars))
                    keep(tuple(results))
                except SectionFailed as failure:
                    failed.append(entry.name)
                    bars.console.print(f"[bold red]{entry.name} failed[/]: see {self._log(entry)}")
                    bars.console.print(str(failure), markup=False, highlight=False)
                bars.advance(total)
        return Outcome(tuple(results), tuple(failed))

    def _section(self, entry: Entry, bars: Progress) -> SectionResult:
        task = bars.add_task(entry.name, total=None, doing="starting")
        began_s = time.monotonic()
        path = self._directory / f"{entry.name}.json"
        try:
            self._child(entry, path, lambda step: _show(bars, task, step))
            result = replace(read_section(path), seconds=time.monotonic() - began_s)
        finally:
            bars.remove_task(task)
            path.unlink(missing_ok=True)
        bars.console.print(f"{entry.name}: {len(result.figures)} figures in {result.seconds:,.1f} s")
        return result

    def _child(self, entry: Entry, path: Path, on_step: Callable[[Step], None]) -> None:
        """Run a section's process to its end. Raises SectionFailed."""
        reading, writing = os.pipe()
        with open(reading, "rb") as steps, self._log(entry).open("wb") as log:
            command = [*_command(entry, self._options), "--json", str(path), "--progress-fd", str(writing)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,), start_new_session=True
            )
            os.close(writing)
            with _ended(process, self._limit_s()):
                for line in steps:
                    on_step(read_step(line))
                code = process.wait()
        if code or not path.exists():
            raise SectionFailed(f"exit code {code}\n{self._tail(entry)}")

    def _limit_s(self) -> float:
        return _LIMIT_S + 2 * self._options.soak_s

    def _log(self, entry: Entry) -> Path:
        return self._directory / f"{entry.name}.log"

    def _tail(self, entry: Entry) -> str:
        return "\n".join(self._log(entry).read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def _command(entry: Entry, options: BenchOptions) -> list[str]:
    words = [sys.executable, "-m", "bench", "section", entry.name, "--scale", options.scale]
    words += ["--repeats", str(options.repeats), "--soak-s", str(options.soak_s)]
    return words + [word for peer in options.peers for word in ("--peer", peer)]


@contextmanager
def _ended(process: subprocess.Popen[bytes], limit_s: float) -> Iterator[None]:
    """End a process and all that it started, when left or at the limit."""
    timer = Timer(limit_s, _kill_group, (process.pid,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _kill_group(process.pid)
        process.wait()


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[doing]}"),
        console=console,
    )  # fmt: skip


def _show(bars: Progress, task: TaskID, step: Step) -> None:
    bars.update(task, completed=step.done, total=step.total, doing=step.doing)
