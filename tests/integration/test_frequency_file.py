"""The frequency counters over processes, kills and restarts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from array import array
from pathlib import Path

from adapters.hotstate.frequency_file import FILE, FrequencyOptions, attach_frequency, open_frequency
from core.frequency import FrequencyCounters

NOW_S = 1_700_000_000
OPTIONS = FrequencyOptions(capacity=10_000)
LIMIT = 3
USERS = 200

# Reserves for the same users as everyone else until every user is full, and says how many it was granted.
WORKER = f"""
import random, sys
from array import array
from pathlib import Path
from adapters.hotstate.frequency_file import attach_frequency
counters = attach_frequency(Path(sys.argv[1]))
number, total = int(sys.argv[2]), 0
for turn in range(8):
    users = array("Q", [user << 40 | user for user in range({USERS})])
    n = len(users)
    granted, blocking, retry = array("B", bytes(n)), array("B", bytes(n)), array("I", bytes(4 * n))
    total += counters.reserve_many(
        users, array("I", [number * 100 + turn]) * n, array("Q", [1]) * n,
        array("B", [0]) * n, array("H", [{LIMIT}]) * n, array("I", [{NOW_S - 86_400}]) * n, array("I", [0]) * n,
        {NOW_S}, granted, blocking, retry,
    )
print(total)
"""
# Changes the table as fast as it can, until it is killed.
RESTLESS = f"""
import random, sys
from array import array
from pathlib import Path
from adapters.hotstate.frequency_file import attach_frequency
counters = attach_frequency(Path(sys.argv[1]))
rng = random.Random(int(sys.argv[2]))
print("ready", flush=True)
while True:
    users = array("Q", [rng.randrange(5_000) << 32 | rng.randrange(256) for _ in range(500)])
    tags = array("I", [rng.randrange(50) for _ in users])
    counters.commit_many(users, tags, array("Q", [1]) * 500, {NOW_S} + rng.randrange(1_000))
    counters.release_many(users[:200], tags[:200])
    counters.forget(users[0])
"""


def start(program: str, directory: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory), str(number)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip


def commit(counters: FrequencyCounters, user: int, tag: int) -> None:
    counters.commit_many(array("Q", [user]), array("I", [tag]), array("Q", [1]), NOW_S)


def test_many_processes_together_never_grant_more_than_the_cap(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, OPTIONS)
    workers = [start(WORKER, tmp_path, number) for number in range(12)]
    granted = sum(int(worker.communicate()[0]) for worker in workers)
    assert granted == USERS * LIMIT
    counters = attach_frequency(tmp_path)
    assert {len(counters.events_of(user << 40 | user)) for user in range(USERS)} == {LIMIT}


def test_a_kill_at_any_moment_leaves_a_whole_table_and_no_lock_behind(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, OPTIONS)
    counters = attach_frequency(tmp_path)
    rng = random.Random(7)
    for number in range(6):
        with start(RESTLESS, tmp_path, number) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            for _ in range(rng.randrange(1, 400)):
                counters.events_of(rng.getrandbits(64))
            os.kill(worker.pid, signal.SIGKILL)
        # Every lock can be had, by taking it over if need be, and every user be found.
        users = [user for shard in range(counters.shard_count) for user in counters.users(shard)]
        assert len(users) == len(set(users))
        assert all(len(counters.events_of(user)) <= 50 for user in users)
        commit(counters, 1, 1)


def test_a_dead_holder_of_a_lock_holds_up_nobody(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, FrequencyOptions(capacity=1))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / FILE
    control_bytes = FrequencyCounters.required_bytes(1) - 64 - 320 - 255 * 64
    with path.open("r+b") as file:
        file.seek(control_bytes)
        file.write(dead.pid.to_bytes(8, "little"))
    counters = attach_frequency(tmp_path)
    commit(counters, 1, 1)
    assert counters.taken_over == 1
    assert len(counters.events_of(1)) == 1


def test_counts_survive_a_restart(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, OPTIONS)
    commit(attach_frequency(tmp_path), 42, 1)
    open_frequency(tmp_path, NOW_S + 60, OPTIONS)
    assert attach_frequency(tmp_path).events_of(42) == [(NOW_S, 1, 1, False)]


def test_a_larger_table_takes_everything_over(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, OPTIONS)
    counters = attach_frequency(tmp_path)
    assert counters.assign_filters([77], NOW_S) == [0]
    for user in range(500):
        for tag in range(5):
            commit(counters, user << 30, tag)
    open_frequency(tmp_path, NOW_S, FrequencyOptions(capacity=50_000))
    larger = attach_frequency(tmp_path)
    assert larger.capacity > counters.capacity
    assert larger.assign_filters([78, 77], NOW_S) == [1, 0]
    assert all(sorted(larger.events_of(u << 30)) == sorted(counters.events_of(u << 30)) for u in range(500))


def test_a_file_that_is_no_table_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"rubbish" * 1_000)
    open_frequency(tmp_path, NOW_S, OPTIONS)
    assert attach_frequency(tmp_path).events_of(1) == []
    assert (tmp_path / "frequency.bin.damaged").read_bytes().startswith(b"rubbish")


def test_whatever_a_crash_left_in_the_file_the_table_opens_and_counts(tmp_path: Path) -> None:
    open_frequency(tmp_path, NOW_S, FrequencyOptions(capacity=500))
    path = tmp_path / FILE
    whole, rng = path.read_bytes(), random.Random(3)
    start_of_cells = len(whole) - 255 * 64 * 3
    for _ in range(30):
        torn = bytearray(whole)
        for _ in range(200):
            at = rng.randrange(start_of_cells - 900, len(torn))
            torn[at] = rng.randrange(256)
        path.write_bytes(torn)
        open_frequency(tmp_path, NOW_S, FrequencyOptions(capacity=500))
        counters = attach_frequency(tmp_path)
        for user in range(50):
            commit(counters, user << 40 | user, 1)
        users = [user for shard in range(counters.shard_count) for user in counters.users(shard)]
        assert len(users) <= counters.shard_count * 255
