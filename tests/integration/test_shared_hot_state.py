"""Dedup window and token buckets shared by real processes, some of them killed at any moment."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from collections.abc import Callable

from core.dedup import DedupWindow, Verdict
from core.token_buckets import Rate, TokenBuckets

NOW = 1_800_000_000_000
DEADLINE_S = 20.0


class Children:
    """Forked processes that end with the test, whatever happens in it."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.pids:
            self.kill(pid)

    def start(self, work: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(int(DEADLINE_S))
                work()
                status = 0
            finally:
                os._exit(status)
        self.pids.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.pids.remove(pid)

    def join(self) -> None:
        for pid in list(self.pids):
            _, status = os.waitpid(pid, 0)
            self.pids.remove(pid)
            assert os.waitstatus_to_exitcode(status) == 0


class Log:
    """Who took each key as new and who committed it, in memory that outlives the processes."""

    def __init__(self, keys: int) -> None:
        self.taken, self.committed = mmap.mmap(-1, keys * 8), mmap.mmap(-1, keys * 8)


class Hammer:
    """One process' batches over a shared window; worker 0 to 7."""

    def __init__(self, buffer: mmap.mmap, log: Log, worker: int, batch: int = 50) -> None:
        self.window = DedupWindow(buffer, worker)
        self.worker, self.log, self.batch = worker, log, batch
        self.verdicts, self.found = bytearray(batch), bytearray(16 * batch)
        self.fingerprints = memoryview(bytearray(8 * batch)).cast("Q")
        self.positions = memoryview(bytearray(8 * batch)).cast("Q")

    def run(self, keys: list[int], now_unix_ms: int = NOW) -> list[Verdict]:
        """Check a batch, log the new ones, commit, log that."""
        ids = b"".join(struct.pack("<QQ", self.worker + 1, key) for key in keys)
        self.window.check_many(
            b"".join(struct.pack("<QQ", key * 0x9E3779B97F4A7C15 % 2**64, key) for key in keys),
            self.fingerprints,
            ids,
            now_unix_ms,
            self.verdicts,
            self.found,
            self.positions,
        )
        fresh = [key * 8 + self.worker for key, v in zip(keys, self.verdicts, strict=True) if v == Verdict.NEW]
        for place in fresh:
            self.log.taken[place] += 1
        assert self.window.commit_many(self.positions) == len(fresh)
        for place in fresh:
            self.log.committed[place] += 1
        return [Verdict(v) for v in self.verdicts]

    def first_worker_of(self, i: int) -> int:
        return int(struct.unpack_from("<Q", self.found, 16 * i)[0]) - 1


def shared_window(capacity: int) -> mmap.mmap:
    buffer = mmap.mmap(-1, DedupWindow.required_bytes(capacity))
    DedupWindow.create(buffer, capacity, window_ms=3_600_000)
    return buffer


def test_each_key_is_new_to_exactly_one_of_many_processes() -> None:
    batch, rounds, workers = 4_000, 25, 2
    keys = batch * rounds
    # A process that lost a race for a key keeps the place it had filled for its next one.
    buffer, log, arrived = shared_window(keys + workers), Log(keys), memoryview(mmap.mmap(-1, 8 * workers)).cast("q")

    def work(worker: int) -> None:
        hammer = Hammer(buffer, log, worker, batch)
        for at in range(0, keys, batch):
            arrived[worker] += 1
            while min(arrived) < arrived[worker]:
                os.sched_yield()
            assert Verdict.FULL not in hammer.run(list(range(at, at + batch)))

    with Children() as children:
        for worker in range(workers):
            children.start(lambda w=worker: work(w))  # type: ignore[misc]
        children.join()
    assert [sum(log.committed[key * 8 : key * 8 + 8]) for key in range(keys)] == [1] * keys


def test_a_killed_worker_blocks_no_key_and_loses_none_it_committed() -> None:
    keys, kills = 4_000, 12
    buffer, log = shared_window(keys * 4), Log(keys)
    random.seed(7)

    def work(worker: int) -> None:
        hammer, order = Hammer(buffer, log, worker), list(range(keys))
        while True:
            random.shuffle(order)
            for at in range(0, keys, hammer.batch):
                hammer.run(order[at : at + hammer.batch])

    with Children() as children:
        for kill in range(kills):
            victims = [children.start(lambda w=worker: work(w)) for worker in (1, 2)]  # type: ignore[misc]
            time.sleep(random.uniform(0.002, 0.02))
            for worker, pid in zip((1, 2), victims, strict=True):
                children.kill(pid)
                DedupWindow.retire(buffer, worker)
            hammer = Hammer(buffer, log, worker=3)
            some = range(kill * 300, kill * 300 + hammer.batch)
            assert {Verdict.IN_FLIGHT, Verdict.FULL}.isdisjoint(hammer.run(list(some)))
    survivor = Hammer(buffer, log, worker=3)
    for at in range(0, keys, survivor.batch):
        for i, verdict in enumerate(survivor.run(list(range(at, at + survivor.batch)))):
            place = (at + i) * 8
            assert verdict in {Verdict.NEW, Verdict.DUPLICATE}
            assert log.taken[place + survivor.first_worker_of(i)] >= 1
            assert sum(log.committed[place : place + 8]) <= 1


class Spender:
    """One process' takings from a shared table, one message per call, each grant counted in memory that outlives it."""

    def __init__(self, buffer: mmap.mmap, rates: list[Rate], columns: list[tuple[int, int]]) -> None:
        self.table = TokenBuckets(buffer, rates)
        self.keys = memoryview(bytearray(struct.pack(f"<{len(columns)}Q", *(key for key, _ in columns)))).cast("Q")
        self.rules = memoryview(struct.pack(f"<{len(columns)}H", *(rule for _, rule in columns))).cast("H")
        self.granted, self.retry = bytearray(1), memoryview(bytearray(8)).cast("q")

    def take(self, now_ns: int) -> bool:
        return self.table.acquire_many(self.keys, self.rules, now_ns, self.granted, self.retry) == 1


def shared_table(capacity: int) -> mmap.mmap:
    buffer = mmap.mmap(-1, TokenBuckets.required_bytes(capacity, max_rules=8))
    TokenBuckets.create(buffer, capacity, max_rules=8)
    return buffer


def test_processes_together_get_the_burst_and_denied_messages_cost_nothing() -> None:
    campaigns, burst, workers = 10_000, 2, 3
    rates = [Rate(1, 10**6), Rate(1, burst)]
    buffer, counts = shared_table(campaigns), memoryview(mmap.mmap(-1, 8 * workers)).cast("q")

    def work(worker: int) -> None:
        spender = Spender(buffer, rates, [(1, 1), (0, 2)])
        for campaign in range(campaigns):
            spender.keys[1] = 1_000 + campaign
            counts[worker] += sum(spender.take(NOW) for _ in range(burst))

    with Children() as children:
        for worker in range(workers):
            children.start(lambda w=worker: work(w))  # type: ignore[misc]
        children.join()
    assert sum(counts) == campaigns * burst
    granted, keys = bytearray(10**6), memoryview(struct.pack("<Q", 1) * 10**6).cast("Q")
    rules, retry = memoryview(struct.pack("<H", 1) * 10**6).cast("H"), memoryview(bytearray(8 * 10**6)).cast("q")
    rest = TokenBuckets(buffer, rates)
    assert rest.acquire_many(keys, rules, NOW, granted, retry) == 10**6 - campaigns * burst


def test_processes_together_never_exceed_burst_and_rate() -> None:
    interval_ns, burst, workers = 50_000, 10, 3
    rates, columns = [Rate(10**9 // interval_ns, burst)], [(77, 1)]
    buffer, grants = shared_table(128), memoryview(mmap.mmap(-1, 8 * 30_000)).cast("q")

    def work(worker: int) -> None:
        spender, place, until = Spender(buffer, rates, columns), worker * 10_000, time.monotonic_ns() + 300_000_000
        while (now := time.monotonic_ns()) < until:
            if spender.take(now):
                grants[place] = now
                place += 1

    with Children() as children:
        for worker in range(workers):
            children.start(lambda w=worker: work(w))  # type: ignore[misc]
        children.join()
    times = sorted(now for now in grants if now)
    assert len(times) > 1_000
    # Each grant stands where GCRA puts it: the n-th of a busy time no earlier than n - burst intervals after its start.
    for first in range(0, len(times), 7):
        for last in range(first, min(first + 200, len(times))):
            assert (last - first + 1 - burst) * interval_ns <= times[last] - times[first]


def test_each_of_many_new_keys_gets_one_bucket_only() -> None:
    keys, workers = 20_000, 3
    buffer, counts = shared_table(keys), memoryview(mmap.mmap(-1, 8 * workers)).cast("q")

    def work(worker: int) -> None:
        table = TokenBuckets(buffer, [Rate(1, 1)])
        granted, retry = bytearray(20), memoryview(bytearray(160)).cast("q")
        rules = memoryview(struct.pack("<H", 1) * 20).cast("H")
        for at in range(0, keys, 20):
            batch = memoryview(struct.pack("<20Q", *range(at, at + 20))).cast("Q")
            counts[worker] += table.acquire_many(batch, rules, NOW, granted, retry)

    with Children() as children:
        for worker in range(workers):
            children.start(lambda w=worker: work(w))  # type: ignore[misc]
        children.join()
    table = TokenBuckets(buffer, [Rate(1, 1)])
    assert (sum(counts), table.used, table.overflow) == (keys, keys, 0)


def test_a_killed_spender_costs_at_most_the_message_it_was_at() -> None:
    burst, kills = 10**6, 15
    rates, columns = [Rate(1, burst), Rate(1, burst)], [(1, 1), (2, 2)]
    buffer, counts = shared_table(128), memoryview(mmap.mmap(-1, 8 * kills)).cast("q")

    def work(kill: int) -> None:
        spender = Spender(buffer, rates, columns)
        while True:
            counts[kill] += spender.take(NOW)

    with Children() as children:
        for kill in range(kills):
            pid = children.start(lambda k=kill: work(k))  # type: ignore[misc]
            time.sleep(random.uniform(0.001, 0.015))
            children.kill(pid)
    spender, rest = Spender(buffer, rates, columns), 0
    while spender.take(NOW):
        rest += 1
    assert burst - kills <= sum(counts) + rest <= burst
