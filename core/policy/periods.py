"""When a cap's calendar window began and the next one begins, by a zone's clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from core.policy.caps import HOUR_S, Window
from core.policy.zones import DAY_S, offset_at, stretches, zone_info

_EPOCH = date(1970, 1, 1).toordinal()
_MAX_REMEMBERED = 8_192


class Period(NamedTuple):
    """A window of a calendar, in Unix seconds; until_s is the next one's since_s."""

    since_s: int
    until_s: int


class Periods:
    """Periods by zone and window, each remembered as long as it lasts."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Window], Period] = {}

    def at(self, zone: str, window: Window, now_s: int) -> Period:
        """Return the period in which now lies; window: any but ROLLING."""
        known = self._known.get((zone, window))
        if known is None or not known.since_s <= now_s < known.until_s:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            known = self._known[(zone, window)] = period(zone, window, now_s)
        return known


def period(zone: str, window: Window, now_s: int) -> Period:
    """Reckon a period. A day begins when the clock first reaches it, whatever the clock jumps over or repeats."""
    local_s = now_s + offset_at(zone_info(zone), now_s)
    if window == Window.HOUR:
        since_s = now_s - local_s % HOUR_S
        return Period(since_s, since_s + HOUR_S)
    starts = [_first_reached(zone, day * DAY_S) for day in _days(window, local_s // DAY_S)]
    return Period(max(one for one in starts if one <= now_s), min(one for one in starts if one > now_s))


def _days(window: Window, day: int) -> Iterator[int]:
    """Give the days, from the start of 1970, on which this window and the two after it begin.

    Of the two the first may have begun already, where the clock went back over midnight.
    """
    if window == Window.DAY:
        yield from (day, day + 1, day + 2)
    elif window == Window.WEEK:
        monday = day - (day + 3) % 7
        yield from (monday, monday + 7, monday + 14)
    else:
        month = date.fromordinal(day + _EPOCH).replace(day=1)
        for _ in range(3):
            yield month.toordinal() - _EPOCH
            month = date.fromordinal(month.toordinal() + 31).replace(day=1)


def _first_reached(zone: str, local_s: int) -> int:
    """Return the first Unix second at which a zone's clock has come to a local time."""
    found = (
        max(begin_s, local_s - offset_s)
        for begin_s, end_s, offset_s in stretches(zone, local_s - 2 * DAY_S, 4)
        if local_s - offset_s < end_s
    )
    return next(found)
