"""The time zones that a page offers, by the names that readers of its language know them by."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from babel.core import get_global
from babel.dates import get_timezone_location

from core.content.locales import babel_locale, parse_tag
from core.policy.zones import is_zone, place


class Zone(NamedTuple):
    """A zone of the database and what people call it."""

    name: str
    title: str


class ZoneOptions(NamedTuple):
    """near: of the user's country, or chosen already; rest: all others."""

    near: tuple[Zone, ...]
    rest: tuple[Zone, ...]


_TERRITORIES: Final = get_global("zone_territories")


def zone_options(language: str, chosen: str, country: str) -> ZoneOptions:
    """Return the zones to choose from; a zone that was chosen is among them, whatever it is."""
    names = place("", "", "", country).zones if country else ()
    near = [*names, *([chosen] if chosen and chosen not in names else [])]
    every = every_zone(language)
    known = {zone.name: zone for zone in every}
    taken = frozenset(near)
    return ZoneOptions(
        tuple(known.get(name) or Zone(name, name) for name in near),
        tuple(zone for zone in every if zone.name not in taken),
    )


@lru_cache(maxsize=8)
def every_zone(language: str) -> tuple[Zone, ...]:
    """Return the zone of each place that CLDR knows, sorted by title; takes half a second at its first call."""
    tag = parse_tag(language)
    assert tag is not None
    locale = babel_locale(tag)
    found = (
        Zone(name, get_timezone_location(name, locale=locale))
        for name, territory in _TERRITORIES.items()
        if is_zone(name) and not territory.isdigit()
    )
    return tuple(sorted(found, key=lambda zone: zone.title))
