"""What the supervisor and each worker take of the machine, read from /proc when somebody asks.

prometheus_client's own collector sees one process only, and nothing of workers that write their values to files.
Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = resource.getpagesize()
_PREFIX = "walletpush_process"


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process at one moment. started_unix_s: on the wall clock."""

    resident_bytes: int
    cpu_s: float
    threads: int
    open_files: int
    max_open_files: int
    started_unix_s: float


def figures_of(pid: int) -> ProcessFigures:
    """Read a process's figures. Raises OSError when it has ended."""
    place = _PROC / str(pid)
    # The name of the command, in parentheses, may hold anything.
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    return ProcessFigures(
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        threads=int(fields[17]),
        open_files=sum(1 for _ in os.scandir(place / "fd")),
        max_open_files=_max_open_files(place),
        started_unix_s=_boot_unix_s() + int(fields[19]) / _TICKS_PER_S,
    )


class ProcessTable(Collector):
    """Figures of several processes. pids: name -> process id, asked at each look; called in any thread."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """Yield a family per figure; a process that has ended in the meantime is left out."""
        found: dict[str, ProcessFigures] = {}
        for name, pid in self._pids().items():
            with suppress(OSError):
                found[name] = figures_of(pid)
        cpu = CounterMetricFamily(f"{_PREFIX}_cpu_seconds", "CPU time, user and system.", labels=["process"])
        for name, figures in found.items():
            cpu.add_metric([name], figures.cpu_s)
        yield cpu
        for suffix, help_text, read in _GAUGES:
            family = GaugeMetricFamily(f"{_PREFIX}_{suffix}", help_text, labels=["process"])
            for name, figures in found.items():
                family.add_metric([name], read(figures))
            yield family

    def describe(self) -> list[Metric]:
        """Name nothing, so that registering does not read."""
        return []


_GAUGES: tuple[tuple[str, str, Callable[[ProcessFigures], float]], ...] = (
    ("resident_memory_bytes", "Resident memory, what is shared included.", lambda f: f.resident_bytes),
    ("threads", "Threads.", lambda f: f.threads),
    ("open_files", "Open file descriptors.", lambda f: f.open_files),
    ("max_open_files", "File descriptors that the process may open.", lambda f: f.max_open_files),
    ("start_time_seconds", "When it was started, in seconds since 1970.", lambda f: f.started_unix_s),
)


def _max_open_files(place: Path) -> int:
    for line in (place / "limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else 0
    return 0


def _boot_unix_s() -> int:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0
