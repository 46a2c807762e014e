"""An HTTP proxy that leads CONNECT to Apple's hosts to the simulators, and anything else nowhere.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from adapters.simulators.settings import Ports

_HOST = "127.0.0.1"
_HEAD_S = 10.0
_CHUNK_BYTES = 1 << 18
_OPEN = b"HTTP/1.1 200 Connection Established\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


def apple_targets(ports: Ports) -> dict[str, int]:
    """Return which port of loopback stands for which of Apple's authorities."""
    return {"api.push.apple.com:443": ports.apns, "api.sandbox.push.apple.com:443": ports.sandbox}


@asynccontextmanager
async def connect_proxy(targets: Mapping[str, int]) -> AsyncIterator[str]:
    """Serve on a free port of loopback until left, yielding the proxy's URL; open tunnels are cut then."""
    proxy = _Proxy(targets)
    server = await asyncio.start_server(proxy.serve, _HOST, 0)
    try:
        yield f"http://{_HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await proxy.close()


class _Proxy:
    def __init__(self, targets: Mapping[str, int]) -> None:
        self._targets = targets
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one client from its request to the end of its tunnel."""
        tunnel = asyncio.current_task()
        assert tunnel is not None
        self._tunnels.add(tunnel)
        # A client or a simulator that went away has ended its tunnel: that is all there is to know.
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                await self._tunnel(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tunnels.discard(tunnel)
            writer.close()

    async def close(self) -> None:
        """Cut every tunnel."""
        tunnels = tuple(self._tunnels)
        for tunnel in tunnels:
            tunnel.cancel()
        await asyncio.gather(*tunnels)

    async def _tunnel(self, reader: StreamReader, writer: StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        port = self._port(head)
        if isinstance(port, bytes):
            writer.write(port)
            return
        far_reader, far_writer = await asyncio.open_connection(_HOST, port)
        writer.write(_OPEN)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer))
                both.create_task(_pump(far_reader, writer))
        finally:
            far_writer.close()

    def _port(self, head: bytes) -> int | bytes:
        """Return where a request wants to, or the answer of one that may not."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or words[0] != b"CONNECT":
            return _BAD_REQUEST
        return self._targets.get(words[1].decode("latin-1").lower(), _FORBIDDEN)


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    """Copy until one side is at its end, then end the other, so that its own pump comes to an end too."""
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
