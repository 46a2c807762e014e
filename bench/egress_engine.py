"""The HTTP/2 client engine against h2load, over the same TLS server, client and server pinned to a core each.

Run `python -m bench.egress_engine`. Rates of a busy machine mean nothing here: on two shared cores the same pair gave
80,000 and 370,000 a second. So a round counts only if nobody else used more than a few percent of both cores while
either side ran, and medians over such rounds are shown, with the server's CPU to tell who was the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import uvloop

from adapters.http2.exchange import Exchange
from adapters.http2.headers import HeaderBlock
from adapters.http2.options import PoolOptions, Target
from adapters.http2.pool import Pool
from adapters.http2.tls import client_context, server_context
from adapters.simulators.authority import CertificateAuthority
from adapters.simulators.fast import apns_answers, fast_server

TOKEN = b"7c" * 32
BODY = b'{"aps":{"alert":{"title":"Payment received","body":"12.50 EUR from Ada"},"sound":"default"}}'.ljust(200)
SHARED = [
    (b"authorization", b"bearer " + b"eyJhbGciOiJFUzI1NiJ9" * 10),
    (b"apns-topic", b"com.example.wallet"),
    (b"apns-push-type", b"alert"),
    (b"apns-priority", b"10"),
]
OWN = (b"apns-id", b"eabeae54-14a8-11e5-b60b-1697f925ec7b", b"apns-expiration", b"1700000000")
HEAD = HeaderBlock([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), *SHARED])
CASES = ((1, 100), (1, 1_000), (4, 100), (4, 1_000))
CLIENT_CORE, SERVER_CORE = 0, 1
QUIET_PERCENT = 6.0
MAX_ATTEMPTS = 3
QUIET_WAITS = 40


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: requests a second, client CPU in us a request, peak memory in MiB at a tenth of it and at its end."""

    per_s: float
    cpu_us: float
    early_mib: float = 0.0
    peak_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case runs: certificates, and the server's port and process."""

    directory: Path
    port: int
    server: psutil.Process


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run, with the server's CPU in us a request and what others took of both cores meanwhile."""

    figures: Figures
    server_us: float
    foreign_percent: float


class Load:
    """Keeps `streams` requests in flight until `total` are answered."""

    def __init__(self, target: Target, connections: int, streams: int, total: int) -> None:
        self._pool = Pool(target, self._on_answers, options=PoolOptions(connections=connections))
        self._connections, self._streams, self._total = connections, streams, total
        self._sent = self._done = 0
        self._early_mib = 0.0
        self._over = asyncio.Event()

    async def run(self) -> Figures:
        await self._pool.start()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if self._pool.stats().ready == self._connections:
                break
        started_s, cpu_s = time.perf_counter(), time.process_time()
        self._send(self._streams)
        await self._over.wait()
        elapsed_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
        await self._pool.close()
        return Figures(self._total / elapsed_s, cpu_s / self._total * 1e6, self._early_mib, peak_mib())

    def _send(self, count: int) -> None:
        count = min(count, self._total - self._sent)
        path = b"/3/device/" + TOKEN
        self._sent += self._pool.submit([Exchange(HEAD, path, OWN, BODY) for _ in range(count)]) if count else 0

    def _on_answers(self, exchanges: list[Exchange]) -> None:
        self._done += len(exchanges)
        if not all(exchange.status in (200, 410) for exchange in exchanges):
            raise SystemExit("a request was not answered")
        if not self._early_mib and self._done > self._total // 10:
            self._early_mib = peak_mib()
        if self._done >= self._total:
            self._over.set()
        self._send(len(exchanges))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def serve(directory: Path, error_one_in: int) -> None:
    pair = [directory / "server.pem", directory / "server.key"]
    server = fast_server(server_context(*pair), apns_answers(error_one_in))
    await server.start()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


async def drive(directory: Path, port: int, connections: int, streams: int, total: int) -> None:
    target = Target("localhost", port, client_context(extra_ca=directory / "ca.pem"))
    print(json.dumps(asdict(await Load(target, connections, streams, total).run())))


def pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *command]


def ourselves(core: int, *arguments: object) -> list[str]:
    return pinned(core, sys.executable, "-m", "bench.egress_engine", *map(str, arguments))


@contextmanager
def server_process(directory: Path, error_one_in: int) -> Iterator[Place]:
    command = ourselves(SERVER_CORE, "--serve", directory, "--error-one-in", error_one_in)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline() if process.stdout else 0)
            yield Place(directory, port, psutil.Process(process.pid))
        finally:
            process.terminate()


