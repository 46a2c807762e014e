"""All that is held on one user as one JSON object, made and sent in parts, so that no export is large in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum, IntEnum
from typing import Protocol

import orjson

from core.errors import StoreFailure
from core.policy.people import Channel, Permission
from core.values import Moment, Money

CHUNK_BYTES = 64 << 10


class ExportSource(Protocol):
    """One store with personal data."""

    name: str

    def export(self, app: str, user_id: str) -> AsyncIterator[tuple[str, Mapping[str, object]]]:
        """Give (table, row) for all that is held, each table's rows together. Raises Unavailable."""


async def export_chunks(
    sources: Sequence[ExportSource], app: str, user_id: str, now_unix_ms: int
) -> AsyncGenerator[bytes, None]:
    """Give the object in parts of at most 64 KiB: the user's id, the time, and a list of rows for each table.

    Raises Unavailable; StoreFailure when two sources give the same table.
    """
    buffer = bytearray()
    async for piece in _pieces(sources, app, user_id, now_unix_ms):
        buffer += piece
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)


async def _pieces(
    sources: Sequence[ExportSource], app: str, user_id: str, now_unix_ms: int
) -> AsyncGenerator[bytes, None]:
    head = orjson.dumps(readable({"app": app, "user_id": user_id, "export_unix_ms": now_unix_ms}))
    yield head[:-1]
    seen: set[str] = set()
    for source in sources:
        table: str | None = None
        async for name, row in source.export(app, user_id):
            if name == table:
                yield b","
            elif name in seen:
                raise StoreFailure(f"{source.name} gives rows of {name} twice")
            else:
                yield (b"," if table is None else b"],") + orjson.dumps(name) + b":["
            table = name
            seen.add(name)
            yield orjson.dumps(readable(row))
        if table is not None:
            yield b"]"
    yield b"}"


def readable(row: Mapping[str, object]) -> Mapping[str, object]:
    """Return a row as a person reads it in JSON: what its columns hold as numbers by names, and times by ISO 8601."""
    return dict(_named(name, value) for name, value in row.items())


def plain(value: object) -> object:
    """Return a value as JSON holds it: enums by their names, times by ISO 8601, bytes in hexadecimal."""
    match value:
        case Enum():
            return value.name.lower()
        case Money():
            return value._asdict()
        case Moment():
            return _iso(value.unix_ms)
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case bytes():
            return value.hex()
        case date():
            return value.isoformat()
        case str() | int() | float() | None:
            return value
        case Sequence():
            return [plain(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
    raise StoreFailure(f"a {type(value).__name__} cannot be exported")


def _named(name: str, value: object) -> tuple[str, object]:
    if name.endswith("unix_ms") and isinstance(value, int):
        stem = name.removesuffix("unix_ms").rstrip("_")
        return stem if stem.endswith("time") else f"{stem}_time".lstrip("_"), _iso(value)
    if name in _FLAGS and isinstance(value, int):
        return name, bool(value)
    if name in _ENUMS and isinstance(value, int):
        return name, _ENUMS[name](value).name.lower() if value or name != "channel" else "every"
    return name, readable(value) if name == "target" and isinstance(value, Mapping) else plain(value)


def _iso(unix_ms: int) -> str | None:
    if not unix_ms:
        return None
    return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What tables hold as numbers.
_FLAGS = frozenset({"granted", "includes_transactional", "reserved"})
_ENUMS: Mapping[str, type[IntEnum]] = {"channel": Channel, "permission": Permission}
