"""Coming up: certificates, ALPN, timeouts, addresses and proxies, each failure with its own name."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from adapters.http2.dial import dial
from adapters.http2.errors import (
    AddressRefused,
    CertificateRefused,
    ConnectFailed,
    HandshakeTimedOut,
    NotHttp2,
    ProxyRefused,
)
from adapters.http2.faults import Faults
from adapters.http2.options import Proxy, Target
from adapters.http2.tls import client_context, server_context
from tests.fixtures_http2 import QUICK, Recorder, connected, exchanges, serving, target_of
from tests.fixtures_tls import tls_files


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


async def test_certificate_of_another_name_is_refused(heard: Recorder) -> None:
    async with serving() as server:
        with pytest.raises(CertificateRefused, match=r"push\.example"):
            await dial(replace(target_of(server), server_name="push.example"), QUICK, heard)
        assert server.received == 0


async def test_certificate_of_an_unknown_authority_is_refused(heard: Recorder) -> None:
    async with serving() as server:
        with pytest.raises(CertificateRefused):
            await dial(replace(target_of(server), tls=client_context()), QUICK, heard)


async def test_our_contexts_ask_for_h2_and_verification() -> None:
    files = tls_files()
    client = client_context(extra_ca=files.ca, certificate=files.client.certificate, key=files.client.key)
    server = server_context(files.server.certificate, files.server.key, client_ca=files.ca)
    assert (client.verify_mode, client.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert client.minimum_version == server.minimum_version == ssl.TLSVersion.TLSv1_2
    assert server.verify_mode == ssl.CERT_REQUIRED


async def test_client_certificate_is_shown(heard: Recorder) -> None:
    files = tls_files()
    async with serving(client_certificate=True) as server:
        tls = client_context(extra_ca=files.ca, certificate=files.client.certificate, key=files.client.key)
        connection = await dial(replace(target_of(server), tls=tls), QUICK, heard)
        connection.submit(exchanges(1))
        await heard.until_answered(1)
        connection.abort("done")
        with pytest.raises(ConnectFailed):
            await dial(target_of(server), QUICK, heard)


async def test_peer_without_h2_is_refused(heard: Recorder) -> None:
    async with serving(alpn="http/1.1") as server:
        with pytest.raises(NotHttp2):
            await dial(target_of(server), QUICK, heard)


async def test_tls_without_settings_times_out(heard: Recorder) -> None:
    async with serving(faults=Faults(silent=True)) as server:
        with pytest.raises(HandshakeTimedOut):
            await dial(target_of(server), replace(QUICK, handshake_timeout_ms=100), heard)
        await heard.until(lambda: not server.connections)


async def test_tcp_without_tls_times_out(heard: Recorder) -> None:
    async with plain_server(lambda _, __: None) as port:
        target = Target("localhost", port, tls_files().client_context(), allow_address="127.0.0.1".__eq__)
        with pytest.raises(HandshakeTimedOut):
            await dial(target, replace(QUICK, handshake_timeout_ms=100), heard)


async def test_closed_port_and_unknown_name_are_connect_failures(heard: Recorder) -> None:
    async with serving() as server:
        gone = target_of(server)
    with pytest.raises(ConnectFailed):
        await dial(gone, QUICK, heard)
    with pytest.raises(AddressRefused):
        await dial(replace(gone, host="no-such-host.invalid"), QUICK, heard)


async def test_addresses_that_are_not_allowed_are_never_connected(heard: Recorder) -> None:
    async with serving() as server:
        with pytest.raises(AddressRefused):
            await dial(replace(target_of(server), allow_address=lambda _: False), QUICK, heard)
        assert server.accepted == 0


@asynccontextmanager
async def plain_server(on_connect: object) -> AsyncIterator[int]:
    """A TCP server whose connections go to `on_connect(reader, writer)`."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        result = on_connect(reader, writer)  # type: ignore[operator]
        if result is not None:
            await result

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


class TunnelProxy:
    """A CONNECT proxy that records what it was asked and may refuse."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.asked = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            writer.close()
            return
        port = int(self.asked.split(b" ", 2)[1].rpartition(b":")[2])
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as ways:
            ways.create_task(carry(reader, there_writer))
            ways.create_task(carry(there_reader, writer))


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_proxy_tunnels_and_tls_is_inside(heard: Recorder) -> None:
    proxy = TunnelProxy()
    async with serving() as server, plain_server(proxy) as port:
        target = replace(target_of(server), proxy=Proxy("127.0.0.1", port, "push", "s3cret"))
        connection = await dial(target, QUICK, heard)
        connection.submit(exchanges(200))
        await heard.until_answered(200)
        connection.abort("done")
        await heard.until(lambda: not server.connections)
    assert heard.fates() == {"ANSWERED": 200}
    assert proxy.asked.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % server.port)
    assert b"\r\nProxy-Authorization: Basic " + b64encode(b"push:s3cret") in proxy.asked
    assert "s3cret" not in repr(target.proxy)


async def test_certificate_is_verified_inside_the_tunnel_too(heard: Recorder) -> None:
    async with serving() as server, plain_server(TunnelProxy()) as port:
        target = replace(target_of(server), proxy=Proxy("127.0.0.1", port), server_name="push.example")
        with pytest.raises(CertificateRefused):
            await dial(target, QUICK, heard)
        await heard.until(lambda: not server.connections)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", 407),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n", 0),
        (b"HTTP/1.1 403", 0),
        (b"x" * 10_000, 0),
        (b"", 0),
    ],
)
async def test_refusal_of_the_proxy_is_told_with_its_status(heard: Recorder, answer: bytes, status: int) -> None:
    async with plain_server(TunnelProxy(answer)) as port:
        target = Target("localhost", 1, tls_files().client_context(), proxy=Proxy("127.0.0.1", port))
        with pytest.raises(ProxyRefused) as refused:
            await dial(target, QUICK, heard)
    assert refused.value.status == status


async def test_proxy_that_says_nothing_times_out(heard: Recorder) -> None:
    async with plain_server(lambda _, __: None) as port:
        target = Target("localhost", 1, tls_files().client_context(), proxy=Proxy("127.0.0.1", port))
        with pytest.raises(HandshakeTimedOut):
            await dial(target, replace(QUICK, handshake_timeout_ms=100), heard)


async def test_bytes_that_the_proxy_adds_before_tls_are_refused(heard: Recorder) -> None:
    async with serving() as server, plain_server(TunnelProxy(b"HTTP/1.1 200 OK\r\n\r\nextra")) as port:
        with pytest.raises(ProxyRefused):
            await dial(replace(target_of(server), proxy=Proxy("127.0.0.1", port)), QUICK, heard)


async def test_connected_helper_leaves_nothing_behind(heard: Recorder) -> None:
    async with serving() as server:
        async with connected(server, heard):
            assert len(server.connections) == 1
        await heard.until(lambda: not server.connections)
