"""Where costs of one process are booked: by stage, in CPU time or, under callgrind, in instructions."""

from __future__ import annotations

import ctypes
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Protocol

_SOURCE = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *stage) { CALLGRIND_DUMP_STATS_AT(stage); }
"""


class Meter(Protocol):
    """What a stage's costs are read from."""

    def begin(self) -> None:
        """Begin to count; what was before counts for nothing."""

    def book(self, stage: str) -> None:
        """Book what was counted since the last call on a stage."""


class CpuMeter:
    """Counts the CPU time of the thread that books it, in ns."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, int] = {}
        self._since = threading.local()

    def begin(self) -> None:
        """Begin to count."""
        self.spent_ns.clear()
        self._since.ns = time.thread_time_ns()

    def book(self, stage: str) -> None:
        """Book this thread's time since it last did."""
        now_ns = time.thread_time_ns()
        self.spent_ns[stage] = self.spent_ns.get(stage, 0) + now_ns - getattr(self._since, "ns", now_ns)
        self._since.ns = now_ns


class CallgrindMeter:
    """Has callgrind write a file per booking, named after its stage; only within valgrind. directory: for its code."""

    def __init__(self, directory: Path) -> None:
        source, library = directory / "marks.c", directory / "marks.so"
        source.write_text(_SOURCE)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        self._calls = ctypes.CDLL(str(library))

    def begin(self) -> None:
        """Begin to count."""
        self._calls.begin()

    def book(self, stage: str) -> None:
        """Write what was counted since the last call."""
        self._calls.end(stage.encode())


class Marks:
    """Knows which stage runs now in each thread; stages lie within one another, the innermost one pays.

    outside: what the main thread is in at first. elsewhere: what other threads are in.
    """

    def __init__(self, meter: Meter, outside: str, elsewhere: str) -> None:
        self._meter = meter
        self._elsewhere = elsewhere
        self._running = threading.local()
        self._running.stage = outside
        self.counting = False

    def begin(self) -> None:
        """Begin to count."""
        self.counting = True
        self._meter.begin()

    def end(self) -> None:
        """Count nothing more."""
        if self.counting:
            self._meter.book(self._running.stage)
        self.counting = False

    def enter(self, stage: str) -> str:
        """Let a stage pay for this thread from now on; return which one paid before."""
        before: str = getattr(self._running, "stage", self._elsewhere)
        self._running.stage = stage
        if self.counting and before != stage:
            self._meter.book(before)
        return before

    def wrap(self, owner: object, name: str, stage: str | Callable[..., str]) -> None:
        """Let a stage pay for a function or coroutine of a class; stage may depend on the arguments."""
        inner = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            paying = stage if isinstance(stage, str) else stage(*arguments)
            before = self.enter(paying)
            try:
                result = inner(*arguments, **named)
            finally:
                self.enter(before)
            return _Stepped(self, paying, result) if isinstance(result, Coroutine) else result

        setattr(owner, name, wrapped)


class _Stepped(Awaitable[Any]):
    """A coroutine that lets its stage pay while it runs, and not while it waits."""

    def __init__(self, marks: Marks, stage: str, inner: Coroutine[Any, Any, Any]) -> None:
        self._marks, self._stage, self._inner = marks, stage, inner

    def __await__(self) -> Generator[Any, Any, Any]:
        send, value = self._inner.send, None
        while True:
            before = self._marks.enter(self._stage)
            try:
                waited_for = send(value)
            except StopIteration as end:
                return end.value
            finally:
                self._marks.enter(before)
            value, send = (yield waited_for), self._inner.send
