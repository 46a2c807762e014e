"""What is left of a user who was erased, and the Protocol of what erases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Erasure:
    """Proof that a user was erased: it convinces who knows app and user id, and tells nobody else.

    subject_hash: keyed hash, 32 hexadecimal digits. removed_counts: rows by table.
    signature: HMAC-SHA-256 over all other fields, hexadecimal.
    """

    subject_hash: str
    erased_unix_ms: int
    removed_counts: Mapping[str, int]
    actor: str
    reason: str
    signature: str


class Eraser(Protocol):
    """Erases users from everything that the gateway holds, in all its workers."""

    async def erase(self, app: str, user_id: str, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        """Erase a user and return the proof; of one who is not known too, and once more where it is repeated.

        reason, actor: kept in the proof, without personal data. What was begun is finished after a restart. Raises
        Unavailable when a store or a worker cannot be reached: the erasure then goes on by itself, or when asked again.
        """

    async def find(self, app: str, user_id: str) -> Erasure | None:
        """Return the newest proof for this user whose signature is good, None without any. Raises Unavailable."""
