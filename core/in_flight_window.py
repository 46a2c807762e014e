"""How many marketing requests a route may have in flight, so that they wait with us and not in front of a payment.

The delay-based rule of TCP Vegas, over batches of answers instead of round trips: of `limit` requests in flight the
share 1 - fastest/observed waits somewhere on the way; below `low` the limit grows, above `high` it shrinks.
Source: L. Brakmo, L. Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", 1995.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """least, most: bounds of the limit. low, high: requests that may queue on the way.

    forget_ms: how long the fastest answer counts.
    """

    least: int = 64
    most: int = 16_384
    start: int = 256
    low: int = 32
    high: int = 96
    forget_ms: int = 10_000


class InFlightWindow:
    """The limit of one route; times are monotonic nanoseconds given by the caller."""

    __slots__ = ("_earlier_ns", "_epoch_ns", "_fastest_ns", "_settings", "limit")

    def __init__(self, settings: WindowSettings | None = None) -> None:
        self._settings = settings or WindowSettings()
        self.limit = self._settings.start
        self._fastest_ns = self._earlier_ns = 1 << 62
        self._epoch_ns = 0

    def observe(self, waited_ns: int, answered: int, in_flight: int, now_ns: int) -> None:
        """Take a batch of answers, of which the latest sent waited waited_ns; in_flight: before they came.

        Far below the limit a batch says nothing of it: then only a shrinking is heeded.
        """
        if waited_ns <= 0:
            return
        fastest_ns = self._fastest(waited_ns, now_ns)
        queued = self.limit - self.limit * fastest_ns // waited_ns
        settings = self._settings
        if queued > settings.high:
            self.limit = max(settings.least, self.limit - max(1, self.limit * answered // (8 * max(in_flight, 1))))
        elif queued < settings.low and 2 * in_flight >= self.limit:
            self.limit = min(settings.most, self.limit + max(1, answered // 4))

    def _fastest(self, waited_ns: int, now_ns: int) -> int:
        # Two epochs, so that a fastest answer of another time is forgotten without a moment that knows none.
        if now_ns - self._epoch_ns > self._settings.forget_ms * 1_000_000:
            self._earlier_ns, self._fastest_ns, self._epoch_ns = self._fastest_ns, waited_ns, now_ns
        self._fastest_ns = min(self._fastest_ns, waited_ns)
        return min(self._fastest_ns, self._earlier_ns)
