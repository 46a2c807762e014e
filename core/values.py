"""Typed values that users' attributes and templates' variables hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, TypeAlias


class Money(NamedTuple):
    """An amount in the currency's minor unit. currency: ISO 4217, empty for the user's or else the app's own."""

    minor_units: int
    currency: str = ""


class Moment(NamedTuple):
    """A point in time, shown in the reader's zone."""

    unix_ms: int


# bool goes before int wherever kinds are told apart: it is one.
Value: TypeAlias = bool | int | float | str | Moment | date | Money


# How a value stands in JSON: itself, or a kind and what it holds, so that no two kinds look alike.
Plain: TypeAlias = bool | int | float | str | Sequence[int | str]


def to_plain(value: Value) -> Plain:
    """Return a value as JSON can hold it."""
    match value:
        case Money(minor_units, currency):
            return "money", minor_units, currency
        case Moment(unix_ms):
            return "time", unix_ms
        case date():
            return "date", value.isoformat()
        case _:
            return value


def from_plain(plain: Plain) -> Value:
    """Return the value that to_plain was given. Raises ValueError for anything else."""
    match plain:
        case bool() | int() | float() | str():
            return plain
        case ["money", int(minor_units), str(currency)]:
            return Money(minor_units, currency)
        case ["time", int(unix_ms)]:
            return Moment(unix_ms)
        case ["date", str(day)]:
            return date.fromisoformat(day)
        case _:
            raise ValueError(f"no value: {plain!r:.100}")
