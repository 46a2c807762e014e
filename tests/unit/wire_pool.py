"""A pool whose other end is a server session in memory, so that channels meet true frames without sockets."""

from __future__ import annotations

from collections.abc import Callable

from adapters.http2.exchange import Exchange
from adapters.http2.server_session import ServerRequest, ServerSession
from adapters.http2.session import ClientSession
from core.delivery import Delivery
from core.reaction import Outcome


class WirePool:
    """adapters.line.ExchangePool with one connection; the test is its server."""

    def __init__(self, on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> None:
        self.on_answers = on_answers
        self.on_capacity = on_capacity
        self.retired: list[str] = []
        self.limit = 1_000
        self.started = False
        self.drained_s: float | None = None
        self.client = ClientSession((b"retry-after",), owner=self)
        self.server = ServerSession(max_streams=1_000)
        self._pump()

    @property
    def capacity(self) -> int:
        return min(self.limit, self.client.capacity)

    def submit(self, exchanges: list[Exchange]) -> int:
        return self.client.submit(exchanges, 1, 0, min(self.limit, len(exchanges)))

    def retire(self, connection: object, reason: str) -> None:
        assert connection is self
        self.retired.append(reason)

    async def start(self) -> None:
        self.started = True

    async def drain(self, deadline_s: float) -> None:
        self.drained_s = deadline_s

    def requests(self) -> list[ServerRequest]:
        """Let the server read what was sent."""
        self._pump()
        return self.server.take_requests()

    def flush(self) -> None:
        """Let the client read what the server answered."""
        self._pump()
        self._hand_over()

    def answer_all(self, status: int, body: bytes = b"", extra: tuple[bytes, ...] = ()) -> list[ServerRequest]:
        """Answer everything that was sent the same way; return the requests."""
        requests = self.requests()
        for request in requests:
            request.respond(status, None, body, extra)
        self.flush()
        return requests

    def lose(self) -> None:
        """Break the connection."""
        self.client.lose()
        self._hand_over()

    def _hand_over(self) -> None:
        finished = self.client.take_finished()
        if finished:
            self.on_answers(finished)

    def _pump(self) -> None:
        for _ in range(100):
            out, back = self.client.drain(), self.server.drain()
            if out:
                self.server.receive(bytearray(out), len(out))
            if back:
                self.client.receive(bytearray(back), len(back))
            if not out and not back:
                return


class Pools:
    """A pool factory that remembers what it made."""

    def __init__(self) -> None:
        self.made: list[WirePool] = []

    def __call__(self, on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> WirePool:
        pool = WirePool(on_answers, on_capacity)
        self.made.append(pool)
        return pool

    @property
    def now(self) -> WirePool:
        return self.made[-1]


class RecordingSink:
    """core.ports.Sink that keeps what it hears."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.outcomes: list[Outcome] = []
        self.batches = 0
        self.capacity_calls = 0

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        assert len(deliveries) == len(outcomes)
        self.batches += 1
        self.deliveries += deliveries
        self.outcomes += outcomes

    def on_capacity(self, route: int) -> None:
        self.capacity_calls += 1


def headers_of(request: ServerRequest) -> dict[bytes, bytes]:
    """The request's ordinary header fields."""
    return dict(request.headers)
