"""The servers that clients push to: the fast simulator, one that refuses some, and one that echoes `apns-id`."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from adapters.http2.headers import HeaderBlock
from adapters.http2.server import Http2Server
from adapters.http2.server_session import CannedAnswer, ServerRequest
from adapters.http2.tls import server_context
from adapters.simulators.authority import CertificateAuthority
from adapters.simulators.fast import apns_answers, fast_server
from bench.quiet import SERVER_CORE, pinned

_ID = b"apns-id"
_REFUSALS = (
    (b"410", b'{"reason":"Unregistered","timestamp":1700000000000}'),
    (b"400", b'{"reason":"BadDeviceToken"}'),
    (b"429", b'{"reason":"TooManyRequests"}'),
)


class Kind(StrEnum):
    """GOOD accepts all, REFUSING three of four, ECHOING all, in Python and by their own apns-id."""

    GOOD = "good"
    REFUSING = "refusing"
    ECHOING = "echoing"


@dataclass(frozen=True, slots=True)
class Place:
    """A running server. directory: of its certificates."""

    directory: Path
    port: int
    server: psutil.Process


def prepare(directory: Path) -> Path:
    """Make the certificates that `running` needs."""
    CertificateAuthority.create(directory).issue_server("server")
    return directory


@contextmanager
def running(directory: Path, kind: Kind) -> Iterator[Place]:
    """Run a server on its core until left."""
    command = pinned(SERVER_CORE, sys.executable, "-m", "bench.egress", "serve", str(directory), kind)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline() if process.stdout else 0)
            yield Place(directory, port, psutil.Process(process.pid))
        finally:
            process.terminate()


async def serve(directory: Path, kind: Kind) -> None:
    """Print the port and serve until standard input ends."""
    tls = server_context(directory / "server.pem", directory / "server.key")
    server = _server(kind, tls)
    await server.start()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


def _server(kind: Kind, tls: ssl.SSLContext) -> Http2Server:
    if kind is Kind.ECHOING:
        return Http2Server(_echo, tls, window_bytes=1 << 20)
    return fast_server(tls, apns_answers() if kind is Kind.GOOD else _refusing_answers())


def _echo(requests: list[ServerRequest]) -> None:
    for request in requests:
        request.respond(200, extra=(_ID, dict(request.headers)[_ID]))


def _refusing_answers() -> tuple[CannedAnswer, ...]:
    """Return a round of answers in which every fourth is an error with a body, another one each time."""
    answers: list[CannedAnswer] = []
    for status, body in _REFUSALS:
        head = HeaderBlock(((b":status", status), (_ID, b"00000000-0000-4000-8000-000000000000")))
        answers += [*apns_answers() * 3, CannedAnswer(head, body)]
    return tuple(answers)
