"""A connection's transport that ends in a provider of the same process, without TLS and the kernel."""

from __future__ import annotations

import asyncio
from typing import Any

from adapters.http2.connection import Connection
from adapters.http2.server_session import ServerSession
from adapters.simulators.fast import apns_answers
from bench.stages.budget import LOOP, PROVIDER
from bench.stages.marks import Marks


class Wire(asyncio.Transport):
    """A transport that ends in a fast server of this process; what that costs is booked on nobody's stage."""

    def __init__(self, connection: Connection, marks: Marks) -> None:
        super().__init__()
        self._connection = connection
        self._marks = marks
        self._server = ServerSession(max_streams=1_000, window_bytes=1 << 20, canned=apns_answers())
        self._answered = bytearray()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return itself as the TLS object of an h2 connection."""
        return self if name == "ssl_object" else default

    def selected_alpn_protocol(self) -> str:
        """Name HTTP/2."""
        return "h2"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Hold any amount."""

    def is_closing(self) -> bool:
        """Tell that it never closes."""
        return False

    def close(self) -> None:
        """End the connection at the loop's next turn."""
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def abort(self) -> None:
        """End the connection at the loop's next turn."""
        self.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Have the server answer at the loop's next turn."""
        before = self._marks.enter(PROVIDER)
        self._server.receive(bytearray(data), len(data))
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._answered += self._server.drain()
        self._marks.enter(before)

    def _deliver(self) -> None:
        before = self._marks.enter(PROVIDER)
        answered, self._answered = self._answered, bytearray()
        while answered:
            buffer = self._connection.get_buffer(-1)
            size = min(len(buffer), len(answered))
            buffer[:size] = answered[:size]
            del answered[:size]
            self._marks.enter(LOOP)
            self._connection.buffer_updated(size)
            self._marks.enter(PROVIDER)
        self._marks.enter(before)
