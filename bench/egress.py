"""`python -m bench.egress`: the APNs adapter against h2load and aioapns, client and server pinned to a core each.

Adapter and h2load talk to the fast simulator. aioapns matches answers by apns-id, which that one does not echo, so it
gets a server that does. Only quiet rounds count, as in `bench.egress_engine`; if there was none the quietest is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from adapters.http2.headers import HeaderBlock
from adapters.http2.server import Http2Server
from adapters.http2.server_session import CannedAnswer, ServerRequest
from adapters.http2.tls import server_context
from adapters.simulators.fast import apns_answers, fast_server
from bench.egress_clients import TOKEN, adapter_load, aioapns_load, request_shape
from bench.egress_engine import (
    CASES,
    CLIENT_CORE,
    QUIET_PERCENT,
    SERVER_CORE,
    Figures,
    Place,
    Run,
    children_cpu_s,
    observe,
    pinned,
    prepare,
    wait_for_quiet,
)

_ID = b"apns-id"
_REFUSALS = (
    (b"410", b'{"reason":"Unregistered","timestamp":1700000000000}'),
    (b"400", b'{"reason":"BadDeviceToken"}'),
    (b"429", b'{"reason":"TooManyRequests"}'),
)
_TRIES = 2
_LONG_CASE = (4, 1_000)
_MIN_RATIO_H2LOAD = 0.5
_MIN_RATIO_AIOAPNS = 30.0
_SIDES = ("adapter", "h2load", "aioapns")
Measure = Callable[[Place, int, int, int], Figures]


def refusing_answers() -> tuple[CannedAnswer, ...]:
    """Return a round of answers in which every fourth is an error with a body, another one each time."""
    answers: list[CannedAnswer] = []
    for status, body in _REFUSALS:
        head = HeaderBlock(((b":status", status), (_ID, b"00000000-0000-4000-8000-000000000000")))
        answers += [*apns_answers() * 3, CannedAnswer(head, body)]
    return tuple(answers)


def echo(requests: list[ServerRequest]) -> None:
    """Accept every request under its own apns-id."""
    for request in requests:
        request.respond(200, extra=(_ID, dict(request.headers)[_ID]))


async def serve(directory: Path, kind: str) -> None:
    """Serve until standard input ends; kind: good, refusing or echo."""
    tls = server_context(directory / "server.pem", directory / "server.key")
    if kind == "echo":
        server = Http2Server(echo, tls, window_bytes=1 << 20)
    else:
        server = fast_server(tls, apns_answers() if kind == "good" else refusing_answers())
    await server.start()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


def ourselves(core: int, *arguments: object) -> list[str]:
    """Return the command that runs this file on one core."""
    return pinned(core, sys.executable, "-m", "bench.egress", *map(str, arguments))


@contextmanager
def server_process(directory: Path, kind: str) -> Iterator[Place]:
    """Run a server on its core until left."""
    command = ourselves(SERVER_CORE, "--serve", directory, kind)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Place(directory, int(process.stdout.readline() if process.stdout else 0), psutil.Process(process.pid))
        finally:
            process.terminate()


def adapter(place: Place, connections: int, streams: int, total: int) -> Figures:
    """Run the adapter on the client core."""
    return _run(ourselves(CLIENT_CORE, "--adapter", place.directory, place.port, connections, streams, total))


def aioapns(place: Place, connections: int, streams: int, total: int) -> Figures:
    """Run aioapns on the client core."""
    return _run(ourselves(CLIENT_CORE, "--aioapns", place.directory, place.port, connections, streams, total))


def _run(command: list[str]) -> Figures:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Figures(**json.loads(done.stdout))


def measure_h2load(place: Place, connections: int, streams: int, total: int) -> Figures:
    """Run h2load with the adapter's header fields and payload; its apns-id is always the same one."""
    fields, payload = request_shape()
    body = place.directory / "body"
    body.write_bytes(payload)
    headers = [part for name, value in fields for part in ("-H", f"{name.decode()}: {value.decode()}")]
    command = pinned(
        CLIENT_CORE, "h2load", "-n", str(total), "-c", str(connections), "-m", str(streams // connections),
        "-d", str(body), *headers, f"https://localhost:{place.port}/3/device/{TOKEN}",
    )  # fmt: skip
    cpu_s = children_cpu_s()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu_s = children_cpu_s() - cpu_s
    if f"{total} succeeded, 0 failed" not in output:
        raise SystemExit(output)
    finished = next(line for line in output.splitlines() if line.startswith("finished in"))
    return Figures(float(finished.split(",")[1].split()[0]), cpu_s / total * 1e6)


def rounds_of(measures: Sequence[Callable[[], Run]], wanted: int) -> tuple[list[list[Run]], int, int]:
    """Run all sides in turn, again and again; return the rounds that count, how many were quiet; how many were tried"""
    quiet: list[list[Run]] = []
    tried: list[list[Run]] = []
    while len(quiet) < wanted and len(tried) < wanted * _TRIES:
        wait_for_quiet()
        tried.append([measure() for measure in measures])
        if _unrest(tried[-1]) <= QUIET_PERCENT:
            quiet.append(tried[-1])
    return quiet or [min(tried, key=_unrest)], len(quiet), len(tried)


def _unrest(runs: list[Run]) -> float:
    return max(run.foreign_percent for run in runs)


def observed(place: Place, case: tuple[int, int], total: int, measure: Measure) -> Run:
    """Run one side of a case."""
    return observe(place, total, lambda: measure(place, *case, total))


def compare(directory: Path, total: int, reference_total: int, rounds: int) -> None:
    """Print the adapter beside h2load and aioapns, in the same rounds."""
    table = Table(
        "connections", "streams", *(f"{side} {what}" for side in _SIDES for what in ("/s", "us")),
        "x h2load", "x aioapns", "quiet rounds",
        title=f"requests a second and client CPU us a request; {total:,} requests each, aioapns {reference_total:,}",
    )  # fmt: skip
    with server_process(directory, "good") as fast, server_process(directory, "echo") as echoing:
        sides = ((fast, total, adapter), (fast, total, measure_h2load), (echoing, reference_total, aioapns))
        for case in CASES:
            measures = [partial(observed, place, case, count, measure) for place, count, measure in sides]
            table.add_row(*map(str, case), *cells(*rounds_of(measures, rounds)))
    Console(width=150).print(table)


def cells(counted: list[list[Run]], quiet: int, tried: int) -> list[str]:
    """Return the medians of the rounds, and the ratios with their spread."""
    sides = list(zip(*counted, strict=True))
    told: list[str] = []
    for side in sides:
        told.append(f"{statistics.median(run.figures.per_s for run in side):,.0f}")
        told.append(f"{statistics.median(run.figures.cpu_us for run in side):.2f}")
    for other, least in ((1, _MIN_RATIO_H2LOAD), (2, _MIN_RATIO_AIOAPNS)):
        ratios = [runs[0].figures.per_s / runs[other].figures.per_s for runs in counted]
        median = statistics.median(ratios)
        missed = "" if median >= least else " MISSED"
        told.append(f"{median:.2f} ({min(ratios):.2f}-{max(ratios):.2f}){missed}")
    return [*told, f"{quiet} of {tried}"]


def endure(directory: Path, total: int, rounds: int) -> None:
    """Print whether memory stays, and what errors with bodies cost, over many requests."""
    connections, streams = _LONG_CASE
    table = Table(
        "answers", "requests/s", "client us", "RSS MiB at 10 %", "RSS MiB at the end", "x no errors", "quiet rounds",
        title=f"{total:,} requests, {connections} connections, {streams:,} streams",
    )  # fmt: skip
    with server_process(directory, "good") as good, server_process(directory, "refusing") as refusing:
        measures = [partial(observed, place, _LONG_CASE, total, adapter) for place in (good, refusing)]
        counted, quiet, tried = rounds_of(measures, rounds)
    ratio = statistics.median(runs[1].figures.per_s / runs[0].figures.per_s for runs in counted)
    for side, (name, told) in enumerate((("all good", ""), ("every fourth an error", f"{ratio:.2f}"))):
        runs = [one[side].figures for one in counted]
        worst = max(runs, key=lambda figures: figures.peak_mib - figures.early_mib)
        table.add_row(
            name, f"{statistics.median(run.per_s for run in runs):,.0f}",
            f"{statistics.median(run.cpu_us for run in runs):.2f}",
            f"{worst.early_mib:.1f}", f"{worst.peak_mib:.1f}", told, f"{quiet} of {tried}",
        )  # fmt: skip
    Console(width=150).print(table)


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=100_000)
    parser.add_argument("--reference-total", type=int, default=6_000)
    parser.add_argument("--long-total", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--adapter", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--aioapns", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        uvloop.run(serve(Path(given.serve[0]), given.serve[1]))
    elif given.adapter:
        print(json.dumps(asdict(uvloop.run(adapter_load(Path(given.adapter[0]), *map(int, given.adapter[1:]))))))
    elif given.aioapns:
        print(json.dumps(asdict(uvloop.run(aioapns_load(Path(given.aioapns[0]), *map(int, given.aioapns[1:]))))))
    elif shutil.which("h2load") is None:
        sys.exit("h2load is missing: apt-get install nghttp2-client")
    else:
        with tempfile.TemporaryDirectory(prefix="walletpush-bench-") as name:
            directory = prepare(Path(name))
            compare(directory, given.total, given.reference_total, given.rounds)
            endure(directory, given.long_total, max(1, given.rounds - 1))


if __name__ == "__main__":
    main()
