"""What is exported beside the files of users and devices: counters, proofs of erasure, the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from core.audit import AuditLog
from core.hashing import SipHash
from core.policy.count_keys import user_hashes
from core.privacy import Eraser, subject_hash

_LINES = 500
Rows = AsyncIterator[tuple[str, Mapping[str, object]]]


class Counters(Protocol):
    """The frequency counters, as far as they tell of one user."""

    def events_of(self, user: int) -> list[tuple[int, int, int, bool]]:
        """Return (time_s, tag, mask, reserved) of everything remembered of a user."""


class CountExport:
    """What frequency caps counted for a user. hashes: those that core.policy.counting has its keys of users from."""

    name = "frequency"

    def __init__(self, counters: Counters, hashes: SipHash) -> None:
        self._counters = counters
        self._hashes = hashes

    async def export(self, app: str, user_id: str) -> Rows:
        """Give when something was counted, or reserved, for the user."""
        user = user_hashes(self._hashes, app).hash64(user_id)
        for time_s, _, _, reserved in sorted(self._counters.events_of(user)):
            yield "counted_notifications", {"time_unix_ms": time_s * 1_000, "reserved": reserved}


class ErasureExport:
    """The newest proof that an earlier user of this id was erased."""

    name = "erasures"

    def __init__(self, eraser: Eraser) -> None:
        self._eraser = eraser

    async def export(self, app: str, user_id: str) -> Rows:
        """Give the proof, if there is one. Raises Unavailable."""
        found = await self._eraser.find(app, user_id)
        if found is not None:
            yield "erasures", {
                "erased_unix_ms": found.erased_unix_ms, "removed_counts": found.removed_counts, "reason": found.reason,
            }  # fmt: skip


class AuditExport:
    """Who looked at the user, and who changed what."""

    name = "audit"

    def __init__(self, log: AuditLog, secret: SipHash) -> None:
        self._log = log
        self._secret = secret

    async def export(self, app: str, user_id: str) -> Rows:
        """Give the lines about the user, newest first. Raises Unavailable."""
        subject, before = subject_hash(self._secret, app, user_id), 0
        while links := await self._log.lines(app, subject, before, _LINES):
            before = links[-1].number
            for link in links:
                line = link.line
                yield "audit_records", {
                    "time_unix_ms": line.at_unix_ms, "actor": line.actor, "action": line.action, "detail": line.detail,
                }  # fmt: skip
