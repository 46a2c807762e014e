"""The dedup window: which idempotency keys were accepted lately, shared by all workers of a host."""

from enum import IntEnum

from typing_extensions import Buffer

class Verdict(IntEnum):
    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2
    IN_FLIGHT = 3
    FULL = 4

class DedupWindow:
    """Idempotency keys of the last window_ms, each with the fingerprint of its body and the id it was given."""

    @staticmethod
    def required_bytes(capacity: int) -> int: ...
    @staticmethod
    def create(buffer: Buffer, capacity: int, window_ms: int, slices: int = 12) -> None: ...
    @staticmethod
    def retire(buffer: Buffer, worker: int) -> None: ...
    def __init__(self, buffer: Buffer, worker: int) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def window_ms(self) -> int: ...
    @property
    def used(self) -> int: ...
    def begin(self) -> int: ...
    def check_many(
        self,
        keys: Buffer,
        fingerprints: Buffer,
        ids: Buffer,
        now_unix_ms: int,
        verdicts: Buffer,
        found_ids: Buffer,
        positions: Buffer,
    ) -> int: ...
    def commit_many(self, positions: Buffer) -> int: ...
    def release_many(self, positions: Buffer) -> int: ...
    def restore_many(self, keys: Buffer, fingerprints: Buffer, ids: Buffer, accepted_unix_ms: Buffer) -> int: ...
    def frees_at_unix_ms(self, now_unix_ms: int) -> int: ...
