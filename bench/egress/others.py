"""Other clients from Python: aioapns and httpx as they ship."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from itertools import cycle

import httpx
import orjson
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol
from cryptography.hazmat.primitives import serialization

from bench.egress.client_run import LIMIT_S, ClientRun, NotAnswered, Stopwatch
from bench.egress.job import Job
from bench.egress.request import PATH, TOKEN, TOPIC, key, request

_WARM = 20


async def aioapns(job: Job) -> ClientRun:
    """Push with `streams` callers of aioapns' client, after a warm-up."""
    client = _aioapns_client(job)
    message = orjson.loads(request().body)

    async def push() -> None:
        asked = NotificationRequest(
            TOKEN, message, time_to_live=3_600, priority=10, collapse_key="0123456789abcdef" * 2,
            push_type=PushType.ALERT,
        )  # fmt: skip
        if not (await client.send_notification(asked)).is_successful:
            raise NotAnswered

    figures = await _called(job, [push])
    client.pool.close()
    return figures


async def with_httpx(job: Job) -> ClientRun:
    """Push with `streams` callers of httpx, after a warm-up.

    A client per connection: one client opens a second connection only when the first has no stream left.
    """
    shape = request()
    headers, body = shape.headers(), shape.body
    tls = ssl.create_default_context(cafile=str(job.ca))
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    base = f"https://localhost:{job.port}"

    def push_of(client: httpx.AsyncClient) -> Callable[[], Awaitable[None]]:
        async def push() -> None:
            if (await client.post(PATH, content=body, headers=headers)).status_code != 200:
                raise NotAnswered

        return push

    clients = [
        httpx.AsyncClient(http1=False, http2=True, verify=tls, limits=limits, timeout=LIMIT_S, base_url=base)
        for _ in range(job.connections)
    ]
    figures = await _called(job, [push_of(client) for client in clients])
    for client in clients:
        await client.aclose()
    return figures


async def _called(job: Job, pushes: list[Callable[[], Awaitable[None]]]) -> ClientRun:
    """Let `streams` callers, spread over pushes, each send one request after the other."""
    left = 0

    async def call(push: Callable[[], Awaitable[None]]) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await push()

    async def all_of(total: int, callers: int) -> None:
        nonlocal left
        left = total
        await asyncio.gather(*(call(push) for push, _ in zip(cycle(pushes), range(callers), strict=False)))

    async with asyncio.timeout(LIMIT_S):
        await all_of(_WARM, len(pushes))
        watch = Stopwatch()
        await all_of(job.total, job.streams)
    return watch.stop(job.total)


def _aioapns_client(job: Job) -> APNs:
    """Make a client with token authentication for a server on this host."""
    tls = ssl.create_default_context(cafile=str(job.ca))
    tls.set_alpn_protocols(["h2"])
    signing = key()
    pem = signing.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    client = APNs(
        key=pem.decode(), key_id=signing.key_id, team_id=signing.team_id, topic=TOPIC, max_connections=job.connections,
        ssl_context=tls,
    )  # fmt: skip
    attributes = {"APNS_SERVER": "localhost", "APNS_PORT": job.port}
    client.pool.protocol_class = type("LocalProtocol", (APNsProductionClientProtocol,), attributes)
    return client
