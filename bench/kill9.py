"""`python -m bench.kill9`: kill a worker again and again in the middle of a run; count what is lost or repeated."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
import psutil
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from adapters.apns.push_id import push_id
from adapters.simulators.client import SimulatorClient
from bench.load import apns_token, payment
from bench.stand import Stand, StandOptions, stand
from core.hashing import SipHash
from core.notification_id import parse_id_text
from gateway.secret import load_secret
from protos.walletpush.v1 import delivery_pb2

_METHOD = "/walletpush.v1.DeliveryService/SendBatch"
_CALLERS = 4
_RETRY_S = 0.05
_SETTLE_S = 120.0


@dataclass(slots=True)
class Tally:
    """What the callers saw. ids: of each accepted notification, by its number."""

    ids: dict[int, str] = field(default_factory=dict)
    duplicates: int = 0
    repeated_calls: int = 0
    kills: list[float] = field(default_factory=list)
    changed_ids: int = 0


async def send_all(place: Stand, count: int, size: int, pace_per_s: int, tally: Tally, progress: Progress) -> None:
    """Send every notification until it is accepted; a call that fails is repeated with the same idempotency keys."""
    started = time.monotonic()
    task = progress.add_task("accepted", total=count)
    starts = iter(range(0, count, size))

    async with grpc.aio.insecure_channel(place.address) as channel:
        send = channel.unary_unary(_METHOD, None, delivery_pb2.SendBatchResponse.FromString)

        async def caller() -> None:
            for start in starts:
                await asyncio.sleep(max(0.0, started + start / pace_per_s - time.monotonic()))
                missing = list(range(start, min(start + size, count)))
                while missing:
                    missing = await _attempt(send, missing, tally)
                    if missing:
                        tally.repeated_calls += 1
                        await asyncio.sleep(_RETRY_S)
                progress.update(task, completed=len(tally.ids))

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))


async def _attempt(send: grpc.aio.UnaryUnaryMultiCallable, numbers: list[int], tally: Tally) -> list[int]:  # type: ignore[type-arg]
    request = delivery_pb2.SendBatchRequest(notifications=[payment(number, "kill9") for number in numbers])
    try:
        answer = await send(request.SerializeToString(), timeout=10.0)
    except grpc.aio.AioRpcError:
        return numbers
    left = []
    for number, result in zip(numbers, answer.results, strict=True):
        if not result.notification_id:
            left.append(number)
            continue
        tally.duplicates += result.status == delivery_pb2.SEND_STATUS_DUPLICATE
        tally.changed_ids += tally.ids.get(number, result.notification_id) != result.notification_id
        tally.ids[number] = result.notification_id
    return left


async def kill_workers(place: Stand, kills: int, over_s: float, tally: Tally, progress: Progress) -> None:
    """Kill the worker at random moments spread over so many seconds."""
    rng = random.Random(20)
    task = progress.add_task("kills", total=kills)
    started = time.monotonic()
    for moment in sorted(rng.uniform(0.02 * over_s, 0.98 * over_s) for _ in range(kills)):
        await asyncio.sleep(max(0.0, started + moment - time.monotonic()))
        while not (workers := place.workers()):
            await asyncio.sleep(0.01)
        try:
            rng.choice(workers).kill()
        except psutil.NoSuchProcess:
            continue
        tally.kills.append(time.monotonic() - started)
        progress.advance(task)


def expected_push_ids(tally: Tally, devices: SipHash) -> dict[str, str]:
    """Return the apns-id that each accepted notification's one delivery has, and the collapse id."""
    return {
        push_id(parse_id_text(ident), devices.hash64(apns_token(number))).decode(): parse_id_text(ident).hex()
        for number, ident in tally.ids.items()
    }


@dataclass(frozen=True, slots=True)
class Account:
    """What the provider had at the end. repeats: how often it took each notification that it took more than once.

    missing: accepted, and never seen there. foreign: seen there, and not accepted. wrong: repeated under another id.
    """

    requests: int
    repeats: tuple[int, ...]
    missing: int
    foreign: int
    wrong: int


async def main(count: int, kills: int, pace_per_s: int, workers: int) -> int:
    """Run it and print a table; return 1 if anything was lost."""
    console = Console()
    tally = Tally()
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with stand(StandOptions(mode="truthful", workers=workers, pinned=False)) as place:
        with Progress(*columns, console=console) as progress:
            over_s = count / pace_per_s
            await asyncio.gather(
                send_all(place, count, 200, pace_per_s, tally, progress),
                kill_workers(place, kills, over_s, tally, progress),
            )
        expected = expected_push_ids(tally, load_secret(place.directory / "data").derive("devices"))
        async with place.simulator() as simulator:
            account = await settled(simulator, expected)
    console.print(table_of(tally, account, f"{len(tally.kills)} x kill -9 during {count:,}, {workers} worker(s)"))
    return int(bool(account.missing or account.wrong or account.foreign or tally.changed_ids))


async def settled(simulator: SimulatorClient, expected: Mapping[str, str]) -> Account:
    """Wait until the provider has everything, or for two minutes; then look at its ledger."""
    missing = await _missing(simulator, list(expected))
    repeats = await simulator.duplicates("apns")
    return Account(
        requests=(await simulator.summary("apns"))["accepted"],
        repeats=tuple(len(one["tokens"]) for one in repeats),
        missing=len(missing),
        foreign=len(set(await simulator.ids("apns")) - set(expected)),
        wrong=sum(set(one["collapse_ids"]) != {expected.get(one["id"], "?")} for one in repeats),
    )


def table_of(tally: Tally, account: Account, title: str) -> Table:
    """Return what happened, for people."""
    table = Table("what", title=title)
    table.add_column("count", justify="right")
    times = Counter(account.repeats)
    for what, value in (
        ("accepted notifications", len(tally.ids)),
        ("workers killed", len(tally.kills)),
        ("calls repeated by callers", tally.repeated_calls),
        ("answered DUPLICATE on repetition", tally.duplicates),
        ("ids that changed on repetition (must be 0)", tally.changed_ids),
        ("accepted, never reached the provider (must be 0)", account.missing),
        ("reached the provider, not accepted by a caller (must be 0)", account.foreign),
        ("requests the provider took", account.requests),
        ("notifications it took more than once", len(account.repeats)),
        *((f"  of them {n} times", times[n]) for n in sorted(times)),
        ("repeats with another apns-id or collapse id (must be 0)", account.wrong),
    ):
        table.add_row(what, f"{value:,}")
    return table


async def _missing(simulator: SimulatorClient, ids: list[str]) -> list[str]:
    deadline = time.monotonic() + _SETTLE_S
    left = ids
    while left and time.monotonic() < deadline:
        left = await simulator.missing("apns", left)
        if left:
            await asyncio.sleep(0.2)
    return left


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--per-s", type=int, default=5_000, help="pace of the callers")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    raise SystemExit(uvloop.run(main(given.count, given.kills, given.per_s, given.workers)))
