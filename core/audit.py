"""Who read and changed what: lines of the audit log, chained so that a changed or missing one shows."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

NO_HASH = bytes(32)
End = Literal["base", "head"]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One deed. actor: the caller. subject_hash: core.privacy.subject_hash, "" for nobody. detail: no personal data."""

    at_unix_ms: int
    app: str
    actor: str
    action: str
    subject_hash: str = ""
    detail: str = ""


class Link(NamedTuple):
    """A line in its place: its number, and the hash of the line before."""

    number: int
    line: AuditLine
    previous: bytes


class ChainEnd(NamedTuple):
    """Where the chain begins (the last line that was purged) or ends: number and hash of that line, and its seal."""

    number: int
    line_hash: bytes
    seal: bytes


class AuditLog(Protocol):
    """Keeps what was done; lines are only appended, and leave in their order when they are old."""

    async def append(self, lines: Sequence[AuditLine]) -> None:
        """Append in one commit, durable on return. Raises Unavailable or Overloaded; then nothing was written."""

    async def lines(self, app: str, subject_hash: str, before: int, limit: int) -> list[Link]:
        """Return lines with numbers below `before` (0: all), newest first; subject_hash: "" for all.

        Raises Unavailable.
        """


def hash_of(link: Link) -> bytes:
    """Return the SHA-256 of a line in its place, over a JSON array of its number, its fields and the hash before."""
    line = link.line
    told = [
        link.number, line.at_unix_ms, line.app, line.actor, line.action, line.subject_hash, line.detail,
        link.previous.hex(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()).digest()


def seal_of(key: bytes, end: End, number: int, line_hash: bytes) -> bytes:
    """Return what shows that the gateway itself wrote an end: who lacks the key can remake a chain, but not this."""
    return hmac.new(key, f"{end} {number} {line_hash.hex()}".encode(), hashlib.sha256).digest()


def is_sealed(key: bytes, end: End, found: ChainEnd) -> bool:
    """Tell whether an end is as the gateway wrote it."""
    return hmac.compare_digest(found.seal, seal_of(key, end, found.number, found.line_hash))
