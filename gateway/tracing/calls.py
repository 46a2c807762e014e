"""The spans of calls, and who of a call's notifications is traced: what the caller decided, or else the ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.trace import SpanContext as RemoteContext
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.delivery import Notification
from gateway.tracing.port import CallTrace, Chosen, MetadataPairs, SpanContext
from gateway.tracing.ratio import Ratio
from gateway.tracing.span import Kind, Span, new_span_id, new_trace_id
from protos.walletpush.v1.delivery_pb2 import TraceContext

# Names as in https://www.w3.org/TR/trace-context/
PARENT, STATE = "traceparent", "tracestate"
# https://opentelemetry.io/docs/specs/semconv/rpc/grpc/: of these a server says that it failed itself
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_FORMAT = TraceContextTextMapPropagator()
PlaceOf = Callable[[Notification], int]


class RecordedCall:
    """One call; its span is kept when its caller's is, or when one of its notifications is chosen by the ratio."""

    __slots__ = ("_context", "_limit", "_method", "_now_ns", "_parent", "_put", "_ratio", "_recorded", "_started_ns")

    def __init__(
        self, method: str, metadata: MetadataPairs, *, ratio: Ratio, limit: int,
        now_ns: Callable[[], int], put: Callable[[Span], None],
    ) -> None:  # fmt: skip
        self._method = method
        self._ratio = ratio
        self._limit = limit
        self._now_ns = now_ns
        self._put = put
        self._started_ns = now_ns()
        self._parent = _read(metadata)
        self._recorded = self._parent is not None and bool(self._parent.trace_flags.sampled)
        self._context: SpanContext | None = None

    @property
    def context(self) -> SpanContext | None:
        """The span's context, if it is kept."""
        if self._recorded and self._context is None:
            parent = self._parent
            self._context = (
                SpanContext(new_trace_id(), new_span_id()) if parent is None
                else SpanContext(_trace_id(parent), new_span_id(), parent.trace_state.to_header())
            )  # fmt: skip
        return self._context

    def chunk(self, contexts: Sequence[TraceContext]) -> CallTrace:
        """Return what stands for a chunk whose notifications bring contexts of their own."""
        own = {one.index: _parsed(one.traceparent, one.tracestate) for one in contexts}
        return RecordedChunk(self, own, self._limit) if own else self

    def choose(self, members: Sequence[Notification], place_of: PlaceOf) -> list[Chosen]:
        """Choose all up to the limit if the caller's span is sampled, none if it is not, by the ratio without one."""
        if self._parent is None:
            members = self._ratio.pick(members)
            self._recorded = self._recorded or bool(members)
        elif not self._recorded:
            return []
        context = self.context
        return [Chosen(one, context) for one in members[: self._limit]] if context is not None else []

    def end(self, code: str) -> None:
        """Note that the call ended."""
        context = self.context
        if context is None:
            return
        service, _, method = self._method.strip("/").rpartition("/")
        attributes = (
            ("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method),
            ("rpc.response.status_code", code),
        )  # fmt: skip
        parent_id = b"" if self._parent is None else _span_id(self._parent)
        self._put(Span(
            f"{service}/{method}", context, parent_id, self._started_ns, self._now_ns(), attributes,
            Kind.SERVER, code if code in _FAULTS else "", remote=bool(parent_id),
        ))  # fmt: skip


class RecordedChunk:
    """One chunk of a stream, in which each notification may have a caller's span of its own."""

    __slots__ = ("_call", "_limit", "_own")

    def __init__(self, call: RecordedCall, own: Mapping[int, RemoteContext | None], limit: int) -> None:
        self._call = call
        self._own = own
        self._limit = limit

    def chunk(self, contexts: Sequence[TraceContext]) -> CallTrace:
        """Return what stands for another chunk."""
        return self._call.chunk(contexts)

    def choose(self, members: Sequence[Notification], place_of: PlaceOf) -> list[Chosen]:
        """Let each notification's own context decide, the call's for those that have none."""
        chosen: list[Chosen] = []
        others: list[Notification] = []
        for one in members:
            parent = self._own.get(place_of(one))
            if parent is None:
                others.append(one)
            elif parent.trace_flags.sampled and len(chosen) < self._limit:
                context = SpanContext(_trace_id(parent), _span_id(parent), parent.trace_state.to_header())
                chosen.append(Chosen(one, context, remote=True, link=self._call.context))
        return chosen + self._call.choose(others, place_of)

    def end(self, code: str) -> None:
        """Do nothing: a chunk has no span."""


def _read(metadata: MetadataPairs) -> RemoteContext | None:
    parent, state = "", ""
    for name, value in metadata:
        if name == PARENT:
            parent = _text(value)
        elif name == STATE:
            # A list may come in several parts: https://www.w3.org/TR/trace-context/#tracestate-header
            state = f"{state},{_text(value)}" if state else _text(value)
    return _parsed(parent, state) if parent else None


def _parsed(parent: str, state: str) -> RemoteContext | None:
    found = get_current_span(_FORMAT.extract({PARENT: parent, STATE: state})).get_span_context()
    return found if found.is_valid else None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii", "replace")


def _trace_id(context: RemoteContext) -> bytes:
    return context.trace_id.to_bytes(16, "big")


def _span_id(context: RemoteContext) -> bytes:
    return context.span_id.to_bytes(8, "big")
