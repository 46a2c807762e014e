"""The simulators as processes of their own: started, steered over HTTP by the typed client, and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
import pytest_asyncio

from adapters.simulators.client import ControlRefusedError, SimulatorClient, read_ports
from adapters.simulators.credentials import SimulatorCredentials, make_credentials
from adapters.simulators.faults import Faults
from adapters.simulators.settings import Ports
from adapters.simulators.simulation import Simulation
from adapters.simulators.token_book import TokenEntry
from tests.fixtures_simulators import APNS_TOKEN, FCM_TOKEN, ApnsCaller, FcmCaller, simulated, simulator_directory

REPOSITORY = Path(__file__).parents[2]
MISSING_ID = "00000000-0000-4000-8000-000000000000"
APNS_ID = "0b9a3a2e-7a53-4b67-8a1c-0c6a7e3d1f00"


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[Process, Ports]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "adapters.simulators", str(simulator_directory()), *arguments),
        *("--until-stdin-closes",),
        cwd=REPOSITORY,
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        assert process.stdout
        ready = json.loads(await process.stdout.readline())
        assert ready.pop("event") == "ready"
        yield process, Ports(**ready)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _as_simulation(ports: Ports) -> Simulation:
    """Give the callers what they need of a simulation that runs elsewhere."""
    return cast("Simulation", SimpleNamespace(ports=ports, credentials=SimulatorCredentials(simulator_directory())))


@pytest_asyncio.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with simulated() as running:
        yield running


@pytest_asyncio.fixture
async def client(simulation: Simulation) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient.of(simulator_directory()) as connected:
        yield connected


async def test_client_knows_the_ports(simulation: Simulation, client: SimulatorClient) -> None:
    assert await client.ports() == simulation.ports == read_ports(simulator_directory())


async def test_client_asks_the_ledger(simulation: Simulation, client: SimulatorClient) -> None:
    async with ApnsCaller(simulation) as apns:
        for _ in range(2):
            await apns.push(apns_id=APNS_ID, apns_collapse_id="c1")
    assert (await client.summary("apns"))["by_status"] == {"200": 2}
    assert await client.duplicates("apns") == [
        {"id": APNS_ID, "tokens": [APNS_TOKEN] * 2, "collapse_ids": ["c1", "c1"]}
    ]
    assert await client.ids("apns") == [APNS_ID]
    assert await client.missing("apns", [APNS_ID, MISSING_ID]) == [MISSING_ID]
    assert await client.unanswered("apns") == {}
    history = await client.message("apns", APNS_ID)
    assert (len(history["arrivals"]), history["refusals"]) == (2, 0)
    assert (await client.summary("sandbox"))["requests"] == 0


async def test_client_steers_faults_and_tokens(simulation: Simulation, client: SimulatorClient) -> None:
    statuses = []
    async with ApnsCaller(simulation) as apns:
        await client.set_faults("apns", Faults(rate_503=1.0))
        statuses.append((await apns.push()).status_code)
        await client.set_faults("apns", Faults())
        await client.set_tokens("apns", {APNS_TOKEN: TokenEntry("unregistered", 5)})
        statuses.append((await apns.push()).status_code)
        await client.clear_tokens("apns")
        statuses.append((await apns.push()).status_code)
    assert statuses == [503, 410, 200]
    assert await client.faults("apns") == Faults()


@pytest.mark.parametrize("order", ["goaway", "disconnect"])
async def test_client_moves_clients_away(simulation: Simulation, client: SimulatorClient, order: str) -> None:
    async with ApnsCaller(simulation) as apns, asyncio.timeout(5):
        await apns.push()
        assert await client.connections("apns") == {"present": 1, "accepted": 1}
        await (client.goaway if order == "goaway" else client.disconnect)("apns")
        while (await client.connections("apns"))["present"]:
            pass


async def test_client_steers_the_token_endpoint(simulation: Simulation, client: SimulatorClient) -> None:
    async with FcmCaller(simulation) as fcm:
        await client.revoke_bearers()
        assert (await fcm.send()).status_code == 401
        await client.set_oauth_unavailable(True)
        assert (await fcm.grant()).status_code == 503
        await client.set_oauth_unavailable(False)
        assert (await fcm.grant()).status_code == 200
    assert await client.oauth() == {"issued": 2, "refused": 0}


async def test_reset_forgets_everything(simulation: Simulation, client: SimulatorClient) -> None:
    await client.set_faults("apns", Faults(rate_503=1.0))
    async with ApnsCaller(simulation) as apns:
        await apns.push()
        await client.reset()
        assert (await apns.push()).status_code == 200
    assert (await client.summary("apns"))["requests"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/faults/apns", b'{"rate_42":1}', 400),
        ("PUT", "/faults/apns", b"{", 400),
        ("PUT", "/faults/nobody", b"{}", 404),
        ("POST", "/tokens/apns", b'{"aa":{"state":"tired"}}', 400),
        ("POST", "/ledger/apns/missing", b'{"ids":[]}', 400),
        ("POST", "/ledger/apns/missing", b"[", 400),
        ("GET", "/nowhere", b"", 404),
    ],
)
async def test_senseless_orders_are_refused(
    simulation: Simulation, method: str, path: str, body: bytes, status: int
) -> None:
    url = f"http://127.0.0.1:{simulation.ports.control}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url, data=body) as response:
        assert response.status == status


def test_credentials_outlive_a_restart() -> None:
    credentials = make_credentials(simulator_directory())
    before = credentials.apns_key.read_bytes()
    assert make_credentials(simulator_directory()).apns_key.read_bytes() == before
    assert credentials.apns_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_announces_its_ports_and_stops_when_told(number: signal.Signals) -> None:
    async with started("--keep-times") as (process, ports):
        assert read_ports(simulator_directory()) == ports
        async with ApnsCaller(_as_simulation(ports)) as apns, SimulatorClient(ports.control) as client:
            await apns.push(apns_id=APNS_ID)
            assert (await client.times("apns"))[APNS_ID] > 1_600_000_000_000
        process.send_signal(number)
        assert await process.wait() == 0


async def test_process_stops_when_its_starter_goes_away() -> None:
    async with started() as (process, _):
        assert process.stdin
        process.stdin.close()
        assert await process.wait() == 0


async def test_two_workers_share_ports_and_are_asked_as_one() -> None:
    async with started("--workers", "2", "--token-updates-per-20-min", "100") as (process, ports):
        async with SimulatorClient(ports.control) as client:
            await client.set_tokens("fcm", {FCM_TOKEN: TokenEntry("unregistered")})
            for _ in range(12):
                async with ApnsCaller(_as_simulation(ports)) as apns:
                    assert (await apns.push(apns_id=APNS_ID)).status_code == 200
            async with FcmCaller(_as_simulation(ports)) as fcm:
                assert (await fcm.send()).status_code == 404
            summary, connections = await client.summary("apns"), await client.connections("apns")
            assert (summary["accepted"], summary["distinct"], connections["accepted"]) == (12, 1, 12)
            assert len((await client.duplicates("apns"))[0]["tokens"]) == 12
            await client.set_faults("apns", Faults(rate_500=1.0))
            with pytest.raises(ControlRefusedError):
                await client.message("nobody", APNS_ID)  # type: ignore[arg-type]
        process.terminate()
        assert await process.wait() == 0


async def test_fast_mode_answers_without_a_look_and_counts() -> None:
    async with started("--mode", "fast", "--error-one-in", "4") as (_, ports):
        async with ApnsCaller(_as_simulation(ports)) as apns, SimulatorClient(ports.control) as client:
            statuses = [(await apns.push(apns_topic="anything")).status_code for _ in range(8)]
            assert (await client.summary("apns"))["requests"] == 8
            with pytest.raises(ControlRefusedError):
                await client.set_faults("apns", Faults())
        async with FcmCaller(_as_simulation(ports)) as fcm:
            answer = await fcm.send()
    assert statuses == [200, 200, 200, 410] * 2
    assert answer.json()["name"].startswith("projects/")


async def test_port_that_is_taken_is_an_error_and_no_process_stays() -> None:
    async with started() as (_, ports):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapters.simulators", str(simulator_directory()), "--apns-port", str(ports.apns)),
            cwd=REPOSITORY,
            stderr=PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"address already in use" in errors
