"""How a route eases off when its provider says that it gets too much: short pauses first, then few requests."""

from __future__ import annotations

from dataclasses import dataclass

from core.sliding_window import SlidingWindow


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """When to pause, and for how long.

    refused_percent: fewer refusals of all answers within window_ms pause nothing. Each pause after which the provider
    took nothing is twice as long as the one before, from pause_ms to max_pause_ms, and never longer than it asked for.
    probes: how many requests go out after such a pause, until one of them is not refused.
    """

    window_ms: int = 10_000
    slices: int = 10
    refused_percent: int = 10
    pause_ms: int = 250
    max_pause_ms: int = 60_000
    probes: int = 8


_DEFAULTS = ThrottleSettings()


class Throttle:
    """The throttle of one route; every time is monotonic nanoseconds given by the caller.

    What was refused waits as long as its provider asked for; what has not been refused waits here, and not for that
    long: one message's Retry-After of a minute or an hour must not keep a payment from being tried.
    """

    __slots__ = ("_in_a_row", "_paused_until_ns", "_probes_left", "_probing", "_settings", "_window")

    def __init__(self, settings: ThrottleSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._window = SlidingWindow(settings.window_ms * 1_000_000, settings.slices)
        self._paused_until_ns = 0
        self._in_a_row = 0
        self._probing = False
        self._probes_left = 0

    @property
    def paused_until_ns(self) -> int:
        """Until when permit() grants nothing."""
        return self._paused_until_ns

    def permit(self, wanted: int, now_ns: int) -> int:
        """Return how many of `wanted` deliveries may go out now; while probing what is granted is spent."""
        if now_ns < self._paused_until_ns:
            return 0
        if not self._probing:
            return wanted
        granted = min(wanted, self._probes_left)
        self._probes_left -= granted
        return granted

    def give_back(self, unused: int) -> None:
        """Take back what permit() granted and the provider never saw, so that a probe is not waited for in vain."""
        if self._probing:
            self._probes_left = min(self._settings.probes, self._probes_left + unused)

    def record(self, others: int, refused: int, asked_ms: int, now_ns: int) -> None:
        """Count a batch of answers; those that come in a pause belong to requests sent before and change nothing.

        others: whatever else than that it was too much. asked_ms: the longest Retry-After.
        """
        self._window.add(others, refused, now_ns)
        if now_ns < self._paused_until_ns:
            return
        if others:
            self._in_a_row = 0
            self._probing = False
        if refused and self._too_many():
            self._pause(asked_ms, now_ns)

    def _too_many(self) -> bool:
        return self._window.bad * 100 >= self._window.total * self._settings.refused_percent

    def _pause(self, asked_ms: int, now_ns: int) -> None:
        settings = self._settings
        pause_ms = min(settings.max_pause_ms, settings.pause_ms << min(self._in_a_row, 20), asked_ms)
        self._paused_until_ns = now_ns + pause_ms * 1_000_000
        self._probing = self._in_a_row > 0
        self._probes_left = settings.probes
        self._in_a_row += 1
