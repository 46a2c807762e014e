"""What a measurement leaves behind, as values and as JSON: figures with their repeats, histograms, series, tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import orjson
from pydantic import TypeAdapter

SCHEMA = 1


class Better(StrEnum):
    """Which way a figure improves; NEITHER for what is told and not judged."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity. name: stable and dotted, it pairs runs in `compare`. samples: one per repeat, in unit.

    target: what it should reach, in unit, if anything was promised. quiet: how many of the repeats were undisturbed
    by other processes; None where it was not observed.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    better: Better = Better.NEITHER
    target: float | None = None
    quiet: int | None = None

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest repeat."""
        return min(self.samples), max(self.samples)

    @property
    def reached(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.target is None or self.better is Better.NEITHER:
            return None
        return self.median >= self.target if self.better is Better.HIGHER else self.median <= self.target


@dataclass(frozen=True, slots=True)
class Latencies:
    """An HdrHistogram of times in microseconds, as its V2 compressed base64 encoding.

    corrected: whether coordinated omission is accounted for (measured from the intended time of an open loop).
    """

    name: str
    encoded: str
    corrected: bool


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one line of a plot; lines with the same plot name share axes."""

    plot: str
    name: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """A plot of figures side by side: a group of bars per case, one bar and colour per side.

    figures: names, one row per side, one column per group; "" where there is none.
    """

    plot: str
    y_label: str
    groups: tuple[str, ...]
    sides: tuple[str, ...]
    figures: tuple[tuple[str, ...], ...]
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Rows for people; every cell is ready to print."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class SectionResult:
    """What one section measured. notes: what a reader must know to read it, one sentence each."""

    section: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[ResultTable, ...] = ()
    latencies: tuple[Latencies, ...] = ()
    series: tuple[Series, ...] = ()
    bars: tuple[Bars, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Where a run was made. versions: of Python and the libraries whose speed is measured."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of the bench. commit: full hash, with "+" behind it when the tree had changes."""

    commit: str
    started_unix_ms: int
    machine: MachineFacts
    options: dict[str, str]
    sections: tuple[SectionResult, ...]
    schema: int = SCHEMA

    def figures(self) -> dict[str, Figure]:
        """Return every figure by its name."""
        return {figure.name: figure for section in self.sections for figure in section.figures}


_RUN = TypeAdapter(RunResult)
_SECTION = TypeAdapter(SectionResult)


def write_run(run: RunResult, path: Path) -> None:
    """Write a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(run, option=orjson.OPT_INDENT_2))


def read_run(path: Path) -> RunResult:
    """Read a run. Raises pydantic.ValidationError if the file is not one."""
    return _RUN.validate_json(path.read_bytes())


def write_section(result: SectionResult, path: Path) -> None:
    """Write one section's result as JSON, for the process that gathers them."""
    path.write_bytes(orjson.dumps(result))


def read_section(path: Path) -> SectionResult:
    """Read one section's result. Raises pydantic.ValidationError if the file is not one."""
    return _SECTION.validate_json(path.read_bytes())


def cell(samples: Sequence[float], digits: int = 0) -> str:
    """Return `median (smallest-largest)`, or the one sample alone."""
    middle = f"{statistics.median(samples):,.{digits}f}"
    return middle if len(samples) == 1 else f"{middle} ({min(samples):,.{digits}f}-{max(samples):,.{digits}f})"
