"""What `send` took and no answer has settled: waiting to be cut into chunks, in flight, or pausing before a retry."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from gateway.client.answers import Accepted, accepted
from gateway.client.errors import (
    FieldViolation,
    InvalidArgument,
    Transient,
    Unavailable,
    WalletpushError,
    about,
    from_status,
)
from gateway.client.flow import Gate
from gateway.client.options import Batching, FlowControl, Retry
from gateway.client.retrying import pause_s
from gateway.client.tracing import TraceContext, current_trace
from gateway.client.wire import framed
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1.notification_pb2 import Notification

# The gateway takes requests of 16 MiB by default; one message must not take a chunk of others down with it.
MAX_NOTIFICATION_BYTES = 15 << 20


class Entry:
    """One notification until it is settled."""

    __slots__ = ("attempts", "deadline_s", "element", "failure", "key", "outcome", "trace")

    def __init__(
        self, element: bytes, key: str, deadline_s: float, outcome: asyncio.Future[Accepted], trace: TraceContext | None
    ) -> None:
        self.element = element
        self.key = key
        self.deadline_s = deadline_s
        self.outcome = outcome
        self.trace = trace
        self.attempts = 0
        self.failure: WalletpushError = Unavailable("no answer before the deadline")


Chunk = list[Entry]


class Outbox:
    """Gives out chunks when they are due, and settles them; every entry has an answer or an error by its deadline."""

    def __init__(self, batching: Batching, limits: FlowControl, retry: Retry) -> None:
        self._loop = asyncio.get_running_loop()
        self._batching = batching
        self._retry = retry
        self._gate = Gate(limits)
        self._pending: deque[Entry] = deque()
        self._pending_bytes = 0
        self._in_flight = 0
        # In order of their deadlines, since all have the same time.
        self._outstanding: dict[Entry, None] = {}
        self._due = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._linger: asyncio.Handle | None = None
        self._expiry: asyncio.Handle | None = None

    async def send(self, notification: Notification) -> Accepted:
        """Take a copy and wait for what becomes of it."""
        element, key = framed(notification)
        size = len(element)
        if size > MAX_NOTIFICATION_BYTES:
            why = f"at most {MAX_NOTIFICATION_BYTES:,} bytes, not {size:,}"
            raise InvalidArgument(f"notification: {why}", (FieldViolation("notification", why),))
        deadline_s = self._loop.time() + self._retry.deadline_s
        if not self._gate.try_enter(size):
            await self._enter(size, deadline_s)
        entry = Entry(element, key, deadline_s, self._loop.create_future(), current_trace())
        self._add(entry)
        try:
            return await entry.outcome
        except asyncio.CancelledError:
            self._forget(entry)
            raise

    async def wait_due(self) -> None:
        """Wait until a chunk should be cut."""
        await self._due.wait()

    async def wait_empty(self) -> None:
        """Wait until everything is settled."""
        await self._empty.wait()

    def cut(self) -> Chunk:
        """Take the next chunk; it counts as in flight until it is settled or put back. Empty if all were withdrawn."""
        chunk: Chunk = []
        left = self._batching.max_bytes
        while self._pending and len(chunk) < self._batching.max_messages:
            size = len(self._pending[0].element)
            if size > left and chunk:
                break
            entry = self._pending.popleft()
            self._pending_bytes -= size
            if not entry.outcome.done():
                entry.attempts += 1
                left -= size
                chunk.append(entry)
        self._in_flight += bool(chunk)
        self._rearm()
        return chunk

    def settle(self, chunk: Chunk, results: Sequence[pb.SendResult]) -> None:
        """Give each entry its result; what is transient comes back after a pause. Aligned with the chunk."""
        held_up = self._in_flight >= self._batching.max_in_flight
        self._in_flight -= 1
        again: Chunk = []
        after_s = 0.0
        for entry, result in zip(chunk, results, strict=True):
            if not result.HasField("error"):
                self._finish(entry, accepted(result))
                continue
            failure = from_status(result.error)
            if isinstance(failure, Transient):
                entry.failure = failure
                after_s = max(after_s, failure.retry_after_s)
                again.append(entry)
            else:
                self._fail(entry, failure)
        if again:
            self._loop.call_later(pause_s(self._retry, again[0].attempts, after_s), self._put_back, again)
        if self._pending and (held_up or not self._in_flight):
            self._due.set()

    def put_back(self, chunks: Iterable[Chunk], failure: WalletpushError) -> None:
        """Take back what a broken stream did not acknowledge, in its order; what cannot get better fails."""
        entries: Chunk = []
        for chunk in chunks:
            self._in_flight -= 1
            entries += chunk
        if isinstance(failure, Transient):
            for entry in entries:
                entry.failure = failure
            self._put_back(entries)
        else:
            self.fail(entries, failure)

    def fail(self, entries: Iterable[Entry], failure: WalletpushError) -> None:
        """End entries with an error."""
        for entry in entries:
            self._fail(entry, failure)

    def fail_all(self, failure: WalletpushError) -> None:
        """End everything with an error."""
        self._pending.clear()
        self._pending_bytes = 0
        self.fail(tuple(self._outstanding), failure)
        self._rearm()

    async def _enter(self, size: int, deadline_s: float) -> None:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._gate.enter(size)
        except TimeoutError:
            raise Unavailable("the client's limits were full until the deadline") from None

    def _add(self, entry: Entry) -> None:
        self._outstanding[entry] = None
        self._empty.clear()
        if self._expiry is None:
            self._expiry = self._loop.call_at(entry.deadline_s, self._expire)
        self._pending.append(entry)
        self._pending_bytes += len(entry.element)
        self._arm()

    def _put_back(self, entries: Chunk) -> None:
        self._pending.extendleft(reversed(entries))
        self._pending_bytes += sum(len(entry.element) for entry in entries)
        self._rearm()

    def _arm(self) -> None:
        if self._due.is_set():
            return
        full = len(self._pending) >= self._batching.max_messages or self._pending_bytes >= self._batching.max_bytes
        if full:
            self._due.set()
        elif self._linger is None and self._in_flight < self._batching.max_in_flight:
            # With nothing in flight a chunk leaves at once, together with what is sent in this turn of the loop.
            latency_s = self._batching.max_latency_ms / 1_000
            set_due = self._due.set
            self._linger = (
                self._loop.call_later(latency_s, set_due) if self._in_flight else self._loop.call_soon(set_due)
            )

    def _rearm(self) -> None:
        self._due.clear()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._pending:
            self._arm()

    def _expire(self) -> None:
        self._expiry = None
        now_s = self._loop.time()
        while self._outstanding:
            entry = next(iter(self._outstanding))
            if entry.deadline_s > now_s:
                self._expiry = self._loop.call_at(entry.deadline_s, self._expire)
                return
            self._fail(entry, entry.failure)

    def _finish(self, entry: Entry, answer: Accepted) -> None:
        if self._forget(entry) and not entry.outcome.done():
            entry.outcome.set_result(answer)

    def _fail(self, entry: Entry, failure: WalletpushError) -> None:
        if self._forget(entry) and not entry.outcome.done():
            entry.outcome.set_exception(about(failure, entry.key))

    def _forget(self, entry: Entry) -> bool:
        if entry not in self._outstanding:
            return False
        del self._outstanding[entry]
        self._gate.leave(len(entry.element))
        if not self._outstanding:
            self._empty.set()
        return True
