"""Starts a peer's process on the gateways' core and ends it."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers.peer import Command
from bench.stand import GATEWAY_CORE, stop


class PeerEnded(RuntimeError):
    """A peer's process ended while it was needed; its log tells why."""


@asynccontextmanager
async def serving(command: Command, log: Path) -> AsyncIterator[Process]:
    """Run a peer that is reached over the network, until left."""
    with log.open("ab") as file:
        process = await _start(command, DEVNULL, file.fileno(), file.fileno())
    try:
        yield process
    finally:
        await stop(process)


@asynccontextmanager
async def piped(command: Command, log: Path, output: int) -> AsyncIterator[Process]:
    """Run a peer that is reached by its standard input, until left. output: a file descriptor."""
    with log.open("ab") as file:
        process = await _start(command, PIPE, output, file.fileno())
    try:
        yield process
    finally:
        await stop(process)


async def _start(command: Command, stdin: int, stdout: int, stderr: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(GATEWAY_CORE), *command.words),
        stdin=stdin, stdout=stdout, stderr=stderr, env=command.variables(), cwd=command.directory,
    )  # fmt: skip
