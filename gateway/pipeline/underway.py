"""The accepted notifications that have not ended, found by their place in the journal."""

from __future__ import annotations

from collections.abc import Iterator

from core.delivery import Notification, by_segment


class Underway:
    """An index by segment: one list per segment, not an entry per notification."""

    def __init__(self) -> None:
        self._segments: dict[int, list[Notification]] = {}
        self._open: dict[int, int] = {}

    def add(self, notifications: list[Notification]) -> None:
        """Take in notifications, of any segments."""
        for segment, members in by_segment(notifications):
            self._segments.setdefault(segment, []).extend(members)
            self._open[segment] = self._open.get(segment, 0) + len(members)

    def find(self, segment: int, index: int) -> Notification | None:
        """Return the notification if it is under way here."""
        return next((n for n in self._segments.get(segment, ()) if n.index == index), None)

    def closed(self, segment: int, count: int) -> None:
        """Note that `count` notifications of a segment ended; forget the segment with its last one."""
        left = self._open.get(segment, 0) - count
        if left > 0:
            self._open[segment] = left
            members = self._segments.get(segment, [])
            if 2 * left < len(members):
                # A few that wait for their next attempt must not keep all the others of their segment.
                self._segments[segment] = [n for n in members if n.open_deliveries or not n.outcome_bits]
        else:
            self._open.pop(segment, None)
            self._segments.pop(segment, None)

    def segments(self) -> list[int]:
        """Return the numbers of segments with notifications under way."""
        return list(self._segments)

    def members(self, segment: int) -> list[Notification]:
        """Return the notifications of a segment that are under way, and some that have just ended."""
        return list(self._segments.get(segment, ()))

    def __iter__(self) -> Iterator[Notification]:
        for notifications in self._segments.values():
            yield from notifications
