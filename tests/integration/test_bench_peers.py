"""Other gateways as the bench drives them, over the counting simulators; stand-ins speak their interfaces."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from adapters.http2.errors import ProxyRefused
from adapters.http2.options import Proxy
from adapters.http2.proxy import open_tunnel
from adapters.simulators.token_book import TokenEntry
from bench.peers.connect_proxy import apple_targets, connect_proxy
from bench.peers.gorush import Gorush
from bench.peers.lines import run_lines
from bench.peers.peer import Command, NotInstalled, Peer, warm_up
from bench.peers.process import PeerEnded
from bench.peers.sygnal import Sygnal
from bench.stand import Simulators, StandOptions, simulators
from bench.under_test import NotTaken, pushes

ROOT = Path(__file__).resolve().parents[2]
STANDIN = "tests.integration.standin_peers"


@pytest_asyncio.fixture
async def found(tmp_path: Path) -> AsyncIterator[Simulators]:
    async with simulators(StandOptions(mode="counting", directory=tmp_path, pinned=False)) as running:
        yield running


def pushing_command(found: Simulators) -> Command:
    words = ("lines", "127.0.0.1", str(found.ports.apns), str(found.credentials.apns_key))
    trusted = {"SSL_CERT_FILE": str(found.credentials.ca_certificate)}
    return Command((sys.executable, "-m", STANDIN, *words), trusted, ROOT)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def accepted(found: Simulators) -> int:
    async with found.simulator() as simulator:
        return (await simulator.summary("apns"))["accepted"]


async def send_all(found: Simulators, peer: Peer, count: int) -> int:
    """Send through a peer; return how many pushes reached APNs meanwhile."""
    async with peer.start(found) as running:
        before = await accepted(found)
        made = list(pushes(count, "run"))
        parts = [made[first : first + peer.batch] for first in range(0, count, peer.batch)]
        await asyncio.gather(*(running.send(running.prepare(part)) for part in parts))
        assert all(isinstance(process, psutil.Process) and process.is_running() for process in running.processes())
        return await accepted(found) - before


async def test_program_that_speaks_lines_delivers_all_that_it_says_yes_to(found: Simulators) -> None:
    async with run_lines(pushing_command(found), found.directory / "peer.log") as running:
        await warm_up(running, found, (1, 3))
        made = list(pushes(20, "run"))
        await asyncio.gather(*(running.send(running.prepare(made[first : first + 5])) for first in range(0, 20, 5)))
        (process,) = running.processes()
    assert await accepted(found) == 24
    assert not process.is_running()


async def test_program_that_speaks_lines_tells_what_the_provider_refused(found: Simulators) -> None:
    good, bad = pushes(2, "run")
    async with found.simulator() as simulator:
        await simulator.set_tokens("apns", {bad.token: TokenEntry("unregistered")})
    async with run_lines(pushing_command(found), found.directory / "peer.log") as running:
        with pytest.raises(NotTaken, match="1 failed: Unregistered"):
            await running.send(running.prepare([good, bad]))
    assert await accepted(found) == 1


async def test_program_that_dies_fails_the_request_that_waits_and_those_that_come(tmp_path: Path) -> None:
    async with run_lines(Command((sys.executable, "-m", STANDIN, "dies"), {}, ROOT), tmp_path / "peer.log") as running:
        for _ in range(2):
            with pytest.raises(PeerEnded):
                await running.send(running.prepare(list(pushes(1, "run"))))


async def test_program_that_does_not_get_ready_is_told_as_ended(tmp_path: Path) -> None:
    with pytest.raises(PeerEnded):
        async with run_lines(Command(("true",)), tmp_path / "peer.log"):
            pass


async def test_gorush_reaches_the_simulators_under_apples_name(found: Simulators) -> None:
    binary = script(found.directory / "gorush", f'cd {ROOT} && exec {sys.executable} -m {STANDIN} "$@"')
    gorush = Gorush(binary=binary, batch=20)
    assert gorush.version() == "9.9.9"
    assert await send_all(found, gorush, 50) == 50


async def test_sygnal_reaches_the_simulators_under_apples_name(found: Simulators) -> None:
    python = script(found.directory / "python", f'[ "$1" = -c ] && echo 1.2.3 || exec {sys.executable} -m {STANDIN}')
    sygnal = Sygnal(python=script(found.directory / "python3", f'cd {ROOT} && exec {python} "$@"'))
    assert sygnal.version() == "1.2.3"
    assert await send_all(found, sygnal, 25) == 25


async def test_gateway_that_is_not_there_is_told_as_not_installed(
    found: Simulators, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for peer in (Gorush(), Sygnal()):
        with pytest.raises(NotInstalled, match=f"python -m bench.peers install {peer.name}"):
            async with peer.start(found):
                pass


async def test_gateway_that_ends_at_its_start_is_told_as_ended(found: Simulators) -> None:
    with pytest.raises(PeerEnded, match="exit code 3"):
        async with Gorush(binary=script(found.directory / "gorush", "exit 3")).start(found):
            pass


async def test_proxy_leads_apples_hosts_to_the_simulators_whose_certificate_names_them(found: Simulators) -> None:
    trusting = found.credentials.client_context()
    trusting.set_alpn_protocols(["h2"])
    async with connect_proxy(apple_targets(found.ports)) as url:
        for host in ("api.push.apple.com", "api.sandbox.push.apple.com"):
            tunnel = await open_tunnel(Proxy("127.0.0.1", int(url.rpartition(":")[2])), host, 443)
            secure = await asyncio.get_running_loop().start_tls(
                tunnel, asyncio.Protocol(), trusting, server_hostname=host
            )
            assert secure is not None
            spoken: ssl.SSLObject = secure.get_extra_info("ssl_object")
            assert spoken.selected_alpn_protocol() == "h2"
            secure.abort()


@pytest.mark.parametrize(("host", "port"), [("api.push.apple.com", 2197), ("fcm.googleapis.com", 443), ("::1", 443)])
async def test_proxy_leads_nowhere_else(host: str, port: int) -> None:
    async with connect_proxy({"api.push.apple.com:443": 1}) as url:
        with pytest.raises(ProxyRefused, match="403"):
            await open_tunnel(Proxy("127.0.0.1", int(url.rpartition(":")[2])), host, port)


async def test_proxy_answers_only_connect() -> None:
    async with connect_proxy({}) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: api.push.apple.com\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()


async def test_proxy_that_is_left_cuts_its_tunnels() -> None:
    cut = asyncio.Event()

    async def far_side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        cut.set()

    async with await asyncio.start_server(far_side, "127.0.0.1", 0) as server:
        targets = {"api.push.apple.com:443": server.sockets[0].getsockname()[1]}
        async with connect_proxy(targets) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"CONNECT api.push.apple.com:443 HTTP/1.1\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.read() == b""
        async with asyncio.timeout(10):
            await cut.wait()
        writer.close()
        await writer.wait_closed()
