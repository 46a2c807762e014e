"""Token buckets by key, shared by all workers of a host: each one 64-bit arrival time moved by compare-and-swap."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from typing_extensions import Buffer

from core.bucket_table import BucketTable

class Rate(NamedTuple):
    """A rule: so many tokens a second on average, at most burst of them at once."""

    per_s: int | Fraction
    burst: int

class TokenBuckets(BucketTable):
    """Buckets under 64-bit keys, that come into being full and are forgotten when they are full again."""

    def __init__(self, buffer: Buffer, rules: Sequence[Rate]) -> None: ...
    def set_rules(self, rules: Sequence[Rate]) -> None: ...
    def acquire_many(
        self, keys: Buffer, rules: Buffer, now_ns: int, granted: Buffer, retry_at_ns: Buffer
    ) -> int: ...
    def give_back_many(self, keys: Buffer, rules: Buffer, taken_ns: int) -> int: ...
