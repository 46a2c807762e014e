"""What the client tells the gateway of the span that is active where it is called."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from gateway.client import Notification
from gateway.client.tracing import TraceContext, current_trace, trace_metadata
from gateway.client.wire import chunk, framed, traces
from protos.walletpush.v1 import delivery_pb2 as pb
from tests.fixtures_gateway import APP

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = f"00-{TRACE:032x}-{SPAN:016x}-01"


@contextmanager
def active(*, flags: int = 1, state: TraceState | None = None) -> Iterator[None]:
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, False, TraceFlags(flags), state))
    token = otel_context.attach(set_span_in_context(span))
    try:
        yield
    finally:
        otel_context.detach(token)


def test_without_an_active_span_nothing_is_told() -> None:
    assert (current_trace(), trace_metadata()) == (None, ())


def test_the_active_span_is_told_as_the_standard_says() -> None:
    with active():
        assert trace_metadata() == (("traceparent", PARENT),)
    with active(flags=0, state=TraceState([("a", "1"), ("b", "2")])):
        assert trace_metadata() == (("traceparent", f"{PARENT[:-2]}00"), ("tracestate", "a=1,b=2"))


def test_without_the_package_nothing_is_imported() -> None:
    words = "import sys; sys.modules['opentelemetry'] = None; from gateway.client.tracing import trace_metadata"
    done = subprocess.run(
        [sys.executable, "-c", f"{words}; print(trace_metadata())"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "()\n"


def test_a_chunk_names_the_traces_of_those_that_have_one() -> None:
    elements = [framed(Notification(app=APP, idempotency_key=key))[0] for key in "abc"]
    told = traces([None, TraceContext(PARENT, "a=1"), None])
    request = pb.SendStreamRequest.FromString(chunk(7, [*elements, told]))
    assert [one.idempotency_key for one in request.notifications] == ["a", "b", "c"]
    assert [(one.index, one.traceparent, one.tracestate) for one in request.trace_contexts] == [(1, PARENT, "a=1")]
    assert traces([None, None]) == b""
