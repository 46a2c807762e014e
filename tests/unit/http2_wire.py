"""A client's and a server's session joined in memory, their bytes cut wherever a test likes."""

from __future__ import annotations

from collections.abc import Callable

from adapters.http2.server_session import ServerRequest, ServerSession
from adapters.http2.session import ClientSession


class Wire:
    """Both ends of a connection; `cut` tells how many bytes of a pending chunk arrive at once."""

    def __init__(
        self, client: ClientSession | None = None, server: ServerSession | None = None,
        cut: Callable[[int], int] = lambda size: size,
    ) -> None:
        self.client = client or ClientSession()
        self.server = server or ServerSession()
        self.cut = cut
        self.run()

    def run(self) -> list[ServerRequest]:
        """Carry bytes until neither end has more to say; return the requests that arrived complete."""
        requests: list[ServerRequest] = []
        busy = True
        while busy:
            busy = self.carry(self.client, self.server) + self.carry(self.server, self.client) > 0
            requests += self.server.take_requests()
        return requests

    def carry(self, source: ClientSession | ServerSession, sink: ClientSession | ServerSession) -> int:
        """Carry what one end has to say; return how many bytes."""
        data = source.drain()
        position = 0
        while position < len(data):
            size = max(1, min(self.cut(len(data) - position), len(data) - position))
            sink.receive(bytearray(data[position : position + size]), size)
            position += size
        return len(data)
