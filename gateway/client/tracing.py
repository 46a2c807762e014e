"""The caller's trace context, if it uses OpenTelemetry; this client neither needs nor imports it."""

from __future__ import annotations

import sys
from typing import NamedTuple

from gateway.client.channel import Metadata


class TraceContext(NamedTuple):
    """As in https://www.w3.org/TR/trace-context/."""

    traceparent: str
    tracestate: str


def current_trace() -> TraceContext | None:
    """Return the context of the span that is active where this is called."""
    # Without an import of its own nothing can be active.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return TraceContext(parent, context.trace_state.to_header())


def trace_metadata() -> Metadata:
    """Return what hands the active span's context to the gateway."""
    context = current_trace()
    if context is None:
        return ()
    parent = ("traceparent", context.traceparent)
    return (parent, ("tracestate", context.tracestate)) if context.tracestate else (parent,)
