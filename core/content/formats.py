"""Writes typed values as text in one locale and zone: Babel's formats, remembered since a call costs it some 20-40 us.

What is remembered is bounded and shared by all templates of a process.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from babel import dates, localedata, numbers

from core.content.locales import Tag, babel_locale
from core.content.money import major_units, money_format
from core.values import Moment, Money

STYLES = frozenset({"short", "medium", "long", "full"})
# A zone that nobody knows is told to the reader: a time in the wrong zone is worse than a longer one.
_UTC = "UTC"
_REMEMBERED = 8_192
_MS = 1_000
_DAY_S = 86_400


CalendarDay: TypeAlias = date
# A calendar day, or a moment whose day the reader's zone tells.
Day: TypeAlias = date | Moment


class Formats(NamedTuple):
    """How a reader's values are written. zone: IANA name; "" or an unknown one is UTC, and said so in times."""

    tag: Tag
    zone: str = ""

    def text(self, value: object) -> str:
        """Write a value that no filter has treated: money and times as their filters do, numbers without grouping."""
        kind = type(value)
        if kind is str:
            return value  # type: ignore[return-value]
        writer = _WRITERS.get(kind)
        if writer is None:
            if isinstance(value, str):
                return str(value)
            raise TypeError(f"{kind.__name__} cannot be written")
        return writer(self, value)

    def money(self, value: Money) -> str:
        """Write an amount with its currency's symbol."""
        return money_format(self.tag, value.currency).text(value.minor_units)

    def number(self, value: Decimal, digits: int | None = None) -> str:
        """Write a number with the locale's grouping; digits: exactly so many after the point."""
        return _number(self.tag, value, digits)

    def percent(self, value: Decimal, digits: int = 0) -> str:
        """Write 0.125 as 12.5 % with one digit."""
        return _percent(self.tag, value, digits)

    def date(self, value: Day, style: str = "medium") -> str:
        """Write the day, in the reader's zone."""
        return _date(self.tag, self.day(value), style)

    def time(self, value: Moment, style: str = "short") -> str:
        """Write the time of day, in the reader's zone."""
        return _time(self.tag, self.zone, value, style)

    def datetime(self, value: Moment, style: str = "medium") -> str:
        """Write day and time, in the reader's zone."""
        return _datetime(self.tag, self.zone, value, style)

    def day(self, value: Day) -> CalendarDay:
        """Return the calendar day of a moment in the reader's zone."""
        return _local(value, _zone(self.zone)).date() if isinstance(value, Moment) else value

    def relative_day(self, value: Day, now_unix_s: int) -> str:
        """Write how many days from now in the reader's zone: yesterday, today, in 3 days."""
        days = (self.day(value) - self.day(Moment(now_unix_s * _MS))).days
        return _relative(self.tag, days)


def major(value: Money) -> Decimal:
    """Return an amount in its currency's main unit."""
    return major_units(value.minor_units, value.currency)


def plain_number(value: Decimal | float) -> str:
    """Write a number without grouping, exponent or needless zeros."""
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_WRITERS: dict[type, Callable[[Formats, object], str]] = {
    int: lambda _, value: str(value),
    bool: lambda _, value: "true" if value else "false",
    float: lambda _, value: plain_number(value),  # type: ignore[arg-type]
    Decimal: lambda _, value: plain_number(value),  # type: ignore[arg-type]
    type(None): lambda _, value: "",
    Money: Formats.money,  # type: ignore[dict-item]
    Moment: Formats.datetime,  # type: ignore[dict-item]
    date: Formats.date,  # type: ignore[dict-item]
}


def known_zone(name: str) -> bool:
    """Tell whether this is the name of an IANA time zone."""
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # The host's own zone is no place that a reader could be in.
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


@lru_cache(maxsize=1_024)
def _zone(name: str) -> tzinfo:
    return zoneinfo.ZoneInfo(name) if known_zone(name) else UTC


def _local(value: Moment, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(value.unix_ms / _MS, zone)


@lru_cache(maxsize=_REMEMBERED)
def _number(tag: Tag, value: Decimal, digits: int | None) -> str:
    if digits is None:
        return numbers.format_decimal(value, locale=babel_locale(tag), decimal_quantization=False)
    return numbers.format_decimal(value, f"#,##0{'.' + '0' * digits if digits else ''}", locale=babel_locale(tag))


@lru_cache(maxsize=_REMEMBERED)
def _percent(tag: Tag, value: Decimal, digits: int) -> str:
    pattern = babel_locale(tag).percent_formats[None].pattern
    return numbers.format_percent(
        value, pattern.replace("0", f"0.{'0' * digits}" if digits else "0"), locale=babel_locale(tag)
    )


@lru_cache(maxsize=_REMEMBERED)
def _date(tag: Tag, value: date, style: str) -> str:
    return dates.format_date(value, style, locale=babel_locale(tag))


@lru_cache(maxsize=_REMEMBERED)
def _time(tag: Tag, zone: str, value: Moment, style: str) -> str:
    return _with_zone(
        dates.format_time(_local(value, _zone(zone)), style, tzinfo=_zone(zone), locale=babel_locale(tag)), zone, style
    )


@lru_cache(maxsize=_REMEMBERED)
def _datetime(tag: Tag, zone: str, value: Moment, style: str) -> str:
    local = _local(value, _zone(zone))
    return _with_zone(dates.format_datetime(local, style, tzinfo=_zone(zone), locale=babel_locale(tag)), zone, style)


def _with_zone(text: str, zone: str, style: str) -> str:
    """Name the zone where it is not the reader's; long styles name it themselves."""
    return text if known_zone(zone) or style in ("long", "full") else f"{text} {_UTC}"


@lru_cache(maxsize=_REMEMBERED)
def _relative(tag: Tag, days: int) -> str:
    words = localedata.load(str(babel_locale(tag)))["date_fields"]["day"]["relative"]
    if days in words:
        return str(words[days])
    return dates.format_timedelta(
        days * _DAY_S, "day", add_direction=True, locale=babel_locale(tag), threshold=float("inf")
    )
