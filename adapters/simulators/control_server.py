"""Serves a control API and tells the world where the simulators are."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from adapters.simulators.settings import PORTS_FILE, Ports


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


def announce(ports: Ports) -> None:
    """Print the line that says that the simulators are ready."""
    sys.stdout.write(json.dumps({"event": "ready", **ports._asdict()}) + "\n")
    sys.stdout.flush()


def write_ports(directory: Path, ports: Ports) -> None:
    """Write `ports.json` in one step, so that nobody reads half of it."""
    draft = directory / f"{PORTS_FILE}.new"
    draft.write_text(json.dumps(ports._asdict()))
    draft.replace(directory / PORTS_FILE)


async def until_told(*, stdin_closes: bool) -> None:
    """Wait for SIGTERM or SIGINT, or for the end of standard input as well."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if stdin_closes:
        loop.add_reader(sys.stdin.fileno(), told.set)
    await told.wait()
