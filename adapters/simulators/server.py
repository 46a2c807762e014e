"""Runs the simulators: inside a test, or as processes of their own until they are told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from adapters.simulators.control import Control
from adapters.simulators.control_server import announce, serve_control, until_told, write_ports
from adapters.simulators.credentials import make_credentials
from adapters.simulators.fleet import run_fleet
from adapters.simulators.settings import SimulatorSettings
from adapters.simulators.simulation import Simulation


def simulate(settings: SimulatorSettings) -> None:
    """Run until SIGTERM or SIGINT. When ready, print one JSON line with the ports, which `ports.json` holds as well."""
    uvloop.run(_run_until_told(settings))


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


async def _run_until_told(settings: SimulatorSettings) -> None:
    async with run_fleet(settings) if settings.workers > 1 else run_simulators(settings) as running:
        announce(running.ports)
        await until_told(stdin_closes=settings.until_stdin_closes)
