"""Runs the simulators: inside a test, or as a process of their own until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from adapters.simulators.control import Control
from adapters.simulators.credentials import make_credentials
from adapters.simulators.settings import PORTS_FILE, Ports, SimulatorSettings
from adapters.simulators.simulation import Simulation


@asynccontextmanager
async def run_simulators(settings: SimulatorSettings) -> AsyncIterator[Simulation]:
    """Run everything on this loop while the context is open; `workers` is not looked at here."""
    credentials = make_credentials(settings.directory)
    async with asyncio.TaskGroup() as tasks:
        simulation = Simulation(settings, credentials, tasks)
        try:
            await simulation.start()
            async with serve_control(Control(simulation).application(), settings.host, settings.ports.control) as port:
                simulation.ports = simulation.ports._replace(control=port)
                write_ports(settings.directory, simulation.ports)
                yield simulation
        finally:
            await simulation.close()


@asynccontextmanager
async def serve_control(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve a control API while the context is open; gives the port."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def simulate(settings: SimulatorSettings) -> None:
    """Run until SIGTERM or SIGINT. When ready, print one JSON line with the ports, which `ports.json` holds as well."""
    uvloop.run(run_until_stopped(settings))


async def run_until_stopped(settings: SimulatorSettings) -> None:
    """Run, announce the ports, wait for SIGTERM or SIGINT, close."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with run_simulators(settings) as simulation:
        announce(simulation.ports)
        await stopped.wait()


def announce(ports: Ports) -> None:
    """Print the line that says that the simulators are ready."""
    sys.stdout.write(json.dumps({"event": "ready", **ports._asdict()}) + "\n")
    sys.stdout.flush()


def write_ports(directory: Path, ports: Ports) -> None:
    """Write `ports.json` at once, so that nobody reads half of it."""
    draft = directory / f"{PORTS_FILE}.new"
    draft.write_text(json.dumps(ports._asdict()))
    draft.replace(directory / PORTS_FILE)
