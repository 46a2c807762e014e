"""The table of token buckets in shared memory: where a key's slot is, and how slots come and go without a lock."""

from typing_extensions import Buffer

class BucketTable:
    """Slots by 64-bit key, in regions of 8 KiB."""

    @staticmethod
    def required_bytes(capacity: int, max_rules: int = 1024) -> int: ...
    @staticmethod
    def create(buffer: Buffer, capacity: int, max_rules: int = 1024) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def overflow(self) -> int: ...
