"""One HTTP/2 connection to a provider: an asyncio Protocol around the sans-IO session, from TLS up to the farewell."""

import asyncio
import random
import time
from enum import StrEnum
from typing import Protocol, cast

from adapters.http2.errors import ConnectFailed, NotHttp2, SessionBroken
from adapters.http2.exchange import Exchange
from adapters.http2.options import ConnectionOptions
from adapters.http2.session import ClientSession

BUFFER_BYTES = 262_144
MAX_TICK_MS = 250
WRITE_HIGH_BYTES = 1_048_576


class State(StrEnum):
    """CONNECTING until the server's SETTINGS, then READY; DRAINING opens no more streams."""

    CONNECTING = "connecting"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


class Listener(Protocol):
    """Who is told what happens on a connection; both are called on the loop, outside of any submit."""

    def on_answers(self, connection: "Connection", exchanges: list[Exchange]) -> None:
        """Take the exchanges that ended, each exactly once."""

    def on_change(self, connection: "Connection") -> None:
        """Learn that the state changed or that capacity may have appeared."""


class Connection(asyncio.BufferedProtocol):
    """Carries exchanges from READY on; every submitted one comes back once through the listener.

    `reason` says why it is draining or closed. `left` is set when it takes no more requests, `closed` at its end.
    """

    def __init__(self, name: str, options: ConnectionOptions, listener: Listener) -> None:
        self.name = name
        self.state = State.CONNECTING
        self.reason = ""
        self.goaway_debug = b""
        self.goaway_code = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()
        self.closed = asyncio.Event()
        self._options = options
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._session = ClientSession(
            options.wanted, owner=self, max_streams=options.max_streams, cautious=options.cautious,
            first_stream_id=options.first_stream_id,
        )
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._paused = False
        self._inside = False
        self._told_streams = 0
        self._made_ns = self._heard_ns = time.monotonic_ns()
        self._pinged_ns = 0
        self._pings_seen = 0
        self._drain_by_ns = self._starved_ns = 0
        jitter = random.randrange(options.age_jitter_percent + 1) if options.age_jitter_percent else 0  # noqa: S311
        self._age_ns = options.max_age_ms * (100 - jitter) * 10_000
        self._tick_s = max(1, min(MAX_TICK_MS, options.request_timeout_ms // 8, options.ping_timeout_ms // 4)) / 1000
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.name} {self.state} live={self.live}>"

    @property
    def capacity(self) -> int:
        """Streams that may be opened now."""
        return 0 if self._paused or self.state is not State.READY else self._session.capacity

    @property
    def live(self) -> int:
        """Exchanges in flight."""
        return self._session.live

    @property
    def max_streams(self) -> int:
        """What the server allows now, within our own limit."""
        return self._session.max_streams

    @property
    def bytes_in(self) -> int:
        """HTTP/2 bytes received, TLS apart."""
        return self._session.bytes_in

    @property
    def bytes_out(self) -> int:
        """HTTP/2 bytes written, TLS apart."""
        return self._session.bytes_out

    def submit(self, exchanges: list[Exchange], start: int = 0, stop: int = -1) -> int:
        """Send as many of `exchanges[start:stop]` as there are free streams, in one write; return how many."""
        if self._paused or self.state is not State.READY:
            return 0
        taken = self._session.submit(exchanges, time.monotonic_ns(), start, stop)
        if not self._inside:
            self._flush()
        return taken

    def retire(self, reason: str) -> None:
        """Open no more streams, wait a bounded time for what is in flight, then say farewell and close."""
        if self.state is State.CONNECTING:
            self.abort(reason)
        elif self.state is State.READY:
            self.state = State.DRAINING
            self.reason = reason
            self.left.set()
            self._drain_by_ns = time.monotonic_ns() + self._options.drain_timeout_ms * 1_000_000
            self._listener.on_change(self)
            if not self._inside:
                self._close_if_drained()

    def abort(self, reason: str) -> None:
        """Drop the connection now; what is in flight ends as UNKNOWN or NOT_SENT."""
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()
        self._end(ConnectFailed(self.name, self.reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2 if ALPN chose it."""
        self._transport = cast("asyncio.Transport", transport)
        if self.state is State.CLOSED:
            self._transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":
            self.reason = "the peer did not choose h2 by ALPN"
            self._transport.abort()
            self._end(NotHttp2(self.name, self.reason))
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer the one buffer of this connection; it is read out before the next call."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes, hand over what they completed as one batch, and write what that led to at once."""
        if self.state is State.CLOSED:
            return
        self._heard_ns = time.monotonic_ns()
        self._inside = True
        try:
            self._session.receive(self._buffer, nbytes)
            self._hand_over()
            self._note_changes()
        except SessionBroken as broken:
            self._fail(broken)
            return
        finally:
            self._inside = False
        self._flush()
        self._close_if_drained()

    def pause_writing(self) -> None:
        """Stop taking requests while the transport holds too many bytes."""
        self._paused = True

    def resume_writing(self) -> None:
        """Take requests again."""
        self._paused = False
        self._listener.on_change(self)

    def eof_received(self) -> None:
        """Let the transport close; HTTP/2 has no use for a half open connection."""
        self.reason = self.reason or "closed by the peer"

    def connection_lost(self, exc: Exception | None) -> None:
        """End whatever is still live, and hold nothing that could keep this connection in memory.

        The collector comes by seldom: with a reconnect a second 150 dead connections and their buffers were 38 MiB.
        """
        self._end(exc or ConnectionResetError(self.reason or "connection lost"))
        self._transport = None
        self._buffer = memoryview(b"")

    def _end(self, cause: Exception) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.reason = self.reason or str(cause) or type(cause).__name__
        if self._timer is not None:
            self._timer.cancel()
        if not self.ready.done():
            self.ready.set_exception(cause)
            self.ready.exception()
        self._session.lose()
        self.left.set()
        self.closed.set()
        self._hand_over()
        self._listener.on_change(self)

    def _fail(self, broken: SessionBroken) -> None:
        self.reason = self.reason or str(broken)
        if self._transport is not None:
            self._transport.abort()
        self._end(broken)

    def _hand_over(self) -> None:
        finished = self._session.take_finished()
        if finished:
            self._listener.on_answers(self, finished)

    def _note_changes(self) -> None:
        session = self._session
        if session.goaway_received and self.state is not State.DRAINING:
            self.goaway_debug = session.goaway_debug
            self.goaway_code = session.goaway_code
            self.retire(f"GOAWAY {session.goaway_code} {session.goaway_debug.decode('utf-8', 'replace')}".rstrip())
        if self.state is State.CONNECTING and session.settings_received:
            self.state = State.READY
            self.ready.set_result(None)
            self._listener.on_change(self)
        if session.max_streams != self._told_streams:
            self._told_streams = session.max_streams
            self._listener.on_change(self)
        if session.ids_left <= 0:
            self.retire("stream ids used up")

    def _flush(self) -> None:
        if self.state is State.CLOSED or self._transport is None or self._transport.is_closing():
            return
        try:
            data = self._session.drain()
        except SessionBroken as broken:
            # Not at once: a listener must not hear of the end inside its own submit.
            self._loop.call_soon(self._fail, broken)
            return
        if data:
            self._transport.write(data)
        if self._session.over:
            self._transport.close()
            self._loop.call_soon(self.retire, "the session is over")

    def _close_if_drained(self) -> None:
        transport = self._transport
        if self.state is not State.DRAINING or self._session.live or transport is None or transport.is_closing():
            return
        self._session.goaway()
        self._flush()
        transport.close()

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._inside = True
        try:
            self._session.expire(now_ns - self._options.request_timeout_ms * 1_000_000)
            self._hand_over()
        finally:
            self._inside = False
        if self.state is State.READY and now_ns - self._made_ns > self._age_ns:
            self.retire("age")
        self._retire_starved(now_ns)
        if self.state is State.DRAINING and now_ns > self._drain_by_ns:
            self.abort(f"{self.reason}; not drained in time")
        self._keep_alive(now_ns)
        self._flush()
        self._close_if_drained()

    def _retire_starved(self, now_ns: int) -> None:
        # MAX_CONCURRENT_STREAMS 0 is meant for a while: https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2
        if self.state is not State.READY or self._session.max_streams:
            self._starved_ns = 0
        elif not self._starved_ns:
            self._starved_ns = now_ns
        elif now_ns - self._starved_ns > self._options.starved_ms * 1_000_000:
            self.retire("no stream allowed")

    def _keep_alive(self, now_ns: int) -> None:
        if self._session.pings_answered != self._pings_seen:
            self._pings_seen = self._session.pings_answered
            self._pinged_ns = 0
        if self._pinged_ns:
            if now_ns - self._pinged_ns > self._options.ping_timeout_ms * 1_000_000:
                self.abort("PING not answered")
            return
        silence_ms = self._options.stall_ms if self._session.live else self._options.ping_interval_ms
        if now_ns - self._heard_ns > silence_ms * 1_000_000:
            self._pinged_ns = now_ns
            self._session.ping()
