"""Values of variables as people type them, and samples of those that nobody typed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from core.content.limits import MAX_INTEGER
from core.content.money import exponent, is_currency
from core.content.templates import Raw, Variable, VariableType
from core.policy.zones import is_zone, zone_info
from core.values import Moment, Money, Value

YES: Final = frozenset({"yes", "true", "1", "on", "是", "对"})
NO: Final = frozenset({"no", "false", "0", "off", "否", "不"})
SAMPLES: Final = {
    VariableType.INTEGER: "1280", VariableType.NUMBER: "0.25", VariableType.FLAG: "yes",
    VariableType.URL: "https://example.com/",
}  # fmt: skip
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_AMOUNT = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,4})?)(?: ([A-Z]{3}))?")
_BETWEEN_TEXTS = re.compile(r"[,，、;；]")
_BETWEEN_ITEMS = re.compile(r"[;；]")
_BETWEEN_FIELDS = re.compile(r"[,，]")


class WrongEntry(ValueError):
    """What was typed is no value of the type; the text names what it must be, a key of the page's texts."""


def typed(variable: Variable, text: str, currency: str, zone: str) -> Raw:
    """Return what was typed as the variable's value. currency, zone: of amounts and times without one.

    Raises WrongEntry.
    """
    if variable.type is not VariableType.LIST:
        return _single(variable.type, text, currency, zone)
    if not variable.fields:
        return [one.strip() for one in _BETWEEN_TEXTS.split(text) if one.strip()]
    return [_record(variable, item, currency, zone) for item in _BETWEEN_ITEMS.split(text) if item.strip()]


def sample(variable: Variable, currency: str, now_unix_s: int) -> str:
    """Return a value to type for a variable, so that a template shows something at once."""
    match variable.type:
        case VariableType.MONEY:
            return f"128.50 {currency or 'CNY'}" if exponent(currency or "CNY") >= 2 else f"1280 {currency}"
        case VariableType.TIME:
            return datetime.fromtimestamp(now_unix_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
        case VariableType.DATE:
            return datetime.fromtimestamp(now_unix_s, UTC).date().isoformat()
        case VariableType.LIST if variable.fields:
            return ", ".join(f"{one.name}={sample(one, currency, now_unix_s)}" for one in variable.fields)
        case VariableType.TEXT | VariableType.LIST:
            return f"‹{variable.name}›"
    return SAMPLES[variable.type]


def written(value: Value) -> str:
    """Return a value as one would type it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case Money(minor_units, currency):
            amount = Decimal(minor_units).scaleb(-exponent(currency))
            return f"{amount:f} {currency}".strip()
        case Moment(unix_ms):
            return datetime.fromtimestamp(unix_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
    return str(value)


def _single(kind: VariableType, text: str, currency: str, zone: str) -> Value:
    told = text.strip()
    match kind:
        case VariableType.INTEGER:
            return _whole(told)
        case VariableType.NUMBER:
            return _number(told)
        case VariableType.FLAG:
            return _flag(told.lower())
        case VariableType.TIME:
            return _moment(told, zone)
        case VariableType.DATE:
            return _day(told)
        case VariableType.MONEY:
            return _money(told, currency)
    return text


def _whole(told: str) -> int:
    if not _WHOLE.fullmatch(told) or abs(int(told)) > MAX_INTEGER:
        raise WrongEntry("wrong_integer")
    return int(told)


def _number(told: str) -> float:
    try:
        number = float(told[:64])
    except ValueError:
        raise WrongEntry("wrong_number") from None
    if not math.isfinite(number):
        raise WrongEntry("wrong_number")
    return number


def _flag(told: str) -> bool:
    if told not in YES | NO:
        raise WrongEntry("wrong_flag")
    return told in YES


def _moment(told: str, zone: str) -> Moment:
    try:
        moment = datetime.fromisoformat(told)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone_info(zone) if is_zone(zone) else UTC)
        return Moment(int(moment.timestamp() * 1_000))
    except (ValueError, OverflowError):
        raise WrongEntry("wrong_time") from None


def _day(told: str) -> date:
    try:
        return date.fromisoformat(told)
    except ValueError:
        raise WrongEntry("wrong_date") from None


def _money(told: str, currency: str) -> Money:
    found = _AMOUNT.fullmatch(told)
    named = (found[2] or "") if found else ""
    if found is None or (named and not is_currency(named)):
        raise WrongEntry("wrong_money")
    try:
        minor = Decimal(found[1]).scaleb(exponent(named or currency or "USD"))
    except InvalidOperation:
        raise WrongEntry("wrong_money") from None
    if minor != minor.to_integral_value():
        raise WrongEntry("wrong_money")
    return Money(int(minor), named)


def _record(variable: Variable, item: str, currency: str, zone: str) -> Mapping[str, Value]:
    fields = {one.name: one for one in variable.fields}
    values: dict[str, Value] = {}
    for part in _BETWEEN_FIELDS.split(item):
        name, equals, text = part.partition("=")
        field = fields.get(name.strip())
        if not equals or field is None:
            raise WrongEntry("wrong_record")
        values[field.name] = _single(field.type, text.strip(), currency, zone)
    return values
