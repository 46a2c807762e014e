"""Files of users: JSON lines or CSV, read a line at a time; a bad line is told and left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from google.protobuf.json_format import ParseDict, ParseError

from protos.walletpush.v1 import user_pb2

# Longer ones hold no user that a gateway would take.
MAX_LINE_BYTES = 64 << 10
_SEPARATOR = ";"


class Line(NamedTuple):
    """A line of a file. user: None where it cannot be read, and `why` says why. end: where it ends, in bytes."""

    number: int
    end: int
    user: user_pb2.User | None
    why: str = ""


def read_lines(path: Path, app: str, first: int = 1) -> Iterator[Line]:
    """Give the lines of a .csv or JSON lines file from number `first` on, counted from 1.

    app: of users that name none. Raises OSError, and ValueError if a CSV file's first line names what no user has.
    """
    with path.open("rb") as file:
        lines = _counted(file)
        if path.suffix.lower() == ".csv":
            columns = _columns(next(lines, (1, 0, b""))[2])
            yield from (_read_csv(line, columns, app) for line in lines if line[0] >= first)
        else:
            yield from (_read_json(line, app) for line in lines if line[0] >= first and line[2].strip())


def _counted(file: Iterator[bytes]) -> Iterator[tuple[int, int, bytes]]:
    end = 0
    for number, raw in enumerate(file, 1):
        end += len(raw)
        yield number, end, raw


def _read_json(line: tuple[int, int, bytes], app: str) -> Line:
    number, end, raw = line
    try:
        told = json.loads(_text(raw))
        user = _user(told, app) if isinstance(told, dict) else None
        return Line(number, end, user, "" if user else "is no JSON object")
    except (ValueError, ParseError) as error:
        return Line(number, end, None, _first_line(error))


def _read_csv(line: tuple[int, int, bytes], columns: list[str], app: str) -> Line:
    number, end, raw = line
    try:
        cells = next(csv.reader([_text(raw).rstrip("\r\n")], strict=True), [])
        if len(cells) != len(columns):
            raise ValueError(f"has {len(cells)} cells, the first line names {len(columns)}")
        told: dict[str, object] = {}
        for column, cell in zip(columns, cells, strict=True):
            if cell:
                _put(told, column, cell)
        return Line(number, end, _user(told, app))
    except (ValueError, ParseError, csv.Error) as error:
        return Line(number, end, None, _first_line(error))


def _first_line(error: Exception) -> str:
    # protobuf goes on to list every field there is.
    return str(error).strip().partition("\n")[0]


def _text(raw: bytes) -> str:
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"is longer than {MAX_LINE_BYTES:,} bytes")
    return raw.decode("utf-8-sig")


def _columns(raw: bytes) -> list[str]:
    columns = next(csv.reader([_text(raw).rstrip("\r\n")], strict=True), [])
    known = user_pb2.User.DESCRIPTOR.fields_by_name
    for column in columns:
        outer, dot, name = column.partition(".")
        if (outer not in {"attributes", "external_ids"} or not name) if dot else column not in known:
            raise ValueError(f"the first line names {column!r}, which no user has")
    return columns


def _put(told: dict[str, object], column: str, cell: str) -> None:
    outer, dot, name = column.partition(".")
    if dot:
        inner = told.setdefault(outer, {})
        assert isinstance(inner, dict)
        inner[name] = cell
    else:
        told[column] = cell.split(_SEPARATOR) if column == "tags" else cell


def _user(told: Mapping[str, object], app: str) -> user_pb2.User:
    fields = {"app": app, **told}
    attributes = fields.get("attributes")
    if isinstance(attributes, dict):
        fields["attributes"] = {name: _value(value) for name, value in attributes.items()}
    # Typed for dictionaries of the caller's own alone.
    return ParseDict(fields, user_pb2.User())


def _value(value: object) -> object:
    """Return a plain value as the contract's Value; an object is one already."""
    match value:
        case bool():
            return {"flag": value}
        case int():
            return {"integer": value}
        case float():
            return {"number": value}
        case str():
            return {"text": value}
        case dict():
            return value
    raise ValueError(f"an attribute cannot be {json.dumps(value)[:40]}")
