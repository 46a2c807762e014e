"""`python -m bench.stages.driver`: the way of a notification in one process, each stage's cost booked apart.

The worker is whole but for its edges: requests are handed to its handlers, and its connections end in a server of the
same process instead of TLS and the kernel. What the edges cost is bench.stages.samples's to tell.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

from adapters.apns.channel import ApnsChannel
from adapters.http2 import pool
from adapters.http2.connection import Connection, Listener
from adapters.http2.options import ConnectionOptions, Target
from adapters.journal.sqlite import SqliteJournal
from adapters.journal.store import JournalStore
from adapters.simulators.credentials import make_credentials
from adapters.simulators.settings import Ports
from bench.load import batches
from bench.stages import budget
from bench.stages.marks import CallgrindMeter, CpuMeter, Marks
from bench.stages.wire import Wire
from bench.stand import StandOptions, config_toml
from core.storage import Segment, SegmentUpdate
from gateway import main_process
from gateway.callers import LOCAL, current_caller
from gateway.parts import Parts
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.intake import Intake
from gateway.pipeline.planning import Planner
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.settle import Settler
from gateway.services.delivery import DeliveryServicer
from gateway.settings.loading import load
from gateway.wiring import assemble
from gateway.worker import tune_interpreter
from protos.walletpush.v1.delivery_pb2_grpc import add_DeliveryServiceServicer_to_server

WARM_UP = 3
# A window that the warm-up has touched, as in a worker that has run for a while; its misses of the cache do not show.
SETTINGS = "[dedup]\ncapacity = 65536\n"


def of_write(_: JournalStore, items: Sequence[object]) -> str:
    """Return the stage that a commit counts for."""
    return budget.JOURNAL if any(isinstance(item, Segment) for item in items) else budget.RECEIPTS


WRAPPED: dict[str, tuple[tuple[type, str], ...]] = {
    budget.READ: ((Intake, "_convert"),),
    budget.DEDUP: ((Intake, "_accept"),),
    budget.JOURNAL: ((SqliteJournal, "append"),),
    budget.ANSWER: ((DeliveryServicer, "SendBatch"), (Intake, "_finish")),
    budget.PLAN: ((Planner, "accept"),),
    budget.LANES: ((DeliveryQueue, "push"), (DeliveryQueue, "pull"), (DeliveryQueue, "free"), (Dispatcher, "_pump")),
    budget.WRITE: ((ApnsChannel, "submit"),),
    budget.ANSWERS: ((Connection, "buffer_updated"),),
    budget.SETTLE: ((Settler, "settle"),),
    budget.UPKEEP: ((JournalStore, "upkeep"),),
    budget.RECEIPTS: ((Settler, "flush"), (Settler, "_write"), (SqliteJournal, "record")),
}


class Ended:
    """Counts notifications whose end the journal was told."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    def watch(self) -> None:
        """Look at what is recorded from now on."""
        record = SqliteJournal.record

        def watched(journal: SqliteJournal, updates: list[SegmentUpdate]) -> Any:
            done = asyncio.ensure_future(record(journal, updates))
            closed = sum(len(update.closed) // 4 for update in updates)
            done.add_done_callback(lambda _: self._add(closed))
            return done

        SqliteJournal.record = watched  # type: ignore[method-assign, assignment]

    async def until(self, count: int) -> None:
        """Wait until so many have ended."""
        while self.count < count:
            self._changed.clear()
            await self._changed.wait()

    def _add(self, count: int) -> None:
        self.count += count
        self._changed.set()


class HandlerBook:
    """Stands for a gRPC server where handlers are registered."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, _: object) -> None:
        """Take the same handlers a second time."""

    def add_registered_method_handlers(self, _: str, handlers: dict[str, Any]) -> None:
        """Take a service's handlers."""
        self.found |= handlers


async def drive(directory: Path, marks: Marks, count: int, size: int) -> None:
    """Send count batches through a worker, one after the other, after a few that do not count."""

    async def dial(target: Target, options: ConnectionOptions, listener: Listener) -> Connection:
        connection = Connection(str(target), options, listener)
        connection.connection_made(Wire(connection, marks))
        await connection.ready
        return connection

    requests = list(batches((count + WARM_UP) * size, size, "stages"))
    ended = Ended()
    ended.watch()
    for stage, functions in WRAPPED.items():
        for owner, name in functions:
            marks.wrap(owner, name, stage)
    marks.wrap(JournalStore, "write", of_write)
    pool.dial = dial  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as tasks:
        parts = await assemble(settings_of(directory), 0, tasks, listening=False)
        background = tasks.create_task(parts.settler.record())
        await parts.routes[0].channel.start()
        tune_interpreter()
        handler = handler_of(parts)
        for number, request in enumerate(requests):
            if number == WARM_UP:
                marks.enter(budget.LOOP)
                marks.begin()
            await send(handler, marks, request)
            await ended.until((number + 1) * size)
        marks.end()
        background.cancel()
        await parts.routes[0].channel.close(0.1)
        await parts.channels.close()
        await parts.journal.close()


def settings_of(directory: Path) -> Any:
    """Write and load a worker's settings."""
    credentials = make_credentials(directory / "simulators")
    credentials.write_service_account("https://127.0.0.1:1/token")
    path = directory / "walletpush.toml"
    path.write_text(config_toml(directory, credentials, Ports(1, 1, 1, 1, 1), 1, 1, StandOptions(settings=SETTINGS)))
    settings = load(path)
    main_process.make_data_dir(settings.data_dir)
    main_process.prepare(settings)
    return settings


def handler_of(parts: Parts) -> Any:
    """Return how gRPC would call SendBatch."""
    book = HandlerBook()
    add_DeliveryServiceServicer_to_server(parts.delivery, book)  # type: ignore[no-untyped-call]
    current_caller.set(LOCAL)
    return book.found["SendBatch"]


async def send(handler: Any, marks: Marks, request: bytes) -> None:
    """Do for one call what gRPC does between bytes and bytes."""
    before = marks.enter(budget.PARSE)
    message = handler.request_deserializer(request)
    marks.enter(before)
    answer = await handler.unary_unary(message, None)
    before = marks.enter(budget.ANSWER)
    data = cast("bytes", handler.response_serializer(answer))
    marks.enter(before)
    if not data:
        raise RuntimeError("no answer")


def main() -> None:
    """Run, and write what the CPU meter has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--callgrind", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="walletpush-stages-") as made:
        meter = CallgrindMeter(Path(made)) if given.callgrind else CpuMeter()
        uvloop.run(drive(Path(made), Marks(meter, budget.OUTSIDE, budget.JOURNAL), given.batches, given.size))
    if isinstance(meter, CpuMeter):
        text = json.dumps(meter.spent_ns)
        print(text) if given.out is None else given.out.write_text(text)


if __name__ == "__main__":
    main()
