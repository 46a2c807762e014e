"""Drives a peer that is a library: a small program around it takes requests and answers them, as lines.

A request is "<number> <JSON array of [token, title, body]>", an answer "<number> ok" or "<number> <what failed>".
"""

from __future__ import annotations

import asyncio
import os
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import orjson
import psutil

from bench.peers.peer import Command
from bench.peers.process import PeerEnded, piped
from bench.under_test import NotTaken, Push

_READY = b"ready"
_READY_S = 30.0


class _Answers(asyncio.Protocol):
    """The program's output: who waits for which line."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self._waiting: dict[bytes, asyncio.Future[str]] = {}
        self._rest = b""

    def wait_for(self, number: bytes) -> asyncio.Future[str]:
        """Return what becomes the answer of a request. Raises PeerEnded."""
        if self.ended:
            raise PeerEnded
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        return answer

    def data_received(self, data: bytes) -> None:
        """Settle what whole lines there are."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._settle(line)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait that nothing comes."""
        self.ended = True
        if not self.ready.done():
            self.ready.set_exception(PeerEnded())
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(PeerEnded())

    def _settle(self, line: bytes) -> None:
        if line == _READY:
            self.ready.set_result(None)
            return
        number, _, said = line.partition(b" ")
        waiting = self._waiting.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(said.decode(errors="replace"))


class RunningLines:
    """A running program; use `run_lines`."""

    def __init__(self, pid: int, writer: StreamWriter, answers: _Answers) -> None:
        self._processes = (psutil.Process(pid),)
        self._writer = writer
        self._answers = answers
        self._numbers = count(1)

    def prepare(self, pushes: Sequence[Push]) -> bytes:
        """Make the line of a request, but for its number."""
        return orjson.dumps([(push.token, push.title, push.body) for push in pushes])

    async def send(self, request: bytes) -> None:
        """Write a request and await its answer. Raises NotTaken, PeerEnded."""
        number = b"%d" % next(self._numbers)
        answer = self._answers.wait_for(number)
        self._writer.write(b"%b %b\n" % (number, request))
        if (said := await answer) != "ok":
            raise NotTaken(said)

    def processes(self) -> Sequence[psutil.Process]:
        """Return the program's process."""
        return self._processes


@asynccontextmanager
async def run_lines(command: Command, log: Path) -> AsyncIterator[RunningLines]:
    """Run a program until left. Raises PeerEnded or TimeoutError if it does not say that it is ready."""
    ours, theirs = os.pipe()
    transport, answers = await asyncio.get_running_loop().connect_read_pipe(_Answers, os.fdopen(ours, "rb", 0))
    try:
        async with piped(command, log, theirs) as process:
            os.close(theirs)
            theirs = -1
            async with asyncio.timeout(_READY_S):
                await answers.ready
            assert process.stdin is not None
            yield RunningLines(process.pid, process.stdin, answers)
    finally:
        transport.close()
        if theirs >= 0:
            os.close(theirs)
