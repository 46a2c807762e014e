"""The clients that are compared, each run as a process of its own on the client's core."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bench.egress.client_run import LIMIT_S, ClientRun
from bench.egress.job import Job
from bench.egress.request import PATH, request
from bench.egress.servers import Kind, Place
from bench.quiet import CLIENT_CORE, CoreWatch, Observed, children_cpu_s, pinned, process_cpu_s
from bench.section import BenchOptions


@dataclass(frozen=True, slots=True)
class SideRun:
    """What one side did, with the server's CPU in us a request, which tells who held whom back."""

    client: ClientRun
    server_us: float


@dataclass(frozen=True, slots=True)
class Side:
    """One client. totals: requests at each scale, few for the slow ones. ours: whether it is judged in `compare`."""

    name: str
    totals: tuple[int, int, int]
    run: Callable[[Job], ClientRun]
    ours: bool = False
    server: Kind = Kind.GOOD

    def total(self, options: BenchOptions) -> int:
        """Return the requests of one run."""
        return options.of(*self.totals)

    def observe(self, job: Job, place: Place) -> Observed[SideRun]:
        """Run once. Raises SideFailed."""
        watch, server_s = CoreWatch(place.server), process_cpu_s(place.server)
        client = self.run(job)
        foreign_percent = watch.foreign_percent()
        server_us = (process_cpu_s(place.server) - server_s) / job.total * 1e6
        return Observed(SideRun(client, server_us), foreign_percent)


class SideFailed(RuntimeError):
    """A client did not end well; the text is what it printed."""


def process(name: str) -> Callable[[Job], ClientRun]:
    """Return what runs a client of bench.egress."""

    def run(job: Job) -> ClientRun:
        words = pinned(CLIENT_CORE, sys.executable, "-m", "bench.egress", name, *job.words())
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S + 60)
        if done.returncode:
            raise SideFailed(f"{name}: {done.stderr[-2000:]}")
        return ClientRun(**json.loads(done.stdout))

    return run


def h2load(job: Job) -> ClientRun:
    """Run h2load with the adapter's header fields and payload; its apns-id is always the same one."""
    if shutil.which("h2load") is None:
        raise SideFailed("h2load is missing: apt-get install nghttp2-client")
    shape = request()
    body = job.directory / "body"
    body.write_bytes(shape.body)
    headers = [part for name, value in shape.headers() for part in ("-H", f"{name}: {value}")]
    command = pinned(
        CLIENT_CORE, "h2load", "-n", str(job.total), "-c", str(job.connections), "-m",
        str(job.streams // job.connections), "-d", str(body), *headers, f"https://localhost:{job.port}{PATH}",
    )  # fmt: skip
    cpu_s = children_cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    cpu_s = children_cpu_s() - cpu_s
    if f"{job.total} succeeded, 0 failed" not in done.stdout:
        raise SideFailed(f"h2load: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    finished = next(line for line in done.stdout.splitlines() if line.startswith("finished in"))
    return ClientRun(float(finished.split(",")[1].split()[0]), cpu_s / job.total * 1e6)


_FAST = (5_000, 100_000, 300_000)
ADAPTER = Side("adapter", _FAST, process("adapter"), ours=True)
# aioapns matches answers by apns-id, which the fast simulator does not echo.
SIDES = (
    ADAPTER,
    Side("engine", _FAST, process("engine"), ours=True),
    Side("h2load", _FAST, h2load),
    Side("pycurl", (1_000, 10_000, 20_000), process("pycurl")),
    Side("aioapns", (200, 2_000, 6_000), process("aioapns"), server=Kind.ECHOING),
    Side("httpx", (100, 1_000, 2_000), process("httpx")),
)
