"""Users in their file: import with everything sealed, size and memory, and what a batch of 10,000 costs to look up."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import psutil
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.hotstate import shared_file
from adapters.people.marks import MARKS_BYTES, ChangeMarks
from adapters.people.sealing import make_ring
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.errors import Refusal
from core.hashing import SipHash
from core.model import Provider
from gateway.callers import LOCAL
from gateway.convert_users import to_change
from gateway.scopes import Scopes
from protos.walletpush.v1 import user_pb2

APP = "wallet"
CHUNK = 1_000
BATCH = 10_000
_SCOPE = Scopes({APP: frozenset({int(Provider.APNS)})}, SipHash(bytes(16))).of(LOCAL)
_NOW_UNIX_MS = 1_800_000_000_000


def measure(count: int = 1_000_000) -> None:
    """Print all figures; some 80 s for a million users on one core."""
    with tempfile.TemporaryDirectory(prefix="walletpush-people-") as name:
        asyncio.run(_measure(Path(name), count))


async def _measure(directory: Path, count: int) -> None:
    registry = await SqliteRegistry.open(directory)
    make_ring(directory / "people.json")
    shared_file.create(directory / "marks", MARKS_BYTES).close()
    marks = ChangeMarks(shared_file.attach(directory / "marks"))
    people = await SqlitePeople.open(directory, directory / "people.json", registry, marks=marks)
    await _import(people, count)
    size = sum(path.stat().st_size for path in directory.glob("people.db*"))
    print(f"file: {size / count:.0f} bytes a user, log included")
    await _look_up(people, count)
    await people.close()
    await registry.close()


async def _import(people: SqlitePeople, count: int) -> None:
    """Convert and store chunks, one being stored while the next is converted, as the service does."""
    began_s, began_cpu_s, converting_s = time.perf_counter(), time.process_time(), 0.0
    storing: asyncio.Future[list[bool | Refusal]] | None = None
    for start, users in chunks(count):
        before_s = time.perf_counter()
        changes = [to_change("user", user, None, _SCOPE, _NOW_UNIX_MS) for user in users]
        converting_s += time.perf_counter() - before_s
        if storing is not None:
            await storing
        storing = asyncio.ensure_future(people.upsert_each(changes, _NOW_UNIX_MS))
        await asyncio.sleep(0)
        if start % (count // 4) == 0:
            print(f"  {start:>9,} users, {own_mib()} MiB of memory, and {file_mib()} MiB of the files seen through it")
    if storing is not None:
        await storing
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    print(f"import: {count / took_s:,.0f} users/s, {cpu_s / count * 1e6:.1f} us of CPU a user, of which converting "
          f"{converting_s / count * 1e6:.1f}")  # fmt: skip


def own_mib() -> int:
    """Return what the process holds that no file holds."""
    return psutil.Process().memory_info().rss - psutil.Process().memory_info().shared >> 20


def file_mib() -> int:
    """Return how much of files the process sees, which the system takes back when it needs room."""
    return psutil.Process().memory_info().shared >> 20


async def _look_up(people: SqlitePeople, count: int) -> None:
    rng = random.Random(1)  # a repeatable draw
    for attributes in (False, True):
        took_us = []
        for _ in range(5):
            ids = [user_id(rng.randrange(count)) for _ in range(BATCH)]
            took_us.append(await _timed(people.recipients(APP, ids, attributes)))
        told = f"recipients({BATCH:,}{', attributes' if attributes else ''})"
        print(f"{told}: {sorted(took_us)[2] / BATCH:.2f} us a user")
    singles = [user_id(rng.randrange(count)) for _ in range(2_000)]
    for doing in ("read", "remembered"):
        took_us = sorted([await _timed(people.recipients(APP, [one], False)) for one in singles])
        print(f"one user, {doing}: median {took_us[1_000]:.1f} us, p99 {took_us[1_980]:.1f}")


async def _timed(asking: Awaitable[object]) -> float:
    began_ns = time.perf_counter_ns()
    await asking
    return (time.perf_counter_ns() - began_ns) / 1_000


def chunks(count: int) -> Iterator[tuple[int, list[user_pb2.User]]]:
    """Give chunks of users with the place of their first."""
    for start in range(0, count, CHUNK):
        yield start, [make_user(number) for number in range(start, start + CHUNK)]


def user_id(number: int) -> str:
    """Return the id of a user; ids come in no order, as hashes do."""
    return f"user-{number * 2_654_435_761 % (1 << 32):08x}"


def make_user(number: int) -> user_pb2.User:
    """Return a typical user: everything that names a person, six attributes, one id elsewhere."""
    user = user_pb2.User(
        app=APP, user_id=user_id(number), locale="zh-CN", time_zone="Asia/Shanghai", country="CN", currency="CNY",
        phone=f"+86138{number % 10**8:08d}", email=f"user{number}@example.com", birthday="1990-02-28",
        tier=("", "silver", "gold")[number % 3], tags=["app"], external_ids={"crm": f"c{number}"},
        last_open_time=Timestamp(seconds=1_790_000_000),
    )  # fmt: skip
    attributes = user.attributes
    attributes["nickname"].text = f"user {number}"
    attributes["points"].integer = number
    attributes["premium"].flag = number % 2 == 0
    attributes["joined"].date = "2024-02-29"
    attributes["balance"].money.minor_units = number
    attributes["ratio"].number = number / 7
    return user


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000, help="a multiple of 1,000")
    measure(parser.parse_args().users)
