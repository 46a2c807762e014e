"""Hashing, dedup, buckets and fan-out, each over a table of its own that is filled before."""

from __future__ import annotations

import mmap
import os
import random
from array import array
from collections.abc import Iterator
from functools import partial

from bench.kernels.timing import BATCHES, Call, Kernel, Size, zeros
from core.dedup import DedupWindow
from core.fanout import Fanout
from core.hashing import SipHash
from core.token_buckets import Rate, TokenBuckets

_NOW_UNIX_MS = 1_800_000_000_000
_NOW_NS = 10**15
_WINDOW_MS = 3_600_000
# "Dedup and bucket decisions each above 10 million/s on one core in batches of 1,000."
_DECISION_NS = 100.0


def _random_words(n: int) -> memoryview:
    return memoryview(os.urandom(8 * n)).cast("Q")


class Hashing:
    """128-bit hashes of tenant, app and a key of 36 characters."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._sip = SipHash(os.urandom(16))
        self._items = [f"tenant-7\0wallet\0{os.urandom(18).hex()}".encode() for _ in range(2 * max(BATCHES))]

    def kernels(self) -> tuple[Kernel, ...]:
        """Return what is timed."""
        return (Kernel("hash128", "hash128_many", self.hash128),)

    def hash128(self, batch: int) -> Iterator[Call]:
        """Yield calls over neighbours in a list."""
        out = bytearray(16 * batch)
        for _ in range(self._size.rounds(batch)):
            at = random.randrange(len(self._items) - batch)
            yield partial(self._sip.hash128_many, self._items[at : at + batch], out)


class Dedup:
    """A window that holds `live` committed keys, its memory touched before."""

    def __init__(self, size: Size) -> None:
        self._size = size
        capacity = size.live + 2 * size.elements()
        self._memory = mmap.mmap(-1, DedupWindow.required_bytes(capacity))
        DedupWindow.create(self._memory, capacity, _WINDOW_MS)
        self._window = DedupWindow(self._memory, 0)
        self._now_unix_ms = _NOW_UNIX_MS
        self._check(os.urandom(16 * capacity))()
        self._now_unix_ms += 3 * _WINDOW_MS
        self._live = os.urandom(16 * size.live)
        self._check(self._live)()

    def kernels(self) -> tuple[Kernel, ...]:
        """Return what is timed."""
        return (
            Kernel("dedup_duplicate", "dedup check + commit, duplicate", self.duplicates, _DECISION_NS),
            Kernel("dedup_new", "dedup check + commit, new", self.fresh, _DECISION_NS),
        )

    def duplicates(self, batch: int) -> Iterator[Call]:
        """Yield calls with keys that the window has."""
        for _ in range(self._size.rounds(batch)):
            yield self._check(b"".join(self._key() for _ in range(batch)))

    def fresh(self, batch: int) -> Iterator[Call]:
        """Yield calls with keys that the window has not."""
        for _ in range(self._size.rounds(batch)):
            yield self._check(os.urandom(16 * batch))

    def _check(self, keys: bytes) -> Call:
        n = len(keys) // 16
        verdicts, found, positions, fingerprints = bytearray(n), bytearray(16 * n), zeros("Q", n), zeros("Q", n)

        def check_and_commit() -> None:
            self._window.check_many(keys, fingerprints, keys, self._now_unix_ms, verdicts, found, positions)
            self._window.commit_many(positions)

        return check_and_commit

    def _key(self) -> bytes:
        at = 16 * random.randrange(self._size.live)
        return self._live[at : at + 16]


class Buckets:
    """A table of `live` buckets: one limit per message, or four of which the last may deny."""

    _RATES = (Rate(10**9, 10**6), Rate(10**8, 10**5), Rate(10**6, 10**4), Rate(100, 100))
    _SPARE = 10_000

    def __init__(self, size: Size) -> None:
        self._size = size
        self._memory = mmap.mmap(-1, TokenBuckets.required_bytes(size.live + self._SPARE))
        TokenBuckets.create(self._memory, size.live + self._SPARE)
        self._table = TokenBuckets(self._memory, self._RATES)
        self._live, self._now_ns = _random_words(size.live), _NOW_NS
        self._apps, self._tenants = list(_random_words(50)), list(_random_words(5_000))
        for at in range(0, size.live, 1_000):
            self._acquire(self._live[at : at + 1_000], [4], 1_000)()

    def kernels(self) -> tuple[Kernel, ...]:
        """Return what is timed."""
        return (
            Kernel("buckets_1", "buckets acquire, 1 bucket", self.one_column, _DECISION_NS),
            Kernel("buckets_4", "buckets acquire, 4 buckets", self.four_columns),
        )

    def one_column(self, batch: int) -> Iterator[Call]:
        """Yield calls for a device's bucket each."""
        for _ in range(self._size.rounds(batch)):
            yield self._acquire(self._devices(batch), [4], batch)

    def four_columns(self, batch: int) -> Iterator[Call]:
        """Yield calls for the buckets of provider, app, tenant and device, all or nothing."""
        for _ in range(self._size.rounds(batch)):
            keys = zeros("Q", 4 * batch)
            keys[0::4] = array("Q", [1] * batch)
            keys[1::4] = array("Q", random.choices(self._apps, k=batch))
            keys[2::4] = array("Q", random.choices(self._tenants, k=batch))
            keys[3::4] = array("Q", self._devices(batch))
            yield self._acquire(keys, [1, 2, 3, 4], batch)

    def _devices(self, batch: int) -> memoryview:
        at = random.randrange(self._size.live - batch)
        return self._live[at : at + batch]

    def _acquire(self, keys: memoryview, rules: list[int], batch: int) -> Call:
        columns = memoryview(array("H", rules * batch))
        granted, retry = bytearray(batch), zeros("q", batch)
        self._now_ns += 100 * batch
        return partial(self._table.acquire_many, keys, columns, self._now_ns, granted, retry)


class Lanes:
    """`live` slots waiting in 500 flows of one route."""

    _FLOWS = 500
    _PRIORITY = 3

    def __init__(self, size: Size) -> None:
        self._size = size
        self._fanout = Fanout(size.live + 1_000)
        slots = zeros("I", size.live)
        self._fanout.allocate_many(size.live, slots)
        shuffled = list(slots)
        random.shuffle(shuffled)
        priorities = bytes([self._PRIORITY]) * size.live
        self._fanout.push_many(
            memoryview(array("I", shuffled)), zeros("H", size.live), priorities, self._flows(size.live), _NOW_NS
        )

    def kernels(self) -> tuple[Kernel, ...]:
        """Return what is timed."""
        return (Kernel("fanout", "fan-out pull + push", self.pull_and_push),)

    def pull_and_push(self, batch: int) -> Iterator[Call]:
        """Yield calls that take a batch and put it back into other flows."""
        out, routes, priorities = zeros("I", batch), zeros("H", batch), bytes([self._PRIORITY]) * batch

        def call(flows: memoryview) -> None:
            self._fanout.pull(0, batch, _NOW_NS, out)
            self._fanout.push_many(out, routes, priorities, flows, _NOW_NS)

        for _ in range(self._size.rounds(batch)):
            yield partial(call, self._flows(batch))

    def _flows(self, n: int) -> memoryview:
        return memoryview(array("Q", random.choices(range(self._FLOWS), k=n)))
