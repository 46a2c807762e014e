"""A stand for measuring: simulators and a gateway as processes of their own, on cores of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import psutil

from adapters.simulators.client import SimulatorClient, read_ports
from adapters.simulators.credentials import KEY_ID, PROJECT_ID, TEAM_ID, SimulatorCredentials, make_credentials
from adapters.simulators.settings import PORTS_FILE, Ports

APP = "wallet"
TOPIC = "com.example.wallet"
GATEWAY_CORE = 0
OTHER_CORE = 1 % (os.cpu_count() or 1)
ANSWERS_FILE = "answers"
_READY_S = 60.0
_LOG_TAIL = 2_000
# A bench runs at any hour, and counts what would be over any cap.
_HOLDS_NOTHING = """[apps.policy]
quiet_windows = []
vendor_quotas = false
[[apps.policy.caps]]
name = "none"
limit = 1000
period_s = 60"""
_ASK = aiohttp.ClientTimeout(total=_READY_S)


@dataclass(frozen=True, slots=True)
class StandOptions:
    """mode: of the simulators. settings: lines of TOML that follow the generated ones. pinned: see GATEWAY_CORE.

    probed: run a `bench.probed_gateway`, which leaves ANSWERS_FILE in the directory.
    """

    mode: str = "fast"
    error_one_in: int = 0
    workers: int = 1
    apns_connections: int = 2
    fcm_connections: int = 4
    settings: str = ""
    pinned: bool = True
    directory: Path | None = None
    probed: bool = False


@dataclass(frozen=True, slots=True)
class Stand:
    """A running stand. address: of the gateway. web: of its metrics."""

    directory: Path
    address: str
    web: str
    ports: Ports
    supervisor: psutil.Process
    simulators: psutil.Process

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that run now."""
        return [child for child in self.supervisor.children() if child.is_running()]

    def simulator(self) -> SimulatorClient:
        """Return a client of the simulators' control API."""
        return SimulatorClient(self.ports.control)


def config_toml(
    directory: Path, credentials: SimulatorCredentials, ports: Ports, grpc_port: int, web_port: int,
    options: StandOptions,
) -> str:  # fmt: skip
    """Return a gateway's settings for the simulators of a stand."""
    return f"""
data_dir = {json.dumps(str(directory / "data"))}
[server]
listen = "127.0.0.1:{grpc_port}"
workers = {options.workers}
drain_s = 5.0
[web]
listen = "127.0.0.1:{web_port}"
[[apps]]
id = "{APP}"
{_HOLDS_NOTHING}
[apps.apns]
topic = "{TOPIC}"
team_id = "{TEAM_ID}"
key_id = "{KEY_ID}"
key_file = {json.dumps(str(credentials.apns_key))}
host = "127.0.0.1"
port = {ports.apns}
connections = {options.apns_connections}
ca_file = {json.dumps(str(credentials.ca_certificate))}
[apps.fcm]
project_id = "{PROJECT_ID}"
service_account_file = {json.dumps(str(credentials.service_account))}
host = "127.0.0.1"
port = {ports.fcm}
connections = {options.fcm_connections}
ca_file = {json.dumps(str(credentials.ca_certificate))}
quota_per_minute = 1000000000
{options.settings}
"""


@dataclass(frozen=True, slots=True)
class Simulators:
    """Running simulators, and where a gateway finds what it needs to talk to them."""

    directory: Path
    credentials: SimulatorCredentials
    ports: Ports
    process: psutil.Process

    def simulator(self) -> SimulatorClient:
        """Return a client of the control API."""
        return SimulatorClient(self.ports.control)

    def apart(self, name: str) -> Simulators:
        """Return the same ones for a gateway that finds no data of an earlier one."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        return replace(self, directory=directory)


@asynccontextmanager
async def simulators(options: StandOptions) -> AsyncIterator[Simulators]:
    """Run simulators until left; then remove what was written, unless a directory was given."""
    with tempfile.TemporaryDirectory(prefix="walletpush-bench-") as made:
        directory = options.directory or Path(made)
        credentials = make_credentials(directory / "simulators")
        process = await _start_simulators(directory / "simulators", options)
        try:
            ports = read_ports(directory / "simulators")
            yield Simulators(directory, credentials, ports, psutil.Process(process.pid))
        finally:
            await stop(process)


@asynccontextmanager
async def stand(options: StandOptions) -> AsyncIterator[Stand]:
    """Run simulators and a gateway until left; then stop both."""
    async with simulators(options) as found, gateway(found, options) as place:
        yield place


@asynccontextmanager
async def gateway(found: Simulators, options: StandOptions) -> AsyncIterator[Stand]:
    """Run a gateway beside simulators until left; one after the other of them finds the same data."""
    process, address, web = await _start_gateway(found, options)
    try:
        yield Stand(found.directory, address, web, found.ports, psutil.Process(process.pid), found.process)
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process, wait_s: float = 20.0) -> int:
    """End a process by SIGTERM, then by SIGKILL; return its exit code."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), wait_s)
        except TimeoutError:
            process.kill()
    return await process.wait()


async def _start_simulators(directory: Path, options: StandOptions) -> asyncio.subprocess.Process:
    words = [sys.executable, "-m", "adapters.simulators", str(directory), "--mode", options.mode]
    words += ["--error-one-in", str(options.error_one_in)] if options.error_one_in else []
    (directory / PORTS_FILE).unlink(missing_ok=True)
    process = await spawn(words, OTHER_CORE if options.pinned else None, directory / "simulators.log")
    try:
        await _until(lambda: (directory / PORTS_FILE).exists(), process)
    except BaseException:
        await stop(process)
        raise
    return process


async def _start_gateway(
    found: Simulators, options: StandOptions
) -> tuple[asyncio.subprocess.Process, str, str]:
    directory = found.directory
    grpc_port, web_port = free_port(), free_port()
    path = directory / "walletpush.toml"
    path.write_text(config_toml(directory, found.credentials, found.ports, grpc_port, web_port, options))
    probed = ["bench.probed_gateway", "--out", str(directory / ANSWERS_FILE)]
    words = [sys.executable, "-m", *(probed if options.probed else ["gateway", "serve"]), "--config", str(path)]
    process = await spawn(words, GATEWAY_CORE if options.pinned else None, directory / "gateway.log")
    web = f"http://127.0.0.1:{web_port}"
    try:
        await _until_ready(web, process, directory / "gateway.log")
    except BaseException:
        await stop(process)
        raise
    return process, f"127.0.0.1:{grpc_port}", web


async def spawn(words: Sequence[str], core: int | None, log: Path) -> asyncio.subprocess.Process:
    """Start a command, on one core unless that is None, its output in a file."""
    pinned = ["taskset", "-c", str(core), *words] if core is not None else list(words)
    environment: Mapping[str, str] = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(*pinned, stdout=file, stderr=file, env=environment)


async def _until_ready(web: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with aiohttp.ClientSession() as session:
        deadline_s = time.monotonic() + _READY_S
        while True:
            if process.returncode is not None or time.monotonic() > deadline_s:
                last = log.read_text(errors="replace")[-_LOG_TAIL:]
                raise RuntimeError(f"the gateway is not ready, exit code {process.returncode}: {last}")
            with suppress(aiohttp.ClientError):
                async with session.get(f"{web}/readyz", timeout=_ASK) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _until(done: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_READY_S):
        while not done():
            if process.returncode is not None:
                raise RuntimeError(f"the simulators ended with {process.returncode}")
            await asyncio.sleep(0.02)


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
