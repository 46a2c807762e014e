"""Where a loaded worker's CPU time goes by library, sampled by perf: this shows the edges, TLS, kernel and gRPC."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from pathlib import Path

import grpc

from bench.load import batches
from bench.stand import Stand, StandOptions, stand

_SEND = "/walletpush.v1.DeliveryService/SendBatch"
_IN_FLIGHT = 8
_HZ = 1_999
_SHARE = re.compile(r"^\s*([0-9.]+)%\s+(\S+)")
# By the beginning of a library's name, the first that fits.
_PARTS = (
    ("[", "kernel: TCP, disk, scheduling"), ("libssl", "TLS"), ("libcrypto", "TLS"), ("_ssl", "TLS"),
    ("cygrpc", "gRPC"), ("_message", "protobuf"), ("libnghttp2", "nghttp2"), ("session.", "nghttp2's binding"),
    ("exchange.", "nghttp2's binding"), ("libsqlite", "SQLite"), ("_sqlite3", "SQLite"), ("orjson", "orjson"),
    ("loop.", "uvloop"), ("libpython", "interpreter"), ("python", "interpreter"), ("_asyncio", "interpreter"),
    ("libc.", "libc: memory, copies"),
)  # fmt: skip


async def sample(count: int, size: int) -> tuple[dict[str, float], float]:
    """Load one worker with SendBatch; return CPU us a notification by part, and their sum.

    Raises FileNotFoundError without perf, RuntimeError if it may not look.
    """
    async with stand(StandOptions()) as place:
        await _send(place, list(batches(count // 4, size, "warm")))
        (worker,) = place.workers()
        with tempfile.TemporaryDirectory(prefix="walletpush-perf-") as name:
            data = Path(name) / "perf.data"
            requests = list(batches(count, size, "sampled"))
            perf = await asyncio.create_subprocess_exec(
                "perf", "record", "-q", "-e", "cpu-clock", "-F", str(_HZ), "-p", str(worker.pid), "-o", str(data),
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            before = worker.cpu_times()
            await _send(place, requests)
            after = worker.cpu_times()
            perf.terminate()
            _, complaint = await perf.communicate()
            if not data.exists():
                raise RuntimeError(f"perf: {complaint.decode(errors='replace').strip()}")
            shares = await _shares(data)
    cpu_us = (after.user + after.system - before.user - before.system) / count * 1e6
    return {part: share * cpu_us for part, share in shares.items()}, cpu_us


async def _send(place: Stand, requests: list[bytes]) -> None:
    async with grpc.aio.insecure_channel(place.address) as channel:
        send = channel.unary_unary(_SEND, None, None)
        waiting = iter(requests)

        async def caller() -> None:
            for request in waiting:
                await send(request)

        await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))


async def _shares(data: Path) -> dict[str, float]:
    report = await asyncio.create_subprocess_exec(
        "perf", "report", "-i", str(data), "--sort", "dso", "-g", "none", "--stdio",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    text, _ = await report.communicate()
    found: Counter[str] = Counter()
    for line in text.decode(errors="replace").splitlines():
        if matched := _SHARE.match(line):
            found[part_of(matched[2])] += float(matched[1]) / 100  # type: ignore[assignment]  # counts, in parts of one
    return dict(found.most_common())


def part_of(library: str) -> str:
    """Return which part of a worker a library belongs to."""
    known = next((part for start, part in _PARTS if library.startswith(start)), None)
    return known or ("our Cython" if ".cpython-" in library and not library.startswith("_") else "other libraries")
