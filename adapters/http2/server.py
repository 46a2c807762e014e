"""An HTTP/2 server for provider simulators and benchmarks: requests come in batches, answers leave in one write."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from adapters.http2.errors import SessionBroken
from adapters.http2.faults import Faults
from adapters.http2.server_session import CannedAnswer, ServerRequest, ServerSession

BUFFER_BYTES = 262_144

Handler = Callable[[list[ServerRequest]], None]


class Http2Server:
    """Listens on TLS and hands each batch of requests to `handler`, which answers now or later with `respond()`.

    `canned` answers, given in turn, bypass the handler and Python altogether. `faults` may be replaced at run time.
    """

    def __init__(
        self, handler: Handler, tls: ssl.SSLContext, *, faults: Faults | None = None, max_streams: int = 1000,
        window_bytes: int = 65_535, canned: tuple[CannedAnswer, ...] = (),
    ) -> None:
        self.handler = handler
        self.faults = faults or Faults()
        self.max_streams = max_streams
        self.window_bytes = window_bytes
        self.canned = canned
        self.connections: set[ServerConnection] = set()
        self.accepted = 0
        self.past_received = 0
        self.port = 0
        self._tls = tls
        self._listening: asyncio.Server | None = None

    @property
    def received(self) -> int:
        """How many requests came on all connections, present and past."""
        return self.past_received + sum(connection.session.received for connection in self.connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, reuse_port: bool = False) -> None:
        """Listen; `port` tells where. With reuse_port several processes may share the port."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: ServerConnection(self), host, port, ssl=self._tls, ssl_shutdown_timeout=1.0, backlog=512,
            reuse_port=reuse_port,
        )
        self.port = self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._listening is not None:
            self._listening.close()
        gone = [connection.gone for connection in self.connections]
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.gather(*(each.wait() for each in gone))

    def announce(self, max_streams: int) -> None:
        """Change MAX_CONCURRENT_STREAMS of present and future connections."""
        self.max_streams = max_streams
        for connection in self.connections:
            connection.announce(max_streams)

    def goaway(self, *, debug: bytes = b"") -> None:
        """Ask every client to leave; what was received is still answered."""
        for connection in self.connections:
            connection.goaway(debug=debug)


class ServerConnection(asyncio.BufferedProtocol):
    """One accepted connection; its methods let a handler misbehave through `request.owner`."""

    def __init__(self, server: Http2Server) -> None:
        self.server = server
        self.gone = asyncio.Event()
        self.session = ServerSession(
            self, max_streams=server.max_streams, window_bytes=server.window_bytes, canned=server.canned
        )
        self.taken = 0
        self._highest_handled = 0
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with SETTINGS, unless silence is ordered or the client did not choose h2."""
        self._transport = cast("asyncio.Transport", transport)
        self.server.connections.add(self)
        self.server.accepted += 1
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self.abort()
        else:
            self.flush()

    @property
    def peer_certificate(self) -> dict[str, object]:
        """The client's verified certificate as `SSLSocket.getpeercert` tells it; empty if it showed none."""
        found = None if self._transport is None else self._transport.get_extra_info("peercert")
        return cast("dict[str, object]", found or {})

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer the one buffer of this connection; it is read out before the next call."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes, let faults and handler at the completed requests, write what was answered at once."""
        if self.server.faults.silent:
            return
        self.session.awake = True
        try:
            self.session.receive(self._buffer, nbytes)
        except SessionBroken:
            self.abort()
            return
        requests = self.session.take_requests()
        if requests:
            self._handle(requests)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the open requests."""
        self.session.lose()
        if self in self.server.connections:
            self.server.connections.discard(self)
            self.server.past_received += self.session.received
        self.gone.set()

    def wake(self) -> None:
        """See to one write for all answers queued until the loop comes round."""
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is queued."""
        if self._transport is None or self.server.faults.silent or self.gone.is_set():
            return
        try:
            data = self.session.drain()
        except SessionBroken:
            self.abort()
            return
        if data:
            self._transport.write(data)
        if self.session.over:
            self._transport.close()

    def announce(self, max_streams: int) -> None:
        """Change MAX_CONCURRENT_STREAMS."""
        self.session.announce(max_streams, self.server.window_bytes)
        self.flush()

    def goaway(self, last_stream_id: int = -1, *, code: int = 0, debug: bytes = b"") -> None:
        """Send GOAWAY; by default all that was received will still be answered."""
        self.session.goaway(last_stream_id, code, debug)
        self.flush()

    def notice_shutdown(self) -> None:
        """Send the graceful first GOAWAY."""
        self.session.notice_shutdown()
        self.flush()

    def ping(self) -> None:
        """Send a PING."""
        self.session.ping()
        self.flush()

    def write_raw(self, data: bytes) -> None:
        """Write bytes behind the session's back, to break the protocol."""
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        """Reset the socket."""
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, requests: list[ServerRequest]) -> None:
        faults = self.server.faults
        before = self.taken
        self.taken += len(requests)
        if faults.abort_after and self.taken >= faults.abort_after:
            self.abort()
            return
        if faults.goaway_after and before < faults.goaway_after <= self.taken:
            requests = self._say_goaway(requests, faults)
        if faults.reset_one_in:
            requests = self._reset_some(requests, faults, before)
        if faults.black_hole or not requests:
            return
        self._highest_handled = max(self._highest_handled, *(request.stream_id for request in requests))
        if faults.delay_ms:
            self._loop.call_later(faults.delay_ms / 1000, self.server.handler, requests)
        else:
            self.server.handler(requests)

    def _say_goaway(self, requests: list[ServerRequest], faults: Faults) -> list[ServerRequest]:
        # Requests complete in any order, but GOAWAY draws its line by stream id: no id above it may have been handled.
        ids = sorted(request.stream_id for request in requests)
        kept_ids = ids[: max(0, len(ids) - faults.goaway_unprocessed)]
        last = max([self._highest_handled, *kept_ids])
        if faults.goaway_graceful:
            self.session.notice_shutdown()
        self.session.goaway(last, 0, faults.goaway_debug)
        return [request for request in requests if request.stream_id <= last]

    def _reset_some(self, requests: list[ServerRequest], faults: Faults, before: int) -> list[ServerRequest]:
        kept = []
        for number, request in enumerate(requests, before + 1):
            if number % faults.reset_one_in:
                kept.append(request)
            else:
                request.reset(faults.reset_code)
        return kept
