"""The processes of the demonstration: simulated providers and a gateway, over a directory that goes away with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from adapters.simulators.client import read_ports
from adapters.simulators.control import FAULTS
from adapters.simulators.credentials import KEY_ID, PROJECT_ID, TEAM_ID, TOPIC, SimulatorCredentials, make_credentials
from adapters.simulators.settings import PORTS_FILE, Ports
from gateway.demo.plan import APP, Plan
from gateway.demo.weather import FAIR

READY_S = 30.0
STOP_S = 15.0
POLL_S = 0.05


class StageFailedError(Exception):
    """A process of the demonstration did not come up, or ended early."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is; address: of the gateway, web_port: of its metrics."""

    directory: Path
    address: str
    web_port: int
    ports: Ports


@asynccontextmanager
async def set_up(plan: Plan, *, keep: bool) -> AsyncIterator[Stage]:
    """Run everything while the context is open. Raises StageFailedError."""
    directory = Path(tempfile.mkdtemp(prefix="walletpush-demo-"))
    try:
        credentials = make_credentials(directory / "simulators")
        faults = FAULTS.dump_json(FAIR).decode()
        words = ["adapters.simulators", str(credentials.directory), "--until-stdin-closes", "--faults", faults]
        async with _process(words, directory / "simulators.log") as simulators:
            ports_file = credentials.directory / PORTS_FILE
            await _ready(simulators, lambda: asyncio.to_thread(ports_file.exists), directory / "simulators.log")
            ports = read_ports(credentials.directory)
            grpc_port, web_port = _free_port(), _free_port()
            config = directory / "walletpush.toml"
            config.write_text(_config(plan, credentials, ports, grpc_port, web_port))
            words = ["gateway", "serve", "--config", str(config)]
            async with _process(words, directory / "gateway.log") as gateway:
                await _ready(gateway, lambda: _answers(web_port), directory / "gateway.log")
                yield Stage(directory, f"127.0.0.1:{grpc_port}", web_port, ports)
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def _process(words: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    # Ctrl-C in a terminal reaches a whole session at once; only we shall hear it, and end the others in order.
    with log.open("wb") as output:
        words = [sys.executable, "-m", *words]
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _ready(process: asyncio.subprocess.Process, is_ready: Callable[[], Awaitable[bool]], log: Path) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not await is_ready():
                if process.returncode is not None:
                    raise StageFailedError(f"ended with code {process.returncode}:\n{_tail(log)}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise StageFailedError(f"not ready after {READY_S:.0f} s:\n{_tail(log)}") from None


async def _answers(web_port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{web_port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _config(plan: Plan, credentials: SimulatorCredentials, ports: Ports, grpc_port: int, web_port: int) -> str:
    return _gateway_toml(plan, grpc_port, web_port) + _app_toml(credentials, ports)


def _gateway_toml(plan: Plan, grpc_port: int, web_port: int) -> str:
    return f"""\
data_dir = "data"

[server]
listen = "127.0.0.1:{grpc_port}"
workers = {plan.workers}
drain_s = 5.0

[web]
listen = "127.0.0.1:{web_port}"

[dispatch]
backoff_base_ms = 200
backoff_cap_ms = 2000
breaker_window_s = 2.0
breaker_open_s = 1.0
breaker_open_cap_s = 2.0
"""


def _app_toml(credentials: SimulatorCredentials, ports: Ports) -> str:
    path = json.dumps
    ca_file = path(str(credentials.ca_certificate))
    return f"""
[[apps]]
id = "{APP}"

# It may be night where somebody tries this, and service notices would wait for the morning.
[apps.policy]
quiet_windows = []

[apps.apns]
topic = "{TOPIC}"
team_id = "{TEAM_ID}"
key_id = "{KEY_ID}"
key_file = {path(str(credentials.apns_key))}
host = "127.0.0.1"
port = {ports.apns}
ca_file = {ca_file}

[apps.fcm]
project_id = "{PROJECT_ID}"
service_account_file = {path(str(credentials.service_account))}
host = "127.0.0.1"
port = {ports.fcm}
ca_file = {ca_file}
"""
