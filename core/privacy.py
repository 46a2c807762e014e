"""What is left of a user who was erased, and the Protocol of what erases."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from core.hashing import SipHash

_SUBJECTS = "privacy subjects"
_PROOFS = "privacy proofs of erasure"


def privacy_key(secret: SipHash, purpose: str) -> bytes:
    """Return 32 bytes for HMAC, another for each purpose."""
    derived = secret.derive(purpose)
    return derived.hash128("1") + derived.hash128("2")


def subject_hash(secret: SipHash, app: str, user_id: str) -> str:
    """Return what stands for a user in proofs and audit lines, 32 hexadecimal digits; a NUL is in neither name."""
    told = f"{app}\0{user_id}".encode()
    return hmac.new(privacy_key(secret, _SUBJECTS), told, hashlib.sha256).hexdigest()[:32]


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


def signed(secret: SipHash, proof: Erasure) -> Erasure:
    """Return a proof with the signature that it should have."""
    told = [proof.subject_hash, proof.erased_unix_ms, sorted(proof.removed_counts.items()), proof.actor, proof.reason]
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    signature = hmac.new(privacy_key(secret, _PROOFS), text, hashlib.sha256).hexdigest()
    return replace(proof, signature=signature)


def is_genuine(secret: SipHash, proof: Erasure) -> bool:
    """Tell whether a proof was signed here and not altered since."""
    return hmac.compare_digest(signed(secret, proof).signature, proof.signature)


class Purged(NamedTuple):
    """What a step of removing old rows did: how many went, and whether there may be more of them now."""

    rows: int
    more: bool


class UnderWay(NamedTuple):
    """An erasure that was begun and is not done. sealed: whom it is about. removed_counts: of steps that are done."""

    subject_hash: str
    sealed: bytes
    removed_counts: Mapping[str, int]
    actor: str
    reason: str
    begun_unix_ms: int


class ErasureNotes(Protocol):
    """What is under way, so that a crash does not end it; every method raises Unavailable."""

    async def begin(self, noted: UnderWay) -> None:
        """Note an erasure, durably, before anything is removed; one of the same subject is replaced."""

    async def under_way(self) -> list[UnderWay]:
        """Return what was begun and is not done, oldest first, at most 1,000."""

    async def find_under_way(self, subject_hash: str) -> UnderWay | None:
        """Return a subject's erasure that is not done."""

    async def note(self, subject_hash: str, removed_counts: Mapping[str, int]) -> None:
        """Keep the counts of the steps that are done."""

    async def finish(self, proof: Erasure | None, subject_hash: str) -> None:
        """Keep the proof, unless an earlier one stands for it, and forget in the same commit that it was under way."""


class ErasureProofs(Protocol):
    """What was done; every method raises Unavailable."""

    async def newest(self, subject_hash: str) -> Erasure | None:
        """Return a subject's newest proof."""

    async def purge(self, now_unix_ms: int, before_unix_ms: int, most: int, /) -> Purged:
        """Let the oldest proofs go, at most so many, that are older."""

    async def forget_deleted(self) -> bool:
        """Empty the log, where what was sealed still stands; tell whether no other worker held it."""

    async def close(self) -> None:
        """Let go of the file."""


class ErasureRecord(ErasureNotes, ErasureProofs, Protocol):
    """The file of erasures."""


class Eraser(Protocol):
    """Erases users from everything that the gateway holds, in all its workers."""

    async def erase(self, app: str, user_id: str, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        """Erase a user and return the proof, of one who is not known too; where nothing was left, the earlier proof.

        reason, actor: kept in the proof, without personal data. What was begun is finished after a restart. Raises
        Unavailable when a store or a worker cannot be reached: the erasure then goes on by itself, or when asked again.
        """

    async def find(self, app: str, user_id: str) -> Erasure | None:
        """Return the newest proof for this user whose signature is good, None without any. Raises Unavailable."""
