"""Typed values that users' attributes and templates' variables hold."""

from __future__ import annotations

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
