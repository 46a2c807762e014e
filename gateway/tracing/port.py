"""What calls and the pipeline tell a tracer; whoever has none (None) asks once per call or batch, never per message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from core.delivery import Delivery, Notification
from core.reaction import Outcome
from protos.walletpush.v1.delivery_pb2 import TraceContext

MetadataPairs = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What a span is found by. trace_id: 16 bytes. span_id: 8 bytes. state: the vendors' own (W3C tracestate)."""

    trace_id: bytes
    span_id: bytes
    state: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A notification that is traced. remote: its parent is a span of the caller, and not that of our call."""

    notification: Notification
    parent: SpanContext
    remote: bool = False
    link: SpanContext | None = None


class CallTrace(Protocol):
    """One call of a caller, or one chunk of a stream, under a tracer."""

    def chunk(self, contexts: Sequence[TraceContext]) -> CallTrace:
        """Return what stands for a chunk whose notifications bring contexts of their own."""

    def choose(self, members: Sequence[Notification], place_of: Callable[[Notification], int]) -> list[Chosen]:
        """Say which of the call's new notifications are traced. place_of: a notification's place in the request."""

    def end(self, code: str) -> None:
        """Note that the call ended. code: gRPC's name for how."""


class Traceable(Protocol):
    """What has a place for a call's trace."""

    trace: CallTrace | None


class CallTracer(Protocol):
    """What the edges of a worker need."""

    def call(self, method: str, metadata: MetadataPairs) -> CallTrace:
        """Note that a call began."""

    async def close(self) -> None:
        """Send what there is, within a time, and stop."""


class Tracer(Protocol):
    """What the pipeline tells, a batch at a time. Times are monotonic, in ns."""

    def accepted(
        self, fresh: Sequence[Notification], where: Sequence[tuple[Traceable, int]], started_ns: int, committing_ns: int
    ) -> None:
        """Take what has just become durable. where[n.index]: the call and the place of notification n."""

    def planned(self, notifications: Sequence[Notification], started_ns: int) -> None:
        """Note that every delivery of these is queued, or that there is none."""

    def answered(self, provider: str, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome], now_ns: int) -> None:
        """Note the provider's answers of a batch, after what follows from them was decided. Parallel."""

    def ended(self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Note deliveries that ended without another request. Parallel."""

    def recording(self) -> AbstractContextManager[None]:
        """Enter while what ended so far is being written to the journal."""


current_call: ContextVar[CallTrace | None] = ContextVar("current_call", default=None)
