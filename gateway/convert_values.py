"""Typed values <-> proto: attributes of users and variables of templates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date

from core.content.limits import MAX_LIST_ITEMS, MAX_TEXT_BYTES, MAX_VARIABLES
from core.content.templates import Raw
from core.errors import InvalidRequest
from core.values import Moment, Money, Value
from gateway.fields import bounded, timestamp_unix_ms
from gateway.receipts import to_timestamp
from protos.walletpush.v1 import value_pb2 as pb

MAX_VALUES_BYTES = 16_384
_MAX_RECORD_FIELDS = 16
_CURRENCY_CHARS = 3
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def to_value(field: str, told: pb.Value) -> Value:
    """Return one value. Raises InvalidRequest naming the field, for a list or record too."""
    match told.WhichOneof("kind"):
        case "text":
            return bounded(field, told.text, MAX_TEXT_BYTES)
        case "integer":
            return told.integer
        case "number":
            if not math.isfinite(told.number):
                raise InvalidRequest(field, "must be a finite number")
            return told.number
        case "flag":
            return told.flag
        case "time":
            return Moment(timestamp_unix_ms(field, told.time))
        case "date":
            return to_date(field, told.date)
        case "money":
            return Money(told.money.minor_units, to_currency(f"{field}.currency", told.money.currency))
        case None:
            raise InvalidRequest(field, "holds no value")
        case kind:
            raise InvalidRequest(field, f"a {kind} is not allowed here")


def to_date(field: str, text: str) -> date:
    """Return a calendar day of the form YYYY-MM-DD. Raises InvalidRequest."""
    try:
        # fromisoformat alone takes 2024-W01-1 too.
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest(field, "must be a day of the form YYYY-MM-DD")


def to_currency(field: str, code: str) -> str:
    """Return an ISO 4217 code, or "" for none. Raises InvalidRequest."""
    if code and not (len(code) == _CURRENCY_CHARS and code.isascii() and code.isalpha() and code.isupper()):
        raise InvalidRequest(field, "must be an ISO 4217 code such as CNY")
    return code


def to_raw(field: str, told: pb.Value) -> Raw:
    """Return the value of a template's variable, a list included. Raises InvalidRequest."""
    if told.WhichOneof("kind") != "list":
        return to_value(field, told)
    values = told.list.values
    if len(values) > MAX_LIST_ITEMS:
        raise InvalidRequest(field, f"at most {MAX_LIST_ITEMS} items, not {len(values)}")
    kinds = {one.WhichOneof("kind") for one in values}
    if kinds <= {"text"}:
        return [bounded(f"{field}[{n}]", one.text, MAX_TEXT_BYTES) for n, one in enumerate(values)]
    if kinds == {"record"}:
        return [_record(f"{field}[{n}]", one.record) for n, one in enumerate(values)]
    raise InvalidRequest(field, "a list holds texts alone, or records alone")


def to_raws(field: str, told: Mapping[str, pb.Value]) -> dict[str, Raw]:
    """Return a template's variables by name. Raises InvalidRequest, for more than 64 or 16 KiB in all too."""
    if len(told) > MAX_VARIABLES:
        raise InvalidRequest(field, f"at most {MAX_VARIABLES}, not {len(told)}")
    size = sum(len(name) + one.ByteSize() for name, one in told.items())
    if size > MAX_VALUES_BYTES:
        raise InvalidRequest(field, f"at most {MAX_VALUES_BYTES:,} bytes in all, not {size:,}")
    return {name: to_raw(f"{field}[{name[:64]}]", one) for name, one in told.items()}


def _record(field: str, told: pb.Record) -> dict[str, Value]:
    if len(told.fields) > _MAX_RECORD_FIELDS:
        raise InvalidRequest(field, f"at most {_MAX_RECORD_FIELDS} fields, not {len(told.fields)}")
    return {name: to_value(f"{field}.{name[:64]}", one) for name, one in told.fields.items()}


def from_value(value: Value) -> pb.Value:
    """Return a value as proto."""
    match value:
        case bool():
            return pb.Value(flag=value)
        case int():
            return pb.Value(integer=value)
        case float():
            return pb.Value(number=value)
        case str():
            return pb.Value(text=value)
        case Moment(unix_ms):
            return pb.Value(time=to_timestamp(unix_ms))
        case Money(minor_units, currency):
            return pb.Value(money=pb.Money(minor_units=minor_units, currency=currency))
        case date():
            return pb.Value(date=value.isoformat())
