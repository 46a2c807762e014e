"""What callers and users' records give for variables, checked and brought to one shape each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

import regex

from core.content.limits import MAX_INTEGER, MAX_LIST_ITEMS, MAX_TEXT_BYTES
from core.content.links import LinkPolicy, link_fault
from core.content.money import is_currency
from core.content.templates import SOURCES, Variable, VariableType
from core.content.truncation import byte_count
from core.values import Moment, Money

# Year 9999, past which neither Python nor readers have dates.
_MAX_UNIX_MS = 253_402_300_799_999
# Control characters and surrogates, and what turns the direction of text: a name must not rewrite its surroundings.
_UNWANTED = regex.compile(r"(?![\n\t])[\p{Cc}\p{Cs}]|[\u202a-\u202e\u2066-\u2069]")
# No language piles up more marks than this on one letter.
_PILED = regex.compile(r"(\p{M}{8})\p{M}+")


class WrongValue(ValueError):
    """A value is not what its variable says."""


class MissingValue(ValueError):
    """A variable has no value; the text is its name."""


class Input(NamedTuple):
    """A value that a template reads. type: None where the value's own counts. default: None where there is none."""

    name: str
    source: int
    key: str
    type: VariableType | None
    required: bool
    default: object
    read: Callable[[object, str], object]


def reader_of(variable: Variable | None, links: LinkPolicy) -> Callable[[object, str], object]:
    """Return the function that checks a variable's value: (value, currency of the reader) -> typed value.

    It raises WrongValue. Without a variable the value's own type counts.
    """
    if variable is None:
        return _own
    if variable.type is VariableType.URL:
        return lambda value, _: _url(value, links)
    if variable.type is VariableType.LIST:
        fields = tuple((one.name, one, reader_of(one, links)) for one in variable.fields)
        return lambda value, currency: _items(value, currency, fields)
    return _READERS[variable.type]


def source_of(name: str) -> tuple[int, str]:
    """Split a variable's name into the place of its source in Values and its key there."""
    prefix, dot, key = name.partition(".")
    return (SOURCES.index(prefix), key) if dot else (0, name)


def _text(value: object, _: str) -> str:
    if type(value) is not str:
        raise WrongValue("is not text")
    if value.isascii() and value.isprintable():
        if len(value) > MAX_TEXT_BYTES:
            raise WrongValue(f"is longer than {MAX_TEXT_BYTES} bytes")
        return value
    if len(value) > MAX_TEXT_BYTES or byte_count(value) > MAX_TEXT_BYTES:
        raise WrongValue(f"is longer than {MAX_TEXT_BYTES} bytes")
    cleaned: str = _PILED.sub(r"\1", _UNWANTED.sub("", value))
    return cleaned


def _integer(value: object, _: str) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise WrongValue("is not a whole number")
    if abs(value) > MAX_INTEGER:
        raise WrongValue("is too large")
    return value


def _number(value: object, _: str) -> int | float:
    if type(value) is not int and type(value) is not float:
        raise WrongValue("is not a number")
    if not math.isfinite(value) or abs(value) > MAX_INTEGER:
        raise WrongValue("is too large or not finite")
    return value


def _flag(value: object, _: str) -> bool:
    if type(value) is not bool:
        raise WrongValue("is not true or false")
    return value


def _moment(value: object, _: str) -> Moment:
    if type(value) is not Moment or type(value.unix_ms) is not int:
        raise WrongValue("is not a time")
    if not 0 <= value.unix_ms <= _MAX_UNIX_MS:
        raise WrongValue("is outside the years 1970 to 9999")
    return value


def _date(value: object, _: str) -> date:
    if type(value) is not date:
        raise WrongValue("is not a date")
    return value


def _money(value: object, currency: str) -> Money:
    if type(value) is not Money or type(value.minor_units) is not int:
        raise WrongValue("is not an amount of money")
    if not value.currency:
        value = Money(value.minor_units, currency)
    if not is_currency(value.currency):
        raise WrongValue(f"has no currency that is known: {value.currency[:8]!r}")
    if abs(value.minor_units) > MAX_INTEGER:
        raise WrongValue("is too large")
    return value


def _url(value: object, links: LinkPolicy) -> str:
    if type(value) is not str:
        raise WrongValue("is not a URL")
    if fault := link_fault(value, links):
        raise WrongValue(fault)
    return value


_Fields = tuple[tuple[str, Variable, Callable[[object, str], object]], ...]


def _items(value: object, currency: str, fields: _Fields) -> list[object]:
    if not isinstance(value, (list, tuple)) or isinstance(value, (Money, Moment)):
        raise WrongValue("is not a list")
    if len(value) > MAX_LIST_ITEMS:
        raise WrongValue(f"has more than {MAX_LIST_ITEMS} items")
    if not fields:
        return [_text(item, currency) for item in value]
    return [_record(item, currency, fields) for item in value]


def _record(item: object, currency: str, fields: _Fields) -> dict[str, object]:
    if not isinstance(item, Mapping):
        raise WrongValue("has an item that is no record")
    record: dict[str, object] = {}
    for name, variable, read in fields:
        value = item.get(name)
        if value is None:
            value = variable.default
        if value is None and variable.required:
            raise WrongValue(f"has an item without {name}")
        record[name] = None if value is None else read(value, currency)
    return record


_READERS: dict[VariableType, Callable[[object, str], object]] = {
    VariableType.TEXT: _text,
    VariableType.INTEGER: _integer,
    VariableType.NUMBER: _number,
    VariableType.FLAG: _flag,
    VariableType.TIME: _moment,
    VariableType.DATE: _date,
    VariableType.MONEY: _money,
}
_OWN: dict[type, Callable[[object, str], object]] = {
    str: _text, int: _integer, float: _number, bool: _flag, Moment: _moment, date: _date, Money: _money,
}  # fmt: skip


def _own(value: object, currency: str) -> object:
    read = _OWN.get(type(value))
    if read is None:
        raise WrongValue(f"has a type that templates do not know: {type(value).__name__}")
    return read(value, currency)
