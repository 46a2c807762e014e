"""Counts of good and bad events over the last while, in a ring of slices."""

from __future__ import annotations


class SlidingWindow:
    """Two counters over a window that slides in `slices` steps; memory does not grow with events.

    window_ns: the length; an event is forgotten between window_ns - window_ns / slices and window_ns after it came.
    Raises ValueError unless window_ns >= slices >= 1.
    """

    __slots__ = ("_bad", "_good", "_slice_index", "_slice_ns", "bad", "good")

    def __init__(self, window_ns: int, slices: int) -> None:
        if not 1 <= slices <= window_ns:
            raise ValueError(f"{slices} slices do not fit a window of {window_ns} ns")
        self._slice_ns = window_ns // slices
        self._slice_index = 0
        self._good = [0] * slices
        self._bad = [0] * slices
        self.good = 0
        self.bad = 0

    @property
    def total(self) -> int:
        """How many events of both kinds the window holds, as of the last call."""
        return self.good + self.bad

    def add(self, good: int, bad: int, now_ns: int) -> None:
        """Count events at now_ns; a time before the last call counts as equal to it."""
        self.slide(now_ns)
        place = self._slice_index % len(self._good)
        self._good[place] += good
        self._bad[place] += bad
        self.good += good
        self.bad += bad

    def slide(self, now_ns: int) -> None:
        """Forget what is too old at now_ns."""
        index = now_ns // self._slice_ns
        size = len(self._good)
        for step in range(min(max(index - self._slice_index, 0), size)):
            place = (index - step) % size
            self.good -= self._good[place]
            self.bad -= self._bad[place]
            self._good[place] = self._bad[place] = 0
        self._slice_index = max(index, self._slice_index)

    def clear(self) -> None:
        """Forget everything."""
        size = len(self._good)
        self._good = [0] * size
        self._bad = [0] * size
        self.good = self.bad = 0
