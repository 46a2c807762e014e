"""From a target to a ready connection: resolve, connect or tunnel, TLS, first SETTINGS, under one timeout."""

import asyncio
import random
import socket
import ssl

from adapters.http2.connection import Connection, Listener
from adapters.http2.errors import AddressRefused, CertificateRefused, ConnectFailed, HandshakeTimedOut, SessionBroken
from adapters.http2.options import ConnectionOptions, Target
from adapters.http2.proxy import open_tunnel

TLS_SHUTDOWN_S = 2.0


async def dial(target: Target, options: ConnectionOptions, listener: Listener) -> Connection:
    """Return a connection that has the server's SETTINGS and may be used at once.

    The name is resolved anew each time and its addresses are tried in random order.
    Raises ConnectFailed or one of its kinds.
    """
    connection = Connection(str(target), options, listener)
    try:
        async with asyncio.timeout(options.handshake_timeout_ms / 1000):
            await (_tunnel(target, connection) if target.proxy else _connect(target, connection))
            await connection.ready
    except TimeoutError as late:
        raise HandshakeTimedOut(str(target), f"not ready within {options.handshake_timeout_ms} ms") from late
    except ssl.SSLCertVerificationError as refused:
        raise CertificateRefused(str(target), refused.verify_message or str(refused)) from refused
    except (OSError, SessionBroken) as failed:
        raise ConnectFailed(str(target), str(failed) or type(failed).__name__) from failed
    finally:
        if not connection.ready.done() or connection.ready.cancelled() or connection.ready.exception() is not None:
            connection.abort("not ready")
    return connection


async def _connect(target: Target, connection: Connection) -> None:
    failure: OSError | None = None
    for address in await _resolve(target):
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, address, target.port, ssl=target.tls,
                server_hostname=target.server_name or target.host, ssl_shutdown_timeout=TLS_SHUTDOWN_S,
            )
        except ssl.SSLError:
            raise
        except OSError as failed:
            failure = failed
        else:
            return
    raise failure or AddressRefused(str(target), "no address")


async def _resolve(target: Target) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except socket.gaierror as failed:
        raise AddressRefused(str(target), f"the name does not resolve: {failed}") from failed
    addresses = [str(entry[4][0]) for entry in found]
    if target.allow_address is not None:
        addresses = [address for address in addresses if target.allow_address(address)]
    if not addresses:
        raise AddressRefused(str(target), "no address of it may be used")
    random.shuffle(addresses)
    return addresses


async def _tunnel(target: Target, connection: Connection) -> None:
    if target.proxy is None:
        return
    transport = await open_tunnel(target.proxy, target.host, target.port)
    try:
        tls = await asyncio.get_running_loop().start_tls(
            transport, connection, target.tls, server_hostname=target.server_name or target.host,
            ssl_shutdown_timeout=TLS_SHUTDOWN_S,
        )
    except BaseException:
        transport.abort()
        raise
    if tls is None:
        raise ConnectionResetError("the tunnel closed during TLS")
    # start_tls() leaves out connection_made(), and ALPN is known only now.
    connection.connection_made(tls)
