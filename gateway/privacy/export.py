"""All that is held on one user as one JSON object, made and sent in parts, so that no export is large in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date
from enum import Enum
from typing import Protocol

import orjson

from core.errors import StoreFailure
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
    head = orjson.dumps({"app": app, "user_id": user_id, "export_unix_ms": now_unix_ms})
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
            yield orjson.dumps(plain(row))
        if table is not None:
            yield b"]"
    yield b"}"


def plain(value: object) -> object:
    """Return a value as JSON holds it: enums by their names, bytes in hexadecimal, amounts and times by their parts."""
    match value:
        case Enum():
            return value.name.lower()
        case Money() | Moment():
            return value._asdict()
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
