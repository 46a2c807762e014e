"""The filters that templates may use, one implementation for both ways of rendering.

Each takes (scope, value, *arguments). Nothing here can grow a text past what a message may hold, nor a number past
2^63.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NamedTuple, TypeAlias

from core.content import masks
from core.content.formats import STYLES, Formats, major
from core.content.limits import MAX_INTEGER, MAX_OUTPUT_BYTES
from core.content.links import encode
from core.content.money import exponent, is_currency
from core.content.templates import VariableType
from core.content.truncation import ELLIPSIS, character_count, truncate
from core.values import Moment, Money

Number: TypeAlias = int | Decimal
_MAX_DIGITS = 6
_MAX_NUMERAL = 32
_SLOW = 8


class Scope(NamedTuple):
    """For whom values are written. locked: on a locked screen that may not show details."""

    formats: Formats
    locked: bool = False
    now_unix_s: int = 0


class FilterFault(ValueError):
    """A filter cannot be applied to this value or these arguments."""


class Filter(NamedTuple):
    """A filter with what can be checked before rendering.

    takes: types of variables it can stand directly behind; empty for all. literal: says what is wrong with arguments
    that are written out. masks: what it returns may stand on a locked screen. characters_per_step: how much text it
    reads for the price of a step; finding grapheme clusters costs most.
    """

    apply: Callable[..., object]
    fewest: int = 0
    most: int = 0
    takes: frozenset[VariableType] = frozenset()
    literal: Callable[[Sequence[object]], str] | None = None
    masks: bool = False
    uses_now: bool = False
    characters_per_step: int = 256


def number_of(value: object) -> Number:
    """Return a value as a number. Raises FilterFault."""
    if type(value) is int or type(value) is Decimal:
        number: Number = value
    elif type(value) is float:
        number = Decimal(repr(value))
    elif isinstance(value, str) and len(value) <= _MAX_NUMERAL:
        number = _numeral(value)
    elif isinstance(value, Money):
        raise FilterFault("an amount of money is not a number: use .value")
    else:
        raise FilterFault(f"{_kind(value)} is not a number")
    if isinstance(number, Decimal) and not number.is_finite():
        raise FilterFault("a number is not finite")
    return _bounded(number)


def _kind(value: object) -> str:
    return "a missing value (use default before the filter)" if value is None else f"a {type(value).__name__.lower()}"


def _numeral(text: str) -> Number:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise FilterFault("a text is not a number") from None
    small = number.is_finite() and abs(number) <= MAX_INTEGER
    return int(number) if small and number == number.to_integral_value() and "." not in text else number


def _bounded(number: Number) -> Number:
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise FilterFault("a number is too large")
    return number


def _sized(text: str) -> str:
    if len(text) > MAX_OUTPUT_BYTES:
        raise FilterFault("a text is too long")
    return text


def _money(scope: Scope, value: object, currency: object = None) -> str:
    if isinstance(value, Money):
        return scope.formats.money(value)
    if not isinstance(currency, str) or not is_currency(currency):
        raise FilterFault("a number needs a currency to be money")
    minor = Decimal(number_of(value)).scaleb(exponent(currency)).to_integral_value(ROUND_HALF_UP)
    return scope.formats.money(Money(int(minor), currency))


def _decimal(value: object) -> Decimal:
    return major(value) if isinstance(value, Money) else Decimal(number_of(value))


def _digits(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_DIGITS:
        raise FilterFault(f"digits are 0 to {_MAX_DIGITS}")
    return value


def _number(scope: Scope, value: object, digits: object = None) -> str:
    return scope.formats.number(_decimal(value), None if digits is None else _digits(digits))


def _percent(scope: Scope, value: object, digits: object = 0) -> str:
    return scope.formats.percent(Decimal(number_of(value)), _digits(digits))


def _style(style: object) -> str:
    if not isinstance(style, str) or style not in STYLES:
        raise FilterFault("a style is short, medium, long or full")
    return style


def _date(scope: Scope, value: object, style: object = "medium") -> str:
    return scope.formats.date(_day(value), _style(style))


def _day(value: object) -> date | Moment:
    if not isinstance(value, (date, Moment)):
        raise FilterFault(f"{_kind(value)} has no day")
    return value


def _moment(value: object) -> Moment:
    if not isinstance(value, Moment):
        raise FilterFault(f"{_kind(value)} has no time of day")
    return value


def _default(scope: Scope, value: object, other: object) -> object:
    return other if value is None or value is False or value == "" or value == [] else value


def _text(scope: Scope, value: object) -> str:
    try:
        return scope.formats.text(value)
    except TypeError as exc:
        raise FilterFault(str(exc)) from None


def _of_text(change: Callable[..., str]) -> Callable[..., object]:
    """Make a filter of a function over texts, all of whose arguments become texts."""

    def apply(scope: Scope, value: object, *arguments: object) -> str:
        return _sized(change(_text(scope, value), *(_text(scope, one) for one in arguments)))

    return apply


def _replace(text: str, old: str, new: str = "") -> str:
    if not old:
        return text
    if len(text) + text.count(old) * max(len(new) - len(old), 0) > MAX_OUTPUT_BYTES:
        raise FilterFault("a text is too long")
    return text.replace(old, new)


def _truncate(scope: Scope, value: object, count: object, ellipsis: object = ELLIPSIS) -> str:
    if not isinstance(count, int) or not 0 <= count <= MAX_OUTPUT_BYTES:
        raise FilterFault("truncate takes a number of characters")
    return truncate(_text(scope, value), count, _text(scope, ellipsis))


def _size(scope: Scope, value: object) -> int:
    return len(value) if isinstance(value, list) else character_count(_text(scope, value))


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise FilterFault("only a list has items")
    return value


def _join(scope: Scope, value: object, separator: object = ", ") -> str:
    between = _text(scope, separator)
    return _sized(between.join(_text(scope, item) for item in _items(value)))


def _first(scope: Scope, value: object) -> object:
    return _items(value)[0] if value else None


def _last(scope: Scope, value: object) -> object:
    return _items(value)[-1] if value else None


def _of_numbers(compute: Callable[..., Number]) -> Callable[..., object]:
    def apply(scope: Scope, *operands: object) -> Number:
        return _bounded(compute(*(number_of(one) for one in operands)))

    return apply


def _divide(one: Number, other: Number) -> Number:
    if other == 0:
        raise FilterFault("division by zero")
    # Liquid divides whole numbers to a whole number.
    return one // other if isinstance(one, int) and isinstance(other, int) else Decimal(one) / Decimal(other)


def _modulo(one: Number, other: Number) -> Number:
    if other == 0:
        raise FilterFault("division by zero")
    return one % other


def _round(scope: Scope, value: object, digits: object = 0) -> Number:
    places = _digits(digits)
    rounded = Decimal(number_of(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return rounded if places else int(rounded)


def _whole(rounding: str) -> Callable[..., Number]:
    return lambda value: int(Decimal(value).to_integral_value(rounding))


def _masking(mask: Callable[..., str]) -> Callable[..., object]:
    return lambda scope, value: mask(_text(scope, value), locked=scope.locked)


def _mask_balance(scope: Scope, value: object) -> str:
    return masks.HIDDEN if scope.locked else _text(scope, value)


def _literal_style(arguments: Sequence[object]) -> str:
    known = not arguments or arguments[0] in STYLES
    return "" if known else "takes short, medium, long or full, and no pattern: dates follow the reader's language"


def _literal_digits(arguments: Sequence[object]) -> str:
    known = not arguments or (type(arguments[0]) is int and 0 <= arguments[0] <= _MAX_DIGITS)
    return "" if known else f"takes a number of digits from 0 to {_MAX_DIGITS}"


def _literal_currency(arguments: Sequence[object]) -> str:
    known = not arguments or (isinstance(arguments[0], str) and is_currency(arguments[0]))
    return "" if known else "takes an ISO 4217 currency code"


_V = VariableType
_NUMBERS = frozenset({_V.INTEGER, _V.NUMBER, _V.TEXT})
_AMOUNTS = frozenset({_V.MONEY, _V.INTEGER, _V.NUMBER})
_DAYS = frozenset({_V.DATE, _V.TIME})
_LISTS = frozenset({_V.LIST})
_WRITTEN = frozenset(_V) - _LISTS


def _text_filter(change: Callable[..., str], fewest: int = 0, most: int = 0) -> Filter:
    return Filter(_of_text(change), fewest, most, _WRITTEN)


def _number_filter(compute: Callable[..., Number], arguments: int = 1) -> Filter:
    return Filter(_of_numbers(compute), arguments, arguments, _NUMBERS)


FILTERS: dict[str, Filter] = {
    "money": Filter(_money, 0, 1, _AMOUNTS, _literal_currency),
    "number": Filter(_number, 0, 1, _AMOUNTS | _NUMBERS, _literal_digits),
    "percent": Filter(_percent, 0, 1, _NUMBERS, _literal_digits),
    "date": Filter(_date, 0, 1, _DAYS, _literal_style),
    "time": Filter(
        lambda scope, value, style="short": scope.formats.time(_moment(value), _style(style)),
        0, 1, frozenset({_V.TIME}), _literal_style,
    ),
    "datetime": Filter(
        lambda scope, value, style="medium": scope.formats.datetime(_moment(value), _style(style)),
        0, 1, frozenset({_V.TIME}), _literal_style,
    ),
    "relative_day": Filter(
        lambda scope, value: scope.formats.relative_day(_day(value), scope.now_unix_s), takes=_DAYS, uses_now=True,
    ),
    "mask_card": Filter(_masking(masks.mask_card), takes=frozenset({_V.TEXT}), masks=True, characters_per_step=_SLOW),
    "mask_phone": Filter(_masking(masks.mask_phone), takes=frozenset({_V.TEXT}), masks=True, characters_per_step=_SLOW),
    "mask_name": Filter(_masking(masks.mask_name), takes=frozenset({_V.TEXT}), masks=True, characters_per_step=_SLOW),
    "mask_balance": Filter(_mask_balance, takes=_WRITTEN, masks=True),
    "default": Filter(_default, 1, 1),
    "upcase": _text_filter(str.upper),
    "downcase": _text_filter(str.lower),
    "capitalize": _text_filter(lambda text: text[:1].upper() + text[1:]),
    "strip": _text_filter(str.strip),
    "lstrip": _text_filter(str.lstrip),
    "rstrip": _text_filter(str.rstrip),
    "append": _text_filter(lambda text, other: text + other, 1, 1),
    "prepend": _text_filter(lambda text, other: other + text, 1, 1),
    "replace": _text_filter(_replace, 1, 2),
    "remove": _text_filter(lambda text, other: _replace(text, other), 1, 1),
    "escape": _text_filter(html.escape),
    "url_encode": _text_filter(encode),
    "truncate": Filter(_truncate, 1, 2, _WRITTEN, characters_per_step=_SLOW),
    "size": Filter(_size, takes=frozenset({_V.TEXT, _V.LIST}), characters_per_step=_SLOW),
    "first": Filter(_first, takes=_LISTS),
    "last": Filter(_last, takes=_LISTS),
    "join": Filter(_join, 0, 1, _LISTS),
    "plus": _number_filter(lambda one, other: one + other),
    "minus": _number_filter(lambda one, other: one - other),
    "times": _number_filter(lambda one, other: one * other),
    "divided_by": _number_filter(_divide),
    "modulo": _number_filter(_modulo),
    "at_least": _number_filter(max),
    "at_most": _number_filter(min),
    "abs": _number_filter(abs, 0),
    "ceil": _number_filter(_whole(ROUND_CEILING), 0),
    "floor": _number_filter(_whole(ROUND_FLOOR), 0),
    "round": Filter(_round, 0, 1, _NUMBERS, _literal_digits),
}  # fmt: skip
