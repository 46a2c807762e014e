"""A tunnel through an HTTP proxy by CONNECT: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6."""

import asyncio
from base64 import b64encode

from adapters.http2.errors import ProxyRefused
from adapters.http2.options import Proxy

MAX_ANSWER_BYTES = 8192


class _Tunnel(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT, which must be all that it says before TLS begins."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received or len(self._received) > MAX_ANSWER_BYTES:
            self._settle(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(self._received)

    def _settle(self, received: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(received)


async def open_tunnel(proxy: Proxy, host: str, port: int) -> asyncio.Transport:
    """Connect to the proxy and have it connect to `host:port`; the caller starts TLS on what is returned.

    Raises ProxyRefused for any answer but 2xx, OSError when the proxy cannot be reached. The caller bounds the time.
    """
    transport, tunnel = await asyncio.get_running_loop().create_connection(_Tunnel, proxy.host, proxy.port)
    try:
        transport.write(_request(proxy, host, port))
        _check(await tunnel.answer, f"{host}:{port}")
    except BaseException:
        transport.abort()
        raise
    return transport


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.user:
        credentials = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    return "\r\n".join([*lines, "", ""]).encode()


def _check(answer: bytes, target: str) -> None:
    head, end, rest = answer.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    words = line.split(" ", 2)
    if not end or len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ProxyRefused(target, 0, f"the proxy's answer is not HTTP: {line[:100]!r}")
    if not words[1].startswith("2"):
        raise ProxyRefused(target, int(words[1]), f"the proxy answered {line[:200]!r}")
    if rest:
        raise ProxyRefused(target, int(words[1]), "the proxy sent bytes of its own into the tunnel")
