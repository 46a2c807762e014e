"""A few connections to one target, kept alive and replaced, that take batches of exchanges as one."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from adapters.http2.connection import Connection, State
from adapters.http2.dial import dial
from adapters.http2.errors import ConnectFailed, NoCapacity
from adapters.http2.exchange import Exchange
from adapters.http2.options import ConnectionOptions, PoolOptions, Target

log: structlog.stdlib.BoundLogger = structlog.get_logger()

# Smaller pieces than this are not spread, since a write costs as much as several requests: with 100 streams over four
# connections, medians of 7-9 quiet runs were 4.9, 3.8 and 4.3 us of CPU a request for 8, 32 and 64 (each +- 1 us).
MIN_SHARE = 32
STAGGER_S = 0.05


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment; counts and bytes run since it was made, over connections that are gone too."""

    connecting: int
    ready: int
    draining: int
    in_flight: int
    max_streams: int
    opened: int
    lost: int
    failures: int
    bytes_in: int
    bytes_out: int


class Pool:
    """Sends exchanges over `PoolOptions.connections` connections; each accepted one comes back once by `on_answers`.

    `on_capacity` is called when streams are free again after `capacity` or `submit` had to say no. Both callbacks run
    on the loop and must not raise; they may call `submit`.
    """

    def __init__(
        self, target: Target, on_answers: Callable[[list[Exchange]], None],
        on_capacity: Callable[[], None] | None = None, *,
        options: PoolOptions | None = None, connection_options: ConnectionOptions | None = None,
    ) -> None:
        self.target = target
        self.last_failure: ConnectFailed | None = None
        self._answered = on_answers
        self._offer = on_capacity
        self._options = options or PoolOptions()
        self._connection_options = connection_options or ConnectionOptions()
        self._connecting = asyncio.Semaphore(self._options.connecting_at_once)
        self._ready: list[Connection] = []
        self._draining: set[Connection] = set()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._starved = True
        self._free = asyncio.Event()
        self._futures: dict[Exchange, asyncio.Future[Exchange]] = {}
        self._dialling = self._opened = self._lost = self._failures = self._bytes_in = self._bytes_out = 0

    @property
    def capacity(self) -> int:
        """Exchanges that `submit` would take now; after a 0, `on_capacity` tells when there is room again."""
        free = 0 if self._stopping else sum(connection.capacity for connection in self._ready)
        if not free:
            self._starved = True
            self._free.clear()
        return free

    @property
    def connections(self) -> list[Connection]:
        """The connections that exist, ready ones first."""
        return [*self._ready, *self._draining]

    def stats(self) -> PoolStats:
        """Return the figures for metrics."""
        present = self.connections
        return PoolStats(
            connecting=self._dialling,
            ready=len(self._ready),
            draining=len(self._draining),
            in_flight=sum(connection.live for connection in present),
            max_streams=sum(connection.max_streams for connection in self._ready),
            opened=self._opened,
            lost=self._lost,
            failures=self._failures,
            bytes_in=self._bytes_in + sum(connection.bytes_in for connection in present),
            bytes_out=self._bytes_out + sum(connection.bytes_out for connection in present),
        )

    def submit(self, exchanges: list[Exchange]) -> int:
        """Send the first of these, as many as there are free streams, and return how many.

        The least loaded connections come first. The rest was not touched and is the caller's to keep.
        """
        if self._stopping:
            return 0
        total = len(exchanges)
        taken = 0
        usable = sorted((each for each in self._ready if each.capacity), key=_load)
        for left, connection in zip(range(len(usable), 0, -1), usable, strict=True):
            share = max(-(-(total - taken) // left), MIN_SHARE)
            taken += connection.submit(exchanges, taken, min(total, taken + share))
            if taken == total:
                return taken
        # Shares are even but free streams need not be: a second round fills what the first left over.
        for connection in usable:
            taken += connection.submit(exchanges, taken, total)
        if taken < total:
            self._starved = True
            self._free.clear()
        return taken

    async def request(self, exchange: Exchange, timeout_ms: int = 10_000) -> Exchange:
        """Send one exchange, wait for its end and return it; for low volume, as a task and a future are spent on it.

        Raises NoCapacity if no stream became free in time; from then on the connection's request timeout counts.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not self.submit([exchange]):
                    await self._free.wait()
        except TimeoutError as late:
            raise NoCapacity(f"{self.target}: no free stream within {timeout_ms} ms") from late
        future: asyncio.Future[Exchange]
        future = self._futures[exchange] = asyncio.get_running_loop().create_future()
        try:
            return await future
        finally:
            self._futures.pop(exchange, None)

    async def start(self) -> None:
        """Begin to connect; `on_capacity` tells when the first connection is ready."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"http2 pool {self.target}")

    async def ready(self) -> None:
        """Wait until something can be sent."""
        while not self.capacity:
            await self._free.wait()

    async def drain(self, deadline_s: float) -> None:
        """Take no more, wait at most this long for what is in flight, then close; what is left ends as UNKNOWN."""
        await self._stop()
        for connection in self.connections:
            connection.retire("drain")
        try:
            async with asyncio.timeout(deadline_s):
                for connection in self.connections:
                    await connection.closed.wait()
        except TimeoutError:
            log.warning("http2.drain_incomplete", target=str(self.target))
        await self.close()

    async def close(self) -> None:
        """Close at once; what is in flight ends as UNKNOWN or NOT_SENT."""
        await self._stop()
        for connection in self.connections:
            connection.abort("closed")

    def retire(self, connection: object, reason: str) -> None:
        """Have a connection replaced, as after an answer that says it is wedged; `exchange.connection` names it."""
        if isinstance(connection, Connection):
            connection.retire(reason)

    def on_answers(self, connection: Connection, exchanges: list[Exchange]) -> None:
        """Pass on what a connection completed."""
        if self._futures:
            exchanges = [each for each in exchanges if not self._resolve(each)]
        if exchanges:
            self._answered(exchanges)
        self._tell_capacity()

    def on_change(self, connection: Connection) -> None:
        """Follow a connection's state."""
        if connection.state is State.READY and connection not in self._ready:
            self._ready.append(connection)
            self._opened += 1
        if connection.state in (State.DRAINING, State.CLOSED) and connection in self._ready:
            self._ready.remove(connection)
            self._draining.add(connection)
        if connection.state is State.CLOSED:
            if connection in self._draining:
                self._draining.remove(connection)
                self._lost += 1
            self._bytes_in += connection.bytes_in
            self._bytes_out += connection.bytes_out
        self._tell_capacity()

    def _resolve(self, exchange: Exchange) -> bool:
        future = self._futures.pop(exchange, None)
        if future is None:
            return False
        if not future.done():
            future.set_result(exchange)
        return True

    def _tell_capacity(self) -> None:
        if self._starved and not self._stopping and any(connection.capacity for connection in self._ready):
            self._starved = False
            self._free.set()
            if self._offer is not None:
                self._offer()

    async def _stop(self) -> None:
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as slots:
            for slot in range(self._options.connections):
                slots.create_task(self._keep(slot))

    async def _keep(self, slot: int) -> None:
        """Keep one connection alive for ever."""
        failures = 0
        await asyncio.sleep(random.random() * STAGGER_S * slot)  # noqa: S311
        while True:
            try:
                stable = await self._hold()
            except ConnectFailed as failed:
                self._failures += 1
                self.last_failure = failed
                log.warning("http2.connect_failed", target=str(self.target), why=failed.why)
                stable = False
            except Exception:
                self._failures += 1
                log.exception("http2.connect_crashed", target=str(self.target))
                stable = False
            failures = 0 if stable else failures + 1
            await asyncio.sleep(self._backoff_s(failures))

    async def _hold(self) -> bool:
        """Hold one connection from its dialling until it takes no more; return whether it lived long enough."""
        loop = asyncio.get_running_loop()
        async with self._connecting:
            self._dialling += 1
            try:
                connection = await dial(self.target, self._connection_options, self)
            finally:
                self._dialling -= 1
        born_s = loop.time()
        await connection.left.wait()
        log.info("http2.left", target=str(self.target), why=connection.reason)
        return (loop.time() - born_s) * 1000 >= self._options.stable_ms

    def _backoff_s(self, failures: int) -> float:
        if not failures:
            return 0.0
        most_ms = min(self._options.backoff_cap_ms, self._options.backoff_base_ms << min(failures, 20))
        return random.random() * most_ms / 1000  # noqa: S311


def _load(connection: Connection) -> int:
    return connection.live
