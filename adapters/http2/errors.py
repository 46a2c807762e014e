"""The failures of HTTP/2 connections; a server's refusal is an answer, not an error, and is not here.

Failure (core.errors)
+-- Http2Failure
    +-- SessionBroken          the peer or the library broke the protocol beyond repair
    +-- NoCapacity             no stream became free in time; the request was not sent
    +-- ConnectFailed          no usable connection came up
        +-- AddressRefused     the name resolves to nothing, or only to addresses that are not allowed
        +-- CertificateRefused the peer's certificate does not verify
        +-- NotHttp2           the peer did not choose h2 by ALPN
        +-- HandshakeTimedOut  TCP, proxy, TLS or the first SETTINGS took too long
        +-- ProxyRefused       the proxy answered CONNECT with something else than 2xx
"""

from core.errors import Failure


class Http2Failure(Failure):
    """An HTTP/2 connection failed."""


class SessionBroken(Http2Failure):
    """The HTTP/2 session cannot go on."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class NoCapacity(Http2Failure):
    """No stream became free in time; the request was not sent."""


class ConnectFailed(Http2Failure):
    """No usable connection came up."""

    def __init__(self, target: str, why: str) -> None:
        super().__init__(f"{target}: {why}")
        self.target = target
        self.why = why


class AddressRefused(ConnectFailed):
    """The name resolves to no address that may be used."""


class CertificateRefused(ConnectFailed):
    """The peer's certificate does not verify."""


class NotHttp2(ConnectFailed):
    """The peer did not choose h2 by ALPN."""


class HandshakeTimedOut(ConnectFailed):
    """The connection was not ready in time."""


class ProxyRefused(ConnectFailed):
    """The proxy answered CONNECT with something else than 2xx."""

    def __init__(self, target: str, status: int, why: str) -> None:
        super().__init__(target, why)
        self.status = status
