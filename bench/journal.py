"""`python -m bench.journal`: what the journal costs per message, and how long an append waits, alone and under load."""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adapters.journal.sqlite import SqliteJournal
from core.storage import Segment, SegmentUpdate

FRAME_BYTES = 250
# What core.receipts packs for a delivery with an apns-id: 37 bytes and the id's 36.
EVENT_BYTES = 73


class Load:
    """Ready-made segments and updates, so that only the journal is measured."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._frames = [os.urandom(FRAME_BYTES) for _ in range(messages)]
        self._keys = os.urandom(16 * messages)
        self._fingerprints = os.urandom(8 * messages)
        self._closed = struct.pack(f"={messages}I", *(index << 8 | 1 for index in range(messages)))
        self._events = os.urandom(EVENT_BYTES * messages)

    def segment(self, seq: int) -> Segment:
        """Return a segment of the load's size."""
        return Segment(seq, time.time_ns() // 1_000_000, self._frames, self._keys, self._fingerprints)

    def update(self, seq: int) -> SegmentUpdate:
        """Return what closes all of a segment."""
        return SegmentUpdate(seq, time.time_ns() // 1_000_000, self._closed, self._events)


async def accept_and_settle(journal: SqliteJournal, load: Load) -> float:
    """Append a segment and, once durable, close it; return the append's latency in ms."""
    seq = journal.next_segment()
    began = time.perf_counter()
    await journal.append(load.segment(seq))
    latency_ms = (time.perf_counter() - began) * 1000
    await journal.record([load.update(seq)])
    return latency_ms


async def cost(journal: SqliteJournal, messages: int, total: int) -> tuple[float, float]:
    """Push total messages with 4 segments in flight; return CPU and wall time per message in us."""
    load = Load(messages)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(total // messages // 4):
        await asyncio.gather(*(accept_and_settle(journal, load) for _ in range(4)))
    done = total // messages // 4 * 4 * messages
    return (time.process_time() - cpu) * 1e6 / done, (time.perf_counter() - wall) * 1e6 / done


async def keep_busy(share: float) -> None:
    """Hold the loop for its share of every 2 ms, as a working gateway does."""
    while True:
        ends = time.perf_counter() + 0.002 * share
        while time.perf_counter() < ends:
            sum(range(200))
        await asyncio.sleep(0.002 * (1 - share))


async def open_loop(journal: SqliteJournal, messages: int, rate: int, seconds: float, share: float) -> list[float]:
    """Let segments arrive at a fixed rate whatever the journal does; return the append latencies in ms, sorted."""
    load = Load(messages)
    loop = asyncio.get_running_loop()
    busy = loop.create_task(keep_busy(share)) if share else None
    tasks: list[asyncio.Task[float]] = []
    began = loop.time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        tasks.append(loop.create_task(accept_and_settle(journal, load)))
    latencies = sorted(await asyncio.gather(*tasks))
    if busy:
        busy.cancel()
    return latencies


async def measure(directory: Path, console: Console) -> None:
    """Run all, the costs three times."""
    journal = await SqliteJournal.open(directory, 0)
    await cost(journal, 500, 20_000)
    table = Table("messages per segment", "CPU us/message", "wall us/message", title="append + settle, best of 3")
    for messages, total in ((500, 100_000), (100, 40_000), (10, 8_000), (1, 2_000)):
        runs = [await cost(journal, messages, total) for _ in range(3)]
        table.add_row(str(messages), f"{min(run[0] for run in runs):.2f}", f"{min(run[1] for run in runs):.2f}")
    console.print(table)
    table = Table("arrivals", "loop busy", "p50 ms", "p99 ms", "max ms", title="append latency, open loop")
    for messages, rate, share in ((1, 50, 0.0), (1, 500, 0.0), (500, 80, 0.0), (500, 80, 0.5), (500, 80, 0.9)):
        found = await open_loop(journal, messages, rate, 2.0, share)
        table.add_row(
            f"{rate}/s x {messages}", f"{share:.0%}", f"{found[len(found) // 2]:.2f}",
            f"{found[len(found) * 99 // 100]:.2f}", f"{found[-1]:.2f}",
        )
    console.print(table)
    await journal.close()


def main() -> None:
    """Measure in a directory on the disk that is to be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="where the journal is made; default: the temporary directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        asyncio.run(measure(Path(directory), Console()))


if __name__ == "__main__":
    main()
