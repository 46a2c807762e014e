"""An HTTP/2 server, a listener that records, and requests to send: what the engine's tests have in common."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapters.http2.connection import Connection, State
from adapters.http2.dial import dial
from adapters.http2.exchange import Exchange
from adapters.http2.faults import Faults
from adapters.http2.headers import HeaderBlock
from adapters.http2.options import ConnectionOptions, Target
from adapters.http2.server import Handler, Http2Server
from adapters.http2.server_session import ServerRequest
from tests.fixtures_tls import tls_files

HEAD = HeaderBlock(
    [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), (b"apns-topic", b"com.example")]
)
QUICK = ConnectionOptions(
    request_timeout_ms=2_000, handshake_timeout_ms=1_000, ping_timeout_ms=200, drain_timeout_ms=1_000
)


def an_exchange(number: int = 0, body: bytes = b"{}", path: bytes = b"/3/device/ab") -> Exchange:
    return Exchange(HEAD, path, (b"apns-id", b"%d" % number), body, number)


def exchanges(count: int, body: bytes = b"{}") -> list[Exchange]:
    return [an_exchange(number, body) for number in range(count)]


def say_ok(requests: list[ServerRequest]) -> None:
    for request in requests:
        request.respond(200)


class Recorder:
    """Listens to connections, or to a pool, and lets a test wait for what it expects."""

    def __init__(self) -> None:
        self.answers: list[Exchange] = []
        self.batches: list[int] = []
        self.capacity_calls = 0
        self._woken = asyncio.Event()

    def on_answers(self, connection: Connection, finished: list[Exchange]) -> None:
        self.take(finished)

    def on_change(self, connection: Connection) -> None:
        self._woken.set()

    def take(self, finished: list[Exchange]) -> None:
        self.answers.extend(finished)
        self.batches.append(len(finished))
        self._woken.set()

    def on_capacity(self) -> None:
        self.capacity_calls += 1
        self._woken.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait until a condition holds that only the recorded events, or the server's, can make true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._woken.clear()
                try:
                    async with asyncio.timeout(0.02):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def until_answered(self, count: int) -> None:
        await self.until(lambda: len(self.answers) >= count)

    def fates(self) -> Counter[str]:
        return Counter(each.fate.name for each in self.answers)


@asynccontextmanager
async def serving(
    handler: Handler = say_ok, *, faults: Faults | None = None, max_streams: int = 1000, window_bytes: int = 65_535,
    alpn: str = "h2", client_certificate: bool = False,
) -> AsyncIterator[Http2Server]:
    tls = tls_files().server_context(alpn, client_certificate=client_certificate)
    server = Http2Server(handler, tls, faults=faults, max_streams=max_streams, window_bytes=window_bytes)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def target_of(server: Http2Server) -> Target:
    return Target("localhost", server.port, tls_files().client_context(), allow_address="127.0.0.1".__eq__)


@asynccontextmanager
async def connected(
    server: Http2Server, listener: Recorder, options: ConnectionOptions = QUICK
) -> AsyncIterator[Connection]:
    connection = await dial(target_of(server), options, listener)
    try:
        yield connection
    finally:
        if connection.state is not State.CLOSED:
            connection.abort("test over")
        await connection.closed.wait()
