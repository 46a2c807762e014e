"""The HTTP side over real sockets: metrics of one or many processes, health and readiness."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from adapters.simulators.authority import CertificateAuthority
from gateway.callers import CallerBook, new_key
from gateway.metric_families import clear_worker_files, forget_gauges
from gateway.metrics import Metrics
from gateway.settings.components import CallerSettings, WebSettings
from gateway.settings.root import Settings
from gateway.settings.values import SecretFile
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.listener import WebListener, guard_of

LOOPBACK = WebSettings(listen="127.0.0.1:0")
KEY, KEY_HASH = new_key()
WORKER = """
import sys
from pathlib import Path
from gateway.metric_families import write_worker_files
write_worker_files(Path(sys.argv[1]), int(sys.argv[2]))
from gateway.metrics import Metrics
metrics = Metrics(["wallet"])
metrics.accepted(1, 10)
metrics.connections("apns", "wallet", 2, 7)
metrics.breaker("apns", "wallet", sys.argv[3])
metrics.stage_seconds("intake", 0.003, 5)
"""


def run_worker(directory: Path, number: int, breaker: str = "closed") -> None:
    command = [sys.executable, "-c", WORKER, str(directory), str(number), breaker]
    subprocess.run(command, check=True, timeout=30)


@asynccontextmanager
async def served(
    exposition: Exposition, checks: Mapping[str, str] | None = None, guard: CallerBook | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    app = make_app(exposition, lambda: checks or {}, guard)
    async with WebListener(app, LOOPBACK) as web, aiohttp.ClientSession(f"http://127.0.0.1:{web.port}") as client:
        yield client


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.values()))): s.value for family in families for s in family.samples}


async def get(client: aiohttp.ClientSession, path: str, key: str | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with client.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_metrics_of_this_process_in_prometheus_format() -> None:
    metrics = Metrics(["wallet"])
    metrics.accepted(1, 3)
    async with served(Exposition([metrics.registry])) as client, client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert answer.headers["Server"] == "walletpush"
        found = values(await answer.text())
    assert found["walletpush_notifications_accepted_total", ("transactional",)] == 3
    assert found["process_resident_memory_bytes", ()] > 0


async def test_metrics_of_all_workers_are_added_up(tmp_path: Path) -> None:
    run_worker(tmp_path, 0, "open")
    run_worker(tmp_path, 1)
    async with served(Exposition([CollectorRegistry()], tmp_path)) as client:
        status, text = await get(client, "/metrics")
    found = values(text)
    assert status == 200
    assert found["walletpush_notifications_accepted_total", ("transactional",)] == 20
    assert found["walletpush_connections", ("apns", "wallet")] == 4
    assert found["walletpush_breaker_state", ("apns", "wallet")] == 2
    assert found["walletpush_stage_seconds_count", ("intake",)] == 10


async def test_restarted_worker_goes_on_counting_in_the_same_files(tmp_path: Path) -> None:
    run_worker(tmp_path, 0)
    files = sorted(os.listdir(tmp_path))
    forget_gauges(tmp_path, 0)
    async with served(Exposition([], tmp_path)) as client:
        dead = values((await get(client, "/metrics"))[1])
        run_worker(tmp_path, 0)
        restarted = values((await get(client, "/metrics"))[1])
    assert dead["walletpush_notifications_accepted_total", ("transactional",)] == 10
    assert ("walletpush_connections", ("apns", "wallet")) not in dead
    assert restarted["walletpush_notifications_accepted_total", ("transactional",)] == 20
    assert restarted["walletpush_connections", ("apns", "wallet")] == 2
    assert sorted(os.listdir(tmp_path)) == files


async def test_files_of_an_earlier_run_are_forgotten(tmp_path: Path) -> None:
    run_worker(tmp_path, 0)
    clear_worker_files(tmp_path)
    async with served(Exposition([], tmp_path)) as client:
        assert "accepted_total{" not in (await get(client, "/metrics"))[1]


async def test_health_says_only_that_the_process_lives() -> None:
    async with served(Exposition([]), {"journal": "disk full"}) as client:
        assert await get(client, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize(("state", "status"), [("ok", 200), ("read-only file system", 503)])
async def test_ready_only_when_every_check_is_ok(state: str, status: int) -> None:
    checks = {"journal": state, "route apns/wallet": "ok"}
    async with served(Exposition([]), checks) as client, client.get("/readyz") as answer:
        assert answer.status == status
        assert await answer.json() == {"ready": status == 200, "checks": checks}


async def test_guarded_metrics_need_a_key_with_the_permission() -> None:
    other, other_hash = new_key()
    scraper = CallerSettings(name="prometheus", apps=("*",), key_sha256=(KEY_HASH,), may_read_metrics=True)
    sender = CallerSettings(name="pay", apps=("*",), key_sha256=(other_hash,))
    async with served(Exposition([]), {"journal": "ok"}, CallerBook([scraper, sender])) as client:
        statuses = [(await get(client, "/metrics", key))[0] for key in (None, "wrong", other, KEY)]
        assert statuses == [401, 401, 403, 200]
        assert await get(client, "/readyz") == (200, '{"ready":true}')
        assert "journal" in (await get(client, "/readyz", KEY))[1]
        assert (await get(client, "/healthz"))[0] == 200


def test_guard_stands_only_off_loopback() -> None:
    callers = (CallerSettings(name="p", apps=("*",), key_sha256=(KEY_HASH,)),)
    assert guard_of(Settings(callers=callers)) is None
    assert guard_of(Settings(web=WebSettings(listen="0.0.0.0:1"))) is None
    assert guard_of(Settings(callers=callers, web=WebSettings(listen="0.0.0.0:1"))) is not None


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("PUT", "/metrics", 405)])
async def test_anything_else_is_not_there(method: str, path: str, status: int) -> None:
    async with served(Exposition([])) as client, client.request(method, path) as answer:
        assert answer.status == status


async def test_tls_when_files_are_set(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path)
    pair = authority.issue_server("web")
    settings = WebSettings(listen="127.0.0.1:0", tls_cert_file=pair.certificate, tls_key_file=SecretFile(pair.key, ""))
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    async with WebListener(make_app(Exposition([]), dict), settings) as listener, aiohttp.ClientSession() as client:
        answer = await client.get(f"https://127.0.0.1:{listener.port}/healthz", ssl=trust)
        assert answer.status == 200


async def test_taken_port_is_an_error_that_leaves_nothing_behind() -> None:
    async with WebListener(make_app(Exposition([]), dict), LOOPBACK) as first:
        taken = WebSettings(listen=f"127.0.0.1:{first.port}")
        with pytest.raises(OSError, match="address already in use"):
            async with WebListener(make_app(Exposition([]), dict), taken):
                pass


async def test_a_connection_that_asks_for_nothing_is_closed_and_one_that_was_answered_stays() -> None:
    app = make_app(Exposition([CollectorRegistry()]), dict)
    async with WebListener(app, LOOPBACK, patience_s=0.2) as web:
        silent = [await asyncio.open_connection("127.0.0.1", web.port) for _ in range(2)]
        silent[1][1].write(b"GET /healthz HTTP/1.1\r\nHost: ")
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(ask)
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        for other, own in silent:
            assert await asyncio.wait_for(other.read(), 20) == b""
            own.close()
        writer.write(ask)
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        writer.close()
