"""Drives a peer that takes its requests as JSON over HTTP/1.1."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.peers.peer import Command
from bench.peers.process import PeerEnded, serving
from bench.under_test import NotTaken, Push

_READY_S = 30.0
_ANSWER_S = 60.0
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Api:
    """How a gateway is asked. complaint: what is wrong with an answer's body, empty if nothing."""

    base: str
    push_path: str
    health_path: str
    write: Callable[[Sequence[Push]], bytes]
    complaint: Callable[[bytes], str]


class RunningPosting:
    """A running gateway; use `run_posting`."""

    def __init__(self, pid: int, session: aiohttp.ClientSession, api: Api) -> None:
        self._processes = (psutil.Process(pid),)
        self._session = session
        self._api = api
        self._url = api.base + api.push_path

    def prepare(self, pushes: Sequence[Push]) -> bytes:
        """Make one request's body."""
        return self._api.write(pushes)

    async def send(self, request: bytes) -> None:
        """Post a request. Raises NotTaken, aiohttp.ClientError when nobody is there."""
        async with self._session.post(self._url, data=request, headers=_JSON) as answer:
            body = await answer.read()
        if answer.status != 200:
            raise NotTaken(f"{answer.status} {body[:500]!r}")
        if wrong := self._api.complaint(body):
            raise NotTaken(wrong)

    def processes(self) -> Sequence[psutil.Process]:
        """Return the gateway's process."""
        return self._processes


@asynccontextmanager
async def run_posting(command: Command, log: Path, api: Api, connections: int) -> AsyncIterator[RunningPosting]:
    """Run a gateway until left. Raises PeerEnded or TimeoutError if it does not get well."""
    kept = aiohttp.TCPConnector(limit=connections, keepalive_timeout=600)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with (
        serving(command, log) as process,
        aiohttp.ClientSession(connector=kept, timeout=timeout) as session,
    ):
        await _until_well(session, api.base + api.health_path, process, log)
        yield RunningPosting(process.pid, session, api)


async def _until_well(session: aiohttp.ClientSession, url: str, process: Process, log: Path) -> None:
    async with asyncio.timeout(_READY_S):
        while process.returncode is None:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise PeerEnded(f"exit code {process.returncode}, see {log}")