def measure_engine(place: Place, connections: int, streams: int, total: int) -> Figures:
    command = ourselves(CLIENT_CORE, "--drive", place.directory, place.port, connections, streams, total)
    return Figures(**json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def measure_h2load(place: Place, connections: int, streams: int, total: int) -> Figures:
    body = place.directory / "body"
    body.write_bytes(BODY)
    fields = [*SHARED, *zip(OWN[::2], OWN[1::2], strict=True)]
    headers = [part for name, value in fields for part in ("-H", f"{name.decode()}: {value.decode()}")]
    command = pinned(
        CLIENT_CORE, "h2load", "-n", str(total), "-c", str(connections), "-m", str(streams // connections),
        "-d", str(body), *headers, f"https://localhost:{place.port}/3/device/{TOKEN.decode()}",
    )
    cpu_s = children_cpu_s()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu_s = children_cpu_s() - cpu_s
    # h2load calls a 4xx answer failed, which is what was asked of the server here.
    if f"{total} done" not in output or " 0 errored, 0 timeout" not in output:
        raise SystemExit(output)
    finished = next(line for line in output.splitlines() if line.startswith("finished in"))
    return Figures(float(finished.split(",")[1].split()[0]), cpu_s / total * 1e6)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def cores_busy_s() -> float:
    return sum(each.user + each.nice + each.system + each.irq + each.softirq + each.steal
               for each in psutil.cpu_times(percpu=True))


def wait_for_quiet() -> None:
    """Wait for a third of a second in which nobody computes, but not for ever."""
    for _ in range(QUIET_WAITS):
        busy_s = cores_busy_s()
        time.sleep(0.3)
        if cores_busy_s() - busy_s <= 0.3 * (os.cpu_count() or 1) * QUIET_PERCENT / 100:
            return


def observe(place: Place, total: int, measure: Callable[[], Figures]) -> Run:
    """Run one side and note who else used the cores; a child's start-up is its own, not foreign."""
    started_s = time.monotonic()
    busy_s, ours_s, server_s = cores_busy_s(), children_cpu_s(), process_cpu_s(place.server)
    figures = measure()
    busy_s, ours_s = cores_busy_s() - busy_s, children_cpu_s() - ours_s
    server_s = process_cpu_s(place.server) - server_s
    available_s = (time.monotonic() - started_s) * (os.cpu_count() or 1)
    return Run(figures, server_s / total * 1e6, max(0.0, busy_s - ours_s - server_s) / available_s * 100)


def compare(total: int, rounds: int, error_one_in: int) -> None:
    errors = f"an error in {error_one_in}" if error_one_in else "no errors"
    print(f"{total} requests, medians of quiet rounds ({rounds} wanted), {errors}; CPU in us a request")
    print("conns streams | engine/s client server  MiB 10%/end | h2load/s client server | ratio | quiet of tried")
    with tempfile.TemporaryDirectory() as name, server_process(prepare(Path(name)), error_one_in) as place:
        for connections, streams in CASES:
            print(row(place, connections, streams, total, rounds), flush=True)


def row(place: Place, connections: int, streams: int, total: int, rounds: int) -> str:
    quiet: list[tuple[Run, Run]] = []
    tried = 0
    while len(quiet) < rounds and tried < rounds * MAX_ATTEMPTS:
        tried += 1
        wait_for_quiet()
        ours = observe(place, total, lambda: measure_engine(place, connections, streams, total))
        theirs = observe(place, total, lambda: measure_h2load(place, connections, streams, total))
        if max(ours.foreign_percent, theirs.foreign_percent) <= QUIET_PERCENT:
            quiet.append((ours, theirs))
    title = f"{connections:5} {streams:7} |"
    if not quiet:
        return f"{title} the machine was never quiet in {tried} rounds: no figures"
    engine, other = ([pair[side] for pair in quiet] for side in (0, 1))
    ratio = statistics.median(ours.figures.per_s / theirs.figures.per_s for ours, theirs in quiet)
    peak = max((run.figures for run in engine), key=lambda figures: figures.peak_mib)
    return (
        f"{title} {cells(engine)}  {peak.early_mib:5.1f}/{peak.peak_mib:.1f} | {cells(other)} | "
        f"{ratio:5.2f} | {len(quiet)} of {tried}"
    )


def cells(runs: list[Run]) -> str:
    per_s, client_us, server_us = (
        statistics.median(values)
        for values in zip(*((run.figures.per_s, run.figures.cpu_us, run.server_us) for run in runs), strict=True)
    )
    return f"{per_s:8,.0f} {client_us:6.2f} {server_us:6.2f}"


def prepare(directory: Path) -> Path:
    CertificateAuthority.create(directory).issue_server("server")
    return directory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--error-one-in", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--drive", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(arguments.serve, arguments.error_one_in))
    elif arguments.drive:
        uvloop.run(drive(Path(arguments.drive[0]), *map(int, arguments.drive[1:])))
    elif shutil.which("h2load") is None:
        sys.exit("h2load is missing: apt-get install nghttp2-client")
    else:
        compare(arguments.total, arguments.rounds, arguments.error_one_in)


if __name__ == "__main__":
    main()
