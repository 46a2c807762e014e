"""Whose clock counts for a user, and where that clock jumps: device > user > app > all of the country's zones."""

from __future__ import annotations

import itertools
import zoneinfo
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import NamedTuple

from babel.core import get_global

DAY_S = 86_400
# Two changes of a zone's offset have never been closer together than this.
_PROBE_S = 21_600
# All offsets that people live by lie between these.
WORLD_WEST_S = -11 * 3_600
WORLD_EAST_S = 14 * 3_600


class ZoneSource(StrEnum):
    """Whose zone was taken; with COUNTRY and WORLD it may be any of several."""

    DEVICE = "device"
    USER = "user"
    APP = "app"
    COUNTRY = "country"
    WORLD = "world"


class Place(NamedTuple):
    """The zones one of which is the user's, and who says so; no zones where it may be any of the world's."""

    zones: tuple[str, ...]
    source: ZoneSource

    def __str__(self) -> str:
        """Read as people would write it."""
        if self.source == ZoneSource.WORLD:
            return "any zone of the world"
        names = ", ".join(self.zones[:3])
        return f"{names}{f' and {len(self.zones) - 3} more' if len(self.zones) > 3 else ''} ({self.source})"


class Stretch(NamedTuple):
    """Unix seconds, the end not included, over which a zone's offset stays the same."""

    begin_s: int
    end_s: int
    offset_s: int


@cache
def _names() -> frozenset[str]:
    # "localtime" is this host's own zone, "Factory" none at all.
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


@cache
def _by_country() -> Mapping[str, tuple[str, ...]]:
    """Source: CLDR's territories of zones, as Babel carries them."""
    found = defaultdict(list)
    for zone, country in get_global("zone_territories").items():
        if zone in _names():
            found[country].append(zone)
    return {country: tuple(sorted(zones)) for country, zones in found.items()}


def prepare() -> None:
    """Read the names of zones and countries now; it takes some 0.2 s, which the first message should not wait for."""
    _by_country()


def is_zone(name: str) -> bool:
    """Tell whether the time zone database knows the name."""
    return name in _names()


def is_country(code: str) -> bool:
    """Tell whether an ISO 3166 code names a country with zones."""
    return code in _by_country() and not code.isdigit()


@lru_cache(maxsize=1_024)
def zone_info(name: str) -> zoneinfo.ZoneInfo:
    """Return a zone that the database knows; zoneinfo itself keeps only 8 and reads the others' files again."""
    return zoneinfo.ZoneInfo(name)


def place(device_zone: str, user_zone: str, app_zone: str, country: str) -> Place:
    """Return the first zone that is known, else all of the country's, else the whole world's."""
    candidates = ((device_zone, ZoneSource.DEVICE), (user_zone, ZoneSource.USER), (app_zone, ZoneSource.APP))
    for name, source in candidates:
        if name and is_zone(name):
            return Place((name,), source)
    zones = _by_country().get(country.upper()) if country else None
    return Place(zones, ZoneSource.COUNTRY) if zones else Place((), ZoneSource.WORLD)


def stretches(zone: str, from_s: int, days: int) -> tuple[Stretch, ...]:
    """Return how a zone's offset goes from the day of from_s (UTC) on, for so many days and one more."""
    begin_s = from_s // DAY_S * DAY_S
    return _stretches(zone, begin_s, begin_s + (days + 1) * DAY_S)


@lru_cache(maxsize=4_096)
def _stretches(zone: str, begin_s: int, end_s: int) -> tuple[Stretch, ...]:
    info = zone_info(zone)
    changes = [begin_s, *_changes(info, begin_s, end_s), end_s]
    return tuple(Stretch(begin, end, offset_at(info, begin)) for begin, end in itertools.pairwise(changes))


def _changes(info: zoneinfo.ZoneInfo, begin_s: int, end_s: int) -> Iterator[int]:
    before = offset_at(info, begin_s)
    for probe_s in range(begin_s + _PROBE_S, end_s + 1, _PROBE_S):
        after = offset_at(info, probe_s)
        if after != before:
            yield _bisected(info, probe_s - _PROBE_S, probe_s)
        before = after


def _bisected(info: zoneinfo.ZoneInfo, low_s: int, high_s: int) -> int:
    """Return the second at which the offset of low_s ends; that of high_s is another."""
    before = offset_at(info, low_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        low_s, high_s = (middle_s, high_s) if offset_at(info, middle_s) == before else (low_s, middle_s)
    return high_s


def offset_at(info: zoneinfo.ZoneInfo, at_s: int) -> int:
    """Return the offset from UTC in whole seconds at a Unix time."""
    offset = datetime.fromtimestamp(at_s, UTC).astimezone(info).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
