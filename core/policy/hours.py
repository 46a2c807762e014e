"""When nothing may disturb: windows of the week and holidays in some zones, as spans of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import holidays

from core.policy.people import QuietWindow
from core.policy.zones import DAY_S, WORLD_EAST_S, WORLD_WEST_S, stretches

NEVER_S = 1 << 40
_EPOCH = date(1970, 1, 1).toordinal()
# Looked at one after the other: nearly always the first is enough; a season of holidays needs the last.
_HORIZON_DAYS = (3, 16, 64)

Interval = tuple[int, int]


class Rest(NamedTuple):
    """Windows that hold in any of some zones, or anywhere where none is named. country: whose holidays, "" for none."""

    zones: tuple[str, ...]
    windows: tuple[QuietWindow, ...]
    country: str = ""


class Span(NamedTuple):
    """The first stretch of time, at or after from_s, in which one may disturb; it holds for any now before its end.

    start_s: NEVER_S where none was found within 64 days; look again at end_s. Unix seconds, end_s not included.
    """

    from_s: int
    start_s: int
    end_s: int


def awake_span(rests: Iterable[Rest], now_s: int) -> Span:
    """Return when none of the rests holds."""
    given = tuple(rests)
    for days in _HORIZON_DAYS:
        horizon_s = (now_s // DAY_S + days + 1) * DAY_S
        quiet = sorted(itertools.chain.from_iterable(_quiet(rest, now_s, days) for rest in given))
        start_s, end_s = _first_gap(quiet, now_s, horizon_s)
        if start_s < horizon_s:
            return Span(now_s, start_s, end_s)
    return Span(now_s, NEVER_S, now_s + DAY_S)


def _first_gap(quiet: list[Interval], start_s: int, horizon_s: int) -> Interval:
    for begin_s, end_s in quiet:
        if begin_s > start_s:
            return start_s, begin_s
        start_s = max(start_s, end_s)
    return start_s, horizon_s


def _quiet(rest: Rest, now_s: int, days: int) -> Iterator[Interval]:
    """Give the intervals, in Unix seconds, that are quiet in any of the zones; a clock that jumps back repeats them."""
    if not rest.zones:
        today_s = now_s // DAY_S * DAY_S
        begin_s, end_s = today_s + WORLD_WEST_S, today_s + (days + 1) * DAY_S + WORLD_EAST_S
        for start_s, stop_s in local_quiet(rest.windows, rest.country, begin_s, end_s):
            yield start_s - WORLD_EAST_S, stop_s - WORLD_WEST_S
    for offset_stretches in {stretches(zone, now_s, days) for zone in rest.zones}:
        for begin_s, end_s, offset_s in offset_stretches:
            for start_s, stop_s in local_quiet(rest.windows, rest.country, begin_s + offset_s, end_s + offset_s):
                low_s, high_s = max(start_s - offset_s, begin_s), min(stop_s - offset_s, end_s)
                if low_s < high_s:
                    yield low_s, high_s


@lru_cache(maxsize=4_096)
def local_quiet(windows: tuple[QuietWindow, ...], country: str, begin_s: int, end_s: int) -> tuple[Interval, ...]:
    """Return the quiet intervals that touch a stretch, all in seconds of local time since the start of 1970."""
    found = []
    for day in range(begin_s // DAY_S - 1, end_s // DAY_S + 1):
        for window in windows:
            if not window.weekdays or window.weekdays >> (day + 3) % 7 & 1:
                overnight = DAY_S if window.end_minute <= window.start_minute else 0
                found.append((day * DAY_S + window.start_minute * 60, day * DAY_S + window.end_minute * 60 + overnight))
        if country and is_holiday(country, day):
            found.append((day * DAY_S, day * DAY_S + DAY_S))
    return tuple(one for one in found if one[1] > begin_s and one[0] < end_s)


def is_holiday(country: str, day: int) -> bool:
    """Tell whether a day, counted from the start of 1970, is a public holiday; never where no calendar is kept."""
    one = date.fromordinal(day + _EPOCH)
    return one in _holidays(country, one.year)


@lru_cache(maxsize=1_024)
def _holidays(country: str, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()
