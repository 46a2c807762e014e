"""Clients of this repository: the gateway's APNs adapter, and the HTTP/2 engine below it alone."""

from __future__ import annotations

import asyncio
import hashlib
import time

from adapters.apns.channel import ApnsChannel
from adapters.http2.exchange import Exchange
from adapters.http2.headers import HeaderBlock
from adapters.http2.options import PoolOptions, Target
from adapters.http2.pool import Pool
from adapters.http2.tls import client_context
from bench.egress.client_run import LIMIT_S, ClientRun, NotAnswered, Stopwatch
from bench.egress.job import Job
from bench.egress.request import PATH, channel, payment, request
from core.delivery import Delivery, Flow
from core.model import Provider
from core.reaction import Outcome

_RING = 20_000
_WARM = 4_000
_FLOW = Flow(1, (), ())


async def adapter(job: Job) -> ClientRun:
    """Push through the adapter, after a warm-up."""
    return await _AdapterLoad(job).run()


async def engine(job: Job) -> ClientRun:
    """Push through the engine, one header block and body for all, after a warm-up."""
    return await _EngineLoad(job).run()


class _AdapterLoad:
    """The sink of a channel that keeps `streams` deliveries in flight until all were answered.

    The deliveries are made ahead and used again and again, each long after its last answer.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._warm = min(_WARM, job.total)
        self._left = self._warm + job.total
        self._flying = self._done = self._next = 0
        self._over = asyncio.Event()
        self._refused = False
        self._unix_ms = time.time_ns() // 1_000_000
        self._ring: list[Delivery] = []
        self._watch = Stopwatch()
        self._channel: ApnsChannel | None = None

    async def run(self) -> ClientRun:
        """Run once."""
        tls = client_context(extra_ca=self._job.ca)
        made = self._channel = channel(self, "localhost", self._job.port, tls, self._job.connections)
        self._ring = [self._delivery(made, number) for number in range(_RING)]
        await made.start()
        async with asyncio.timeout(LIMIT_S):
            await self._over.wait()
        if self._refused:
            raise NotAnswered
        figures = self._watch.stop(self._job.total)
        await made.close(1.0)
        return figures

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Count, and send as many again."""
        if not all(outcome.status for outcome in outcomes):
            self._refused = True
            self._over.set()
        self._flying -= len(deliveries)
        before, self._done = self._done, self._done + len(deliveries)
        if before < self._warm <= self._done:
            self._watch = Stopwatch()
        if self._done > self._warm + self._job.total // 10:
            self._watch.look()
        if self._done >= self._warm + self._job.total:
            self._over.set()
        self._send()

    def on_capacity(self, route: int) -> None:
        """Fill up."""
        self._send()

    def _delivery(self, made: ApnsChannel, number: int) -> Delivery:
        notification = payment(number, self._unix_ms)
        payload, envelope = made.render(notification)
        token = hashlib.sha256(b"device %d" % number).hexdigest()
        return Delivery(notification, token, payload, envelope, number, 0, Provider.APNS, 1, _FLOW)

    def _send(self) -> None:
        count = min(self._job.streams - self._flying, self._left)
        if count <= 0 or self._channel is None:
            return
        batch = self._ring[self._next : self._next + count]
        taken = self._channel.submit(batch, self._unix_ms)
        self._next = (self._next + taken) % _RING
        self._flying += taken
        self._left -= taken


class _EngineLoad:
    """Keeps `streams` requests in flight on a pool until all are answered."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._warm = min(_WARM, job.total)
        self._left = self._warm + job.total
        self._done = 0
        self._over = asyncio.Event()
        self._refused = False
        shape = request()
        start = ((b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"))
        self._block = HeaderBlock((*start, *shape.shared))
        self._own = tuple(part for field in shape.own for part in field)
        self._path, self._body = PATH.encode(), shape.body
        self._watch = Stopwatch()
        target = Target("localhost", job.port, client_context(extra_ca=job.ca))
        self._pool = Pool(target, self._on_answers, options=PoolOptions(connections=job.connections))

    async def run(self) -> ClientRun:
        """Run once."""
        await self._pool.start()
        async with asyncio.timeout(LIMIT_S):
            while self._pool.stats().ready < self._job.connections:
                await asyncio.sleep(0.01)
            self._send(self._job.streams)
            await self._over.wait()
        if self._refused:
            raise NotAnswered
        figures = self._watch.stop(self._job.total)
        await self._pool.close()
        return figures

    def _send(self, count: int) -> None:
        count = min(count, self._left)
        if count:
            self._left -= self._pool.submit(
                [Exchange(self._block, self._path, self._own, self._body) for _ in range(count)]
            )

    def _on_answers(self, exchanges: list[Exchange]) -> None:
        if not all(exchange.status == 200 for exchange in exchanges):
            self._refused = True
            self._over.set()
        before, self._done = self._done, self._done + len(exchanges)
        if before < self._warm <= self._done:
            self._watch = Stopwatch()
        if self._done > self._warm + self._job.total // 10:
            self._watch.look()
        if self._done >= self._warm + self._job.total:
            self._over.set()
        self._send(len(exchanges))
