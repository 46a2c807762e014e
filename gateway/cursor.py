"""The cursor of a receipt stream: for each journal, up to where its rows were told."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import NamedTuple

from core.errors import InvalidRequest

_VERSION = 1
_HEAD = struct.Struct("<BH")
_ENTRY = struct.Struct("<HQI")
_MAX_JOURNALS = 4_096
# What SQLite can compare a row's number with.
_MAX_SEQ = (1 << 63) - 1
BEGIN = "begin"


class Position(NamedTuple):
    """Rows up to seq were told; of row seq itself only the first `told` receipts, unless told is 0: then all."""

    seq: int
    told: int = 0


def format_cursor(positions: Mapping[int, Position]) -> str:
    """Return positions by journal number as text."""
    entries = b"".join(_ENTRY.pack(number, *position) for number, position in sorted(positions.items()))
    return base64.urlsafe_b64encode(_HEAD.pack(_VERSION, len(positions)) + entries).decode().rstrip("=")


def parse_cursor(text: str) -> dict[int, Position]:
    """Return the positions of a cursor that format_cursor made. Raises InvalidRequest for anything else."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, count = _HEAD.unpack_from(raw)
        if version != _VERSION or count > _MAX_JOURNALS or len(raw) != _HEAD.size + count * _ENTRY.size:
            raise ValueError("another form")
        entries = list(_ENTRY.iter_unpack(raw[_HEAD.size :]))
        if any(seq > _MAX_SEQ for _, seq, _ in entries):
            raise ValueError("beyond every journal")
        return {number: Position(seq, told) for number, seq, told in entries}
    except (ValueError, struct.error):
        raise InvalidRequest("cursor", 'must be empty, "begin", or a cursor from an earlier response') from None
