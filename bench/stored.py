"""Where a run's files lie, and how they are written and found again."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import short
from bench.results import RunResult, read_run, write_run
from bench.tables import markdown_run

RESULTS = Path(__file__).resolve().parent / "results"
RUN_FILE = "run.json"
REPORT_FILE = "report.md"
PLOTS = "plots"


class NoRun(ValueError):
    """There is no run at a path."""


def new_directory(started_unix_ms: int, commit: str) -> Path:
    """Return where a run's files go unless told otherwise."""
    when = datetime.fromtimestamp(started_unix_ms / 1_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return RESULTS / f"{when}-{short(commit)}"


def find(path: Path) -> Path:
    """Return the file of a run from its path or its directory's, or from a directory's name. Raises NoRun."""
    for candidate in (path, path / RUN_FILE, RESULTS / path / RUN_FILE):
        if candidate.is_file():
            return candidate
    raise NoRun(f"no run at {path}, nor in {RESULTS}")


def read(path: Path) -> RunResult:
    """Read a run from what `find` takes. Raises NoRun, pydantic.ValidationError."""
    return read_run(find(path))


def write(run: RunResult, directory: Path) -> None:
    """Write a run's values."""
    write_run(run, directory / RUN_FILE)


def write_report(run: RunResult, directory: Path) -> Path:
    """Draw a run's plots and write its tables; return the text's path."""
    # A section's own process never draws, and is spared the library.
    from bench.plots import draw_run

    plots = draw_run(run, directory / PLOTS)
    path = directory / REPORT_FILE
    path.write_text(markdown_run(run, [os.path.relpath(plot, directory) for plot in plots]))
    return path
