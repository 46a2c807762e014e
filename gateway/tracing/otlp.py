"""Spans over OTLP/gRPC: https://opentelemetry.io/docs/specs/otlp/.

The schema's own classes are filled, not the SDK's spans: encoding takes some 4 us a span instead of some 45, in a
thread that needs the interpreter while deliveries want it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from gateway.tracing.sender import ExportFailed
from gateway.tracing.span import Attribute, Span

# https://opentelemetry.io/docs/specs/otlp/#failures
_TRANSIENT = frozenset({
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
})  # fmt: skip
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 5_000))
_SCOPE = InstrumentationScope(name="walletpush")
# The flags of a span: W3C's in the low byte, then whether it is known, and true, that the parent is remote.
_SAMPLED, _HAS_REMOTE, _REMOTE = 0x1, 0x100, 0x200
_MAX_KNOWN = 4_096


class OtlpExport:
    """gateway.tracing.sender.Export to one receiver. Raises OSError when the CA file cannot be read."""

    def __init__(
        self, endpoint: str, headers: Sequence[tuple[str, str]], resource: Mapping[str, str | int],
        *, ca_file: Path | None = None, insecure: bool = False,
    ) -> None:  # fmt: skip
        self._headers = tuple(headers)
        self._resource = Resource(attributes=[_pair(one) for one in resource.items()])
        self._known: dict[Attribute, KeyValue] = {}
        if insecure:
            channel = grpc.insecure_channel(endpoint, _OPTIONS)
        else:
            trusted = None if ca_file is None else ca_file.read_bytes()
            channel = grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(trusted), _OPTIONS)
        self._channel = channel
        self._stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]

    def send(self, spans: Sequence[Span], timeout_s: float) -> int:
        """Send spans; return how many of them were refused. Raises ExportFailed."""
        request = self.request(spans)
        try:
            answer: ExportTraceServiceResponse = self._stub.Export(request, timeout=timeout_s, metadata=self._headers)
        except grpc.RpcError as error:
            code = error.code()
            raise ExportFailed(f"{code.name}: {error.details()}", transient=code in _TRANSIENT) from error
        return min(answer.partial_success.rejected_spans, len(spans))

    def close(self) -> None:
        """Hang up; a call under way fails."""
        self._channel.close()

    def request(self, spans: Sequence[Span]) -> ExportTraceServiceRequest:
        """Return spans as the protocol has them."""
        scope = pb.ScopeSpans(scope=_SCOPE, spans=[self._encode(span) for span in spans])
        return ExportTraceServiceRequest(
            resource_spans=[pb.ResourceSpans(resource=self._resource, scope_spans=[scope])]
        )

    def _encode(self, span: Span) -> pb.Span:
        context = span.context
        made = pb.Span(
            trace_id=context.trace_id, span_id=context.span_id, parent_span_id=span.parent_id,
            trace_state=context.state, name=span.name,
            kind=int(span.kind),  # type: ignore[arg-type]  # numbered as in the schema
            start_time_unix_nano=span.start_ns, end_time_unix_nano=span.end_ns,
            attributes=[self._pair(attribute) for attribute in span.attributes],
            flags=_SAMPLED | _HAS_REMOTE | (_REMOTE if span.remote else 0),
        )  # fmt: skip
        if span.error:
            made.status.code = pb.Status.STATUS_CODE_ERROR
            made.status.message = span.error
        if span.link is not None:
            made.links.add(trace_id=span.link.trace_id, span_id=span.link.span_id, trace_state=span.link.state)
        return made

    def _pair(self, attribute: Attribute) -> KeyValue:
        pair = self._known.get(attribute)
        if pair is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            pair = self._known[attribute] = _pair(attribute)
        return pair


def _pair(attribute: Attribute) -> KeyValue:
    name, value = attribute
    told = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
    return KeyValue(key=name, value=told)
