"""An open loop: calls start when they are due, whether or not earlier ones were answered, and are timed from then on.

So a gateway that stalls is charged for the calls that it kept waiting, which a closed loop would not have made:
https://github.com/giltene/wrk2#acknowledgements
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Call = Callable[[], Awaitable[Sequence[str]]]
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NS = 1_000_000_000
_LEAD_NS = 20_000_000


@dataclass(slots=True)
class OpenRun:
    """Calls by their place: when each was due, started and answered (CLOCK_MONOTONIC), and the notifications' ids.

    answered_ns is 0 and ids is empty for a call that was never started.
    """

    due_ns: array[int]
    started_ns: array[int]
    answered_ns: array[int]
    ids: list[Sequence[str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many calls were made."""
        return sum(map(bool, self.answered_ns))

    @property
    def seconds(self) -> float:
        """From when the first call was due to the last answer."""
        return (max(self.answered_ns) - self.due_ns[0]) / _NS

    def waits_us(self) -> list[float]:
        """Return each call's time from when it was due to its answer."""
        return [(end - due) / 1e3 for due, end in zip(self.due_ns, self.answered_ns, strict=True) if end]

    def late_us(self) -> list[float]:
        """Return by how much each call was started too late; a part of its wait."""
        return [(start - due) / 1e3 for due, start in zip(self.due_ns, self.started_ns, strict=True) if start]


def poisson(per_s: float, seconds: float, seed: int) -> list[int]:
    """Return when calls are due, in ns from the start: independent arrivals, as many as the rate says, at least one.

    A Poisson process of which the count is known spreads it evenly at random, so no run is offered more than another.
    """
    rng = random.Random(seed)
    return sorted(int(rng.random() * seconds * _NS) for _ in range(max(1, round(per_s * seconds))))


async def run_open(calls: Sequence[Call], offsets_ns: Sequence[int], over: asyncio.Event | None = None) -> OpenRun:
    """Make each call when it is due, until all are made or `over` is set, and await every answer.

    No bound but their number holds the unanswered ones back. Raises what calls raise, as an ExceptionGroup.
    """
    start_ns = time.monotonic_ns() + _LEAD_NS
    count = len(calls)
    blank = array("q", bytes(8 * count))
    run = OpenRun(array("q", (start_ns + offset for offset in offsets_ns)), blank[:], blank[:], [()] * count)

    async def timed(place: int) -> None:
        run.started_ns[place] = time.monotonic_ns()
        run.ids[place] = await calls[place]()
        run.answered_ns[place] = time.monotonic_ns()

    async with asyncio.TaskGroup() as tasks:
        await _pace(run.due_ns, lambda place: tasks.create_task(timed(place)), over)
    return run


async def _pace(due_ns: Sequence[int], start: Callable[[int], object], over: asyncio.Event | None) -> None:
    done = asyncio.Event()
    place = 0

    def on_due() -> None:
        nonlocal place
        now_ns = time.monotonic_ns()
        while place < len(due_ns) and due_ns[place] <= now_ns and not stopped():
            start(place)
            place += 1
        if place == len(due_ns) or stopped():
            done.set()
        else:
            alarm(due_ns[place])

    def stopped() -> bool:
        return over is not None and over.is_set()

    with _alarm_clock(on_due) as alarm:
        alarm(due_ns[0])
        await done.wait()


class _Time(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


@contextmanager
def _alarm_clock(on_alarm: Callable[[], None]) -> Iterator[Callable[[int], None]]:
    # uvloop's own timers count whole milliseconds, as much as a whole call takes; the kernel's count nanoseconds.
    # https://man7.org/linux/man-pages/man2/timerfd_create.2.html
    libc = ctypes.CDLL(None, use_errno=True)
    clock = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if clock < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")

    def set_alarm(at_ns: int) -> None:
        spec = _TimerSpec(_Time(0, 0), _Time(at_ns // _NS, at_ns % _NS))
        if libc.timerfd_settime(clock, _ABSOLUTE, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def on_readable() -> None:
        os.read(clock, 8)
        on_alarm()

    loop = asyncio.get_running_loop()
    loop.add_reader(clock, on_readable)
    try:
        yield set_alarm
    finally:
        loop.remove_reader(clock)
        os.close(clock)
