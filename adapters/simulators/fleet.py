"""Several simulator processes on the same ports, steered and asked as one.

The kernel spreads connections over them, so what is counted per key or token is counted per process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import orjson
from aiohttp import web

from adapters.simulators.control import FAULTS, MAX_BODY_BYTES
from adapters.simulators.control_server import serve_control, write_ports
from adapters.simulators.credentials import make_credentials
from adapters.simulators.ledger import Ledger
from adapters.simulators.ledger_routes import LedgerRoutes, reply
from adapters.simulators.settings import Ports, Provider, SimulatorSettings

START_S = 30.0
STOP_S = 10.0


class WorkerFailedError(Exception):
    """A simulator process ended before it was ready."""


class Fleet:
    """The control API over the workers' own: orders go to all, numbers are summed, ledgers put together."""

    def __init__(self, ports: Ports, workers: list[int], session: aiohttp.ClientSession) -> None:
        self.ports = ports
        self._bases = [f"http://127.0.0.1:{port}" for port in workers]
        self._session = session

    def application(self) -> web.Application:
        """Make the aiohttp application."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        LedgerRoutes(self._ledger).add_to(application)
        application.router.add_get("/healthz", self.health)
        application.router.add_route("*", "/{path:.*}", self.forward)
        return application

    async def health(self, request: web.Request) -> web.Response:
        """Answer the shared ports."""
        return reply(self.ports._asdict())

    async def forward(self, request: web.Request) -> web.Response:
        """Pass an order to every worker; answer the sums of their numbers, or the first refusal."""
        body = await request.read()
        answers = await asyncio.gather(*(self._ask(base, request, body) for base in self._bases))
        for status, content in answers:
            if status != 200:
                return web.Response(status=status, body=content)
        first, *others = [orjson.loads(content) for _, content in answers]
        if request.path.startswith(("/connections/", "/oauth")):
            first = {name: count + sum(other[name] for other in others) for name, count in first.items()}
        return reply(first)

    async def _ask(self, base: str, request: web.Request, body: bytes) -> tuple[int, bytes]:
        async with self._session.request(request.method, base + request.path_qs, data=body) as response:
            return response.status, await response.read()

    async def _ledger(self, provider: Provider) -> Ledger:
        merged = Ledger()
        for base in self._bases:
            async with self._session.get(f"{base}/ledger/{provider}/dump") as response:
                merged.absorb(orjson.loads(await response.read()))
        return merged


@asynccontextmanager
async def run_fleet(settings: SimulatorSettings) -> AsyncIterator[Fleet]:
    """Run `settings.workers` processes while the context is open; raises WorkerFailedError if one does not come up."""
    make_credentials(settings.directory)
    async with AsyncExitStack() as stack:
        ports = _reserve(settings, stack)
        controls = [await stack.enter_async_context(_worker(settings, ports)) for _ in range(settings.workers)]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        fleet = Fleet(ports, controls, session)
        control = await stack.enter_async_context(
            serve_control(fleet.application(), settings.host, settings.ports.control)
        )
        fleet.ports = ports._replace(control=control)
        write_ports(settings.directory, fleet.ports)
        yield fleet


def _reserve(settings: SimulatorSettings, stack: AsyncExitStack) -> Ports:
    """Bind every port without listening, so that it stays ours until the workers listen on it."""
    found = {}
    for name, port in settings.ports._asdict().items():
        if name != "control":
            holder = stack.enter_context(socket.socket(socket.AF_INET))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((settings.host, port))
            found[name] = holder.getsockname()[1]
    return Ports(**found)


@asynccontextmanager
async def _worker(settings: SimulatorSettings, ports: Ports) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "adapters.simulators"), *_arguments(settings, ports), stdin=PIPE, stdout=PIPE
    )
    try:
        yield await _ready(process)
    finally:
        await _stop(process)


async def _ready(process: Process) -> int:
    if process.stdout is None:
        raise WorkerFailedError
    async with asyncio.timeout(START_S):
        line = await process.stdout.readline()
    if not line:
        raise WorkerFailedError(f"a worker ended with {await process.wait()}")
    port: int = json.loads(line)["control"]
    return port


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _arguments(settings: SimulatorSettings, ports: Ports) -> list[str]:
    arguments = [str(settings.directory), "--share-ports", "--until-stdin-closes", "--host", settings.host]
    for name, port in ports._asdict().items():
        arguments += [f"--{name}-port", str(port)]
    for topic in sorted(settings.topics or ()):
        arguments += ["--topic", topic]
    if settings.keeps_times:
        arguments.append("--keep-times")
    arguments += ["--mode", settings.mode, "--error-one-in", str(settings.error_one_in)]
    arguments += ["--token-updates-per-20-min", str(settings.token_updates_per_20_min)]
    return [*arguments, "--faults", FAULTS.dump_json(settings.faults).decode()]
