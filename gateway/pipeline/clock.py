"""Where the pipeline reads the time, so that a test may hold the hands."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The two times: wall clock for what callers see, monotonic for waiting."""

    def unix_ms(self) -> int: ...
    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The machine's clocks; monotonic is CLOCK_MONOTONIC, one for all processes of the host."""

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
