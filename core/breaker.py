"""Whether a route may be used: closed, open after too many faults, half-open while a few probes try it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import IntEnum

from core.sliding_window import SlidingWindow


class BreakerState(IntEnum):
    """CLOSED lets everything through, OPEN nothing, HALF_OPEN a few probes."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to open and for how long.

    fault_percent of at least min_answers answers within window_ms opens it. Each opening in a row doubles open_ms up to
    max_open_ms, of which a random half is jitter. probes: how many go out at once when half-open, and how many
    must succeed to close it; probes without any answer for probe_wait_ms are given up and sent anew.
    """

    window_ms: int = 10_000
    slices: int = 10
    min_answers: int = 20
    fault_percent: int = 50
    open_ms: int = 1_000
    max_open_ms: int = 60_000
    probes: int = 3
    probe_wait_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """What a metric shows: answers and faults within the window, openings since the start, and when probes may go."""

    state: BreakerState
    answers: int
    faults: int
    openings: int
    open_until_ns: int


class Breaker:
    """The breaker of one route; every time is monotonic nanoseconds given by the caller."""

    __slots__ = (
        "_in_a_row", "_open_until_ns", "_openings", "_probes_left", "_probes_sent_ns", "_rng", "_settings",
        "_state", "_successes_left", "_window",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._window = SlidingWindow(settings.window_ms * 1_000_000, settings.slices)
        self._state = BreakerState.CLOSED
        self._open_until_ns = 0
        self._openings = 0
        self._in_a_row = 0
        self._probes_left = 0
        self._probes_sent_ns = 0
        self._successes_left = 0

    def permit(self, wanted: int, now_ns: int) -> int:
        """Return how many of `wanted` deliveries may go out now; in half-open what is granted is spent."""
        if self._state is BreakerState.CLOSED:
            return wanted
        if self._state is BreakerState.OPEN:
            if now_ns < self._open_until_ns:
                return 0
            self._begin_probing(now_ns)
        elif not self._probes_left and now_ns - self._probes_sent_ns >= self._settings.probe_wait_ms * 1_000_000:
            self._probes_left = self._settings.probes
        granted = min(wanted, self._probes_left)
        if granted:
            self._probes_left -= granted
            self._probes_sent_ns = now_ns
        return granted

    def give_back(self, unused: int) -> None:
        """Take back what permit() granted and nothing was sent for, so that a probe is not waited for in vain."""
        if self._state is BreakerState.HALF_OPEN:
            self._probes_left = min(self._settings.probes, self._probes_left + unused)

    def record(self, successes: int, faults: int, now_ns: int) -> None:
        """Count a batch of answers; those that come while open belong to requests sent before and change nothing."""
        if self._state is BreakerState.OPEN:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._judge_probes(successes, faults, now_ns)
            return
        window = self._window
        window.add(successes, faults, now_ns)
        if faults and self._too_faulty():
            self.trip(now_ns)

    def trip(self, now_ns: int) -> None:
        """Open now, whatever was counted; while open already it changes nothing, so a burst of faults counts once."""
        if self._state is BreakerState.OPEN:
            return
        settings = self._settings
        open_ms = min(settings.max_open_ms, settings.open_ms << min(self._in_a_row, 20))
        open_ms -= self._rng.randint(0, open_ms // 2)
        self._state = BreakerState.OPEN
        self._open_until_ns = now_ns + open_ms * 1_000_000
        self._openings += 1
        self._in_a_row += 1
        self._window.clear()

    def close(self) -> None:
        """Let everything through again, as after an operator repaired the cause."""
        self._state = BreakerState.CLOSED
        self._in_a_row = 0
        self._open_until_ns = 0
        self._window.clear()

    def snapshot(self, now_ns: int) -> BreakerSnapshot:
        """Describe the breaker at now_ns."""
        self._window.slide(now_ns)
        return BreakerSnapshot(
            self._state, self._window.total, self._window.bad, self._openings, self._open_until_ns
        )

    @property
    def state(self) -> BreakerState:
        """The state as of the last call; OPEN stays until permit() is asked after open_until_ns."""
        return self._state

    @property
    def open_until_ns(self) -> int:
        """When permit() will grant probes; 0 while closed."""
        return self._open_until_ns

    def _too_faulty(self) -> bool:
        window, settings = self._window, self._settings
        return window.total >= settings.min_answers and window.bad * 100 >= window.total * settings.fault_percent

    def _begin_probing(self, now_ns: int) -> None:
        self._state = BreakerState.HALF_OPEN
        self._probes_left = self._successes_left = self._settings.probes
        self._probes_sent_ns = now_ns

    def _judge_probes(self, successes: int, faults: int, now_ns: int) -> None:
        if faults:
            self.trip(now_ns)
            return
        self._successes_left -= successes
        if self._successes_left <= 0:
            self.close()
