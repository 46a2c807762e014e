"""What one client process tells of its run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

LIMIT_S = 150.0


@dataclass(frozen=True, slots=True)
class ClientRun:
    """Requests a second, the client's CPU in us a request, its memory in MiB at a tenth of the run and at its end."""

    per_s: float
    cpu_us: float
    early_mib: float = 0.0
    late_mib: float = 0.0


class Stopwatch:
    """Wall and CPU time of this process since it was made, and its memory when `look` was called first."""

    def __init__(self) -> None:
        self._began_s, self._cpu_s = time.perf_counter(), time.process_time()
        self._early_mib = 0.0

    def look(self) -> None:
        """Note the memory, once."""
        self._early_mib = self._early_mib or _rss_mib()

    def stop(self, total: int) -> ClientRun:
        """Return what `total` requests took."""
        elapsed_s, cpu_s = time.perf_counter() - self._began_s, time.process_time() - self._cpu_s
        return ClientRun(total / elapsed_s, cpu_s / total * 1e6, self._early_mib, _rss_mib())


class NotAnswered(RuntimeError):
    """A client's request was not answered, or was refused where nothing is refused."""


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20
