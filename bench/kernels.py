"""The hot kernels by batch size, over tables of realistic size: `python -m bench.kernels`."""

from __future__ import annotations

import mmap
import os
import platform
import random
import statistics
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from core.dedup import DedupWindow
from core.fanout import Fanout
from core.hashing import SipHash
from core.token_buckets import Rate, TokenBuckets

LIVE = 1_000_000
ROUNDS = {1: 10_000, 10: 5_000, 100: 2_000, 1_000: 600}
NEW_KEYS = sum(batch * rounds for batch, rounds in ROUNDS.items())
NOW_UNIX_MS = 1_800_000_000_000
NOW_NS = 10**15
WINDOW_MS = 3_600_000

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """Nanoseconds per element (a message, not a bucket) of one kernel at one batch size."""

    kernel: str
    batch: int
    best: float
    median: float
    p99: float


def measure(kernel: str, batch: int, calls: Iterator[Call]) -> Figure:
    """Time every call, all made before, the first tenth left out as warm-up."""
    times = []
    for call in list(calls):
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / batch)
    times = sorted(times[len(times) // 10 :])
    return Figure(kernel, batch, times[0], statistics.median(times), times[len(times) * 99 // 100])


def zeros(code: str, n: int) -> memoryview:
    filled = array(code)
    filled.frombytes(bytes(filled.itemsize * n))
    return memoryview(filled)


def random_words(n: int) -> memoryview:
    return memoryview(os.urandom(8 * n)).cast("Q")


class Hashing:
    """128-bit hashes of tenant, app and a key of 36 characters."""

    def __init__(self) -> None:
        self.sip = SipHash(os.urandom(16))
        self.items = [f"tenant-7\0wallet\0{os.urandom(18).hex()}".encode() for _ in range(10_000)]

    def hash128(self, batch: int) -> Iterator[Call]:
        out = bytearray(16 * batch)
        for _ in range(ROUNDS[batch]):
            items = self.items[(at := random.randrange(len(self.items) - batch)) : at + batch]
            yield lambda items=items: self.sip.hash128_many(items, out)  # type: ignore[misc]


class Dedup:
    """A window that holds a million committed keys, its memory touched before."""

    def __init__(self) -> None:
        capacity = LIVE + 2 * NEW_KEYS
        self.memory = mmap.mmap(-1, DedupWindow.required_bytes(capacity))
        DedupWindow.create(self.memory, capacity, WINDOW_MS)
        self.window = DedupWindow(self.memory, 0)
        self.now_unix_ms = NOW_UNIX_MS
        self._check(os.urandom(16 * capacity))()
        self.now_unix_ms += 3 * WINDOW_MS
        self.live = os.urandom(16 * LIVE)
        self._check(self.live)()

    def _check(self, keys: bytes) -> Call:
        n = len(keys) // 16
        verdicts, found, positions, fingerprints = bytearray(n), bytearray(16 * n), zeros("Q", n), zeros("Q", n)

        def check_and_commit() -> None:
            self.window.check_many(keys, fingerprints, keys, self.now_unix_ms, verdicts, found, positions)
            self.window.commit_many(positions)

        return check_and_commit

    def duplicates(self, batch: int) -> Iterator[Call]:
        for _ in range(ROUNDS[batch]):
            yield self._check(b"".join(self._key() for _ in range(batch)))

    def fresh(self, batch: int) -> Iterator[Call]:
        for _ in range(ROUNDS[batch]):
            yield self._check(os.urandom(16 * batch))

    def _key(self) -> bytes:
        at = 16 * random.randrange(LIVE)
        return self.live[at : at + 16]


class Buckets:
    """A table of a million live buckets under limits that grant, then under ones that deny."""

    RATES = (Rate(10**9, 10**6), Rate(10**8, 10**5), Rate(10**6, 10**4), Rate(100, 100))

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, TokenBuckets.required_bytes(LIVE + 10_000))
        TokenBuckets.create(self.memory, LIVE + 10_000)
        self.table = TokenBuckets(self.memory, self.RATES)
        self.live, self.now_ns = random_words(LIVE), NOW_NS
        self.apps, self.tenants = list(random_words(50)), list(random_words(5_000))
        for at in range(0, LIVE, 1_000):
            self._acquire(self.live[at : at + 1_000], [4], 1_000)()

    def _acquire(self, keys: memoryview, rules: list[int], batch: int) -> Call:
        columns = memoryview(array("H", rules * batch))
        granted, retry = bytearray(batch), zeros("q", batch)
        self.now_ns += 100 * batch
        return lambda now=self.now_ns: self.table.acquire_many(  # type: ignore[misc]
            keys, columns, now, granted, retry
        )

    def one_column(self, batch: int) -> Iterator[Call]:
        for _ in range(ROUNDS[batch]):
            yield self._acquire(self.live[(at := random.randrange(LIVE - batch)) : at + batch], [4], batch)

    def four_columns(self, batch: int) -> Iterator[Call]:
        for _ in range(ROUNDS[batch]):
            keys = array("Q")
            for device in self.live[(at := random.randrange(LIVE - batch)) : at + batch]:
                keys.extend((1, random.choice(self.apps), random.choice(self.tenants), device))
            yield self._acquire(memoryview(keys), [1, 2, 3, 4], batch)


class Lanes:
    """A million slots waiting in 500 flows of one route."""

    FLOWS = 500

    def __init__(self) -> None:
        self.fanout = Fanout(LIVE + 1_000)
        slots = zeros("I", LIVE)
        self.fanout.allocate_many(LIVE, slots)
        shuffled = list(slots)
        random.shuffle(shuffled)
        self._push(memoryview(array("I", shuffled)), LIVE)

    def _push(self, slots: memoryview, n: int) -> None:
        flows = memoryview(array("Q", [random.randrange(self.FLOWS) for _ in range(n)]))
        self.fanout.push_many(slots, zeros("H", n), bytes([3]) * n, flows, NOW_NS)

    def pull_and_push(self, batch: int) -> Iterator[Call]:
        out, routes, priorities = zeros("I", batch), zeros("H", batch), bytes([3]) * batch

        def call(flows: memoryview) -> None:
            self.fanout.pull(0, batch, NOW_NS, out)
            self.fanout.push_many(out, routes, priorities, flows, NOW_NS)

        for _ in range(ROUNDS[batch]):
            flows = memoryview(array("Q", [random.randrange(self.FLOWS) for _ in range(batch)]))
            yield lambda flows=flows: call(flows)  # type: ignore[misc]


def figures() -> Iterator[Figure]:
    """Build each table once and measure its kernels at every batch size."""
    hashing, dedup, buckets, lanes = Hashing(), Dedup(), Buckets(), Lanes()
    kernels: list[tuple[str, Callable[[int], Iterator[Call]]]] = [
        ("hash128_many", hashing.hash128),
        ("dedup check + commit, duplicate", dedup.duplicates),
        ("dedup check + commit, new", dedup.fresh),
        ("buckets acquire, k = 1", buckets.one_column),
        ("buckets acquire, k = 4", buckets.four_columns),
        ("fan-out pull + push", lanes.pull_and_push),
    ]
    for name, calls in kernels:
        for batch in ROUNDS:
            yield measure(name, batch, calls(batch))


def machine() -> str:
    """The processor and the commit that the figures belong to."""
    with open("/proc/cpuinfo") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return f"{model}, Python {platform.python_version()}, commit {commit.stdout.strip() or '?'}"


def main() -> None:
    table = Table("kernel", "batch", "best ns", "median ns", "p99 ns", "million/s", title="Kernels, per element")
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures():
        rate = 1_000 / figure.median
        row = (f"{figure.best:,.1f}", f"{figure.median:,.1f}", f"{figure.p99:,.1f}", f"{rate:,.1f}")
        table.add_row(figure.kernel, f"{figure.batch:,}", *row, end_section=figure.batch == max(ROUNDS))
    console = Console()
    console.print(table)
    console.print(f"{machine()}; one process, {LIVE:,} live entries in each table; warm-up: a tenth of the calls")


if __name__ == "__main__":
    main()
