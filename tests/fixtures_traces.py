"""A real OTLP receiver on loopback, that keeps what it gets and misbehaves as a test asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Received:
    """One span as it arrived."""

    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, str | int]:
        pairs = self.span.attributes
        return {
            one.key: one.value.string_value if one.value.HasField("string_value") else one.value.int_value
            for one in pairs
        }


class Receiver:
    """fail: what Export answers with. refuse: how many spans of each export it refuses. hang: do not answer."""

    def __init__(self, pair: tuple[bytes, bytes] | None = None) -> None:
        self.raw: list[bytes] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.fail: list[grpc.StatusCode] = []
        self.refuse = 0
        self.hang = threading.Event()
        self._released = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self._export, None, ExportTraceServiceResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
        self.port = (
            self._server.add_insecure_port("127.0.0.1:0") if pair is None
            else self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        )  # fmt: skip
        self._server.start()

    def _export(self, request: bytes, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.hang.is_set():
            self._released.wait(30)
        if self.fail:
            context.abort(self.fail.pop(0), "not now")
        self.raw.append(request)
        return ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=self.refuse))

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        """Everything taken so far."""
        return [ExportTraceServiceRequest.FromString(one) for one in tuple(self.raw)]

    @property
    def spans(self) -> list[Received]:
        """All spans taken so far."""
        return [
            Received(span)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, trace_id: bytes) -> list[Received]:
        """Return the spans of one trace."""
        return [one for one in self.spans if one.span.trace_id == trace_id]

    def await_spans(self, good: Callable[[Sequence[Received]], bool]) -> list[Received]:
        """Return all spans once they are good."""
        deadline = time.monotonic() + WAIT_S
        while not good(spans := self.spans):
            assert time.monotonic() < deadline, [one.name for one in spans]
            time.sleep(0.02)
        return spans

    def stop(self) -> None:
        """Answer what hangs, and end."""
        self._released.set()
        self._server.stop(0).wait(5)


@contextmanager
def receiver(pair: tuple[bytes, bytes] | None = None) -> Iterator[Receiver]:
    """Run one while the context is open. pair: key and certificate in PEM, for TLS."""
    running = Receiver(pair)
    try:
        yield running
    finally:
        running.stop()
