"""Traces of a whole gateway, as a receiver of OpenTelemetry's protocol gets them."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from adapters.simulators.faults import Faults
from gateway.client import Walletpush
from protos.walletpush.v1 import delivery_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import FAST, Gateway, app_toml
from tests.acceptance.messages import TIMEOUT_S, await_that, fcm_device, final, payment
from tests.acceptance.simulators import HEALTHY, Simulators
from tests.fixtures_traces import Received, Receiver, receiver

DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED
STAGES = ["intake", "journal commit", "plan", "queue", "apns request", "settle"]
TITLE, BODY = "Zahlung-erhalten-7351", "Betrag-8642-EUR"


def tracing(port: int, *more: str) -> str:
    lines = [f'endpoint = "127.0.0.1:{port}"', "insecure = true", *more]
    return "[tracing]\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def traces() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def traced(simulators: Simulators, traces: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("traced")
    headers = directory / "headers"
    headers.write_text("authorization: Bearer receiver-key\nx-team: wallet\n")
    headers.chmod(0o600)
    own = (
        "sample_ratio = 0.1", "interval_s = 0.05", "max_per_batch = 1000",
        f"headers_file = {json.dumps(str(headers))}",
    )  # fmt: skip
    settings = app_toml(simulators) + app_toml(simulators, "retry") + FAST + tracing(traces.port, *own)
    running = Gateway(directory, settings)
    try:
        running.start()
        yield running
    finally:
        running.end()


@pytest.fixture
def stub(traced: Gateway) -> Iterator[DeliveryServiceStub]:
    with traced.delivery() as opened:
        yield opened


def new_parent(*, sampled: bool = True) -> tuple[bytes, bytes, str]:
    trace_id, span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    return trace_id, span_id, f"00-{trace_id.hex()}-{span_id.hex()}-{int(sampled):02x}"


def send_traced(
    stub: DeliveryServiceStub, request: delivery_pb2.SendRequest, traceparent: str, tracestate: str = ""
) -> str:
    metadata = (("traceparent", traceparent), ("tracestate", tracestate))
    answer: delivery_pb2.SendResponse = stub.Send(request, timeout=TIMEOUT_S, metadata=metadata)
    return answer.notification_id


def await_trace(traces: Receiver, trace_id: bytes, count: int) -> list[Received]:
    traces.await_spans(lambda spans: sum(one.span.trace_id == trace_id for one in spans) >= count)
    return traces.trace(trace_id)


def test_a_send_with_a_traceparent_is_one_trace_of_all_stages(
    stub: DeliveryServiceStub, simulators: Simulators, traces: Receiver
) -> None:
    trace_id, caller_span, traceparent = new_parent()
    notification = payment()
    notification.content.title, notification.content.body = TITLE, BODY
    started = len(traces.raw)
    ident = send_traced(stub, delivery_pb2.SendRequest(notification=notification), traceparent, "vendor=1")
    assert final(stub, ident).state == DELIVERED
    spans = {one.name: one for one in await_trace(traces, trace_id, len(STAGES) + 2)}
    call, whole = spans.pop("walletpush.v1.DeliveryService/Send"), spans.pop("notification")
    assert sorted(spans) == sorted(STAGES)
    assert {one.span.trace_state for one in spans.values()} == {"vendor=1"}
    assert (call.span.parent_span_id, call.span.kind) == (caller_span, 2)
    assert whole.span.parent_span_id == call.span.span_id
    parents = {name: one.span.parent_span_id for name, one in spans.items()}
    assert parents.pop("journal commit") == spans["intake"].span.span_id
    assert set(parents.values()) == {whole.span.span_id}
    assert (spans["apns request"].span.kind, whole.span.kind) == (3, 1)
    times = [(spans[name].span.start_time_unix_nano, spans[name].span.end_time_unix_nano) for name in STAGES]
    assert times == sorted(times)
    assert all(start <= end for start, end in times)
    assert whole.span.start_time_unix_nano <= times[0][0]
    assert whole.span.end_time_unix_nano == times[-1][1]
    assert call.attributes == {
        "rpc.system": "grpc", "rpc.service": "walletpush.v1.DeliveryService", "rpc.method": "Send",
        "rpc.response.status_code": "OK",
    }  # fmt: skip
    key = final(stub, ident).deliveries[0].device_key
    assert whole.attributes == {
        "walletpush.notification_id": ident, "walletpush.tenant": "default", "walletpush.app": "wallet",
        "walletpush.class": "transactional", "walletpush.state": "delivered",
    }  # fmt: skip
    assert spans["apns request"].attributes == {
        "walletpush.provider": "apns", "walletpush.app": "wallet", "walletpush.class": "transactional",
        "walletpush.device_key": key, "walletpush.attempt": 1, "walletpush.outcome": "delivered",
        "http.response.status_code": 200,
    }  # fmt: skip
    raw = b"".join(traces.raw[started:])
    for secret in (notification.devices[0].token, TITLE, BODY, notification.idempotency_key):
        assert secret.encode() not in raw
    resource = traces.requests[-1].resource_spans[0].resource.attributes
    assert {one.key: one.value.string_value for one in resource}["service.name"] == "walletpush"
    assert (traces.metadata[-1]["authorization"], traces.metadata[-1]["x-team"]) == ("Bearer receiver-key", "wallet")


def test_an_attempt_that_failed_is_a_span_with_its_status_and_reason_and_no_token(
    stub: DeliveryServiceStub, simulators: Simulators, traces: Receiver
) -> None:
    trace_id, _, traceparent = new_parent()
    notification = payment("retry")
    notification.devices.append(fcm_device("android"))
    simulators.misbehave(Faults(outage="unavailable"))
    ident = send_traced(stub, delivery_pb2.SendRequest(notification=notification), traceparent)
    await_trace(traces, trace_id, 4)
    traces.await_spans(lambda spans: any(one.span.status.message for one in spans if one.span.trace_id == trace_id))
    simulators.misbehave(HEALTHY)
    assert final(stub, ident).state == DELIVERED
    traces.await_spans(lambda spans: any(one.span.trace_id == trace_id and one.name == "settle" for one in spans))
    requests = [one for one in traces.trace(trace_id) if one.name.endswith(" request")]
    attempts = [one for one in requests if one.name == "apns request"]
    first, *_, last = sorted(attempts, key=lambda one: one.span.start_time_unix_nano)
    assert (first.attributes["http.response.status_code"], first.attributes["walletpush.attempt"]) == (503, 1)
    assert first.span.status.code == 2
    assert first.span.status.message == first.attributes["walletpush.reason"] == "ServiceUnavailable"
    assert (last.attributes["walletpush.outcome"], last.span.status.code) == ("delivered", 0)
    assert last.attributes["walletpush.attempt"] != 1
    assert Counter(one.name for one in requests)["fcm request"] == 1
    raw = b"".join(traces.raw)
    assert not any(device.token.encode() in raw for device in notification.devices)


def test_a_caller_that_does_not_sample_is_not_traced(stub: DeliveryServiceStub, traces: Receiver) -> None:
    unsampled, _, quiet = new_parent(sampled=False)
    sampled, _, loud = new_parent()
    for traceparent in (*[quiet] * 20, loud):
        final(stub, send_traced(stub, delivery_pb2.SendRequest(notification=payment()), traceparent))
    await_trace(traces, sampled, len(STAGES) + 2)
    assert traces.trace(unsampled) == []


def test_a_batch_is_one_server_span_over_the_share_of_its_notifications_that_is_sampled(
    stub: DeliveryServiceStub, traces: Receiver
) -> None:
    call_name = "walletpush.v1.DeliveryService/SendBatch"
    before = {one.span.trace_id for one in traces.spans}
    request = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(1_000)])
    answer: delivery_pb2.SendBatchResponse = stub.SendBatch(request, timeout=TIMEOUT_S)
    ids = {result.notification_id for result in answer.results}

    def fresh() -> list[Received]:
        return [one for one in traces.spans if one.span.trace_id not in before]

    def is_whole(spans: list[Received]) -> bool:
        counts = Counter(one.name for one in spans)
        per_notification = {counts[name] for name in ("notification", *STAGES)}
        return per_notification != {0} and len(per_notification) == 1 and bool(counts[call_name])

    spans = await_that(fresh, is_whole)
    (call,) = (one for one in spans if one.name == call_name)
    wholes = [one for one in spans if one.name == "notification"]
    # Of 1,000 with a chance of a tenth each; outside of this is seven standard deviations away.
    assert 33 <= len(wholes) <= 167
    assert {one.span.parent_span_id for one in wholes} == {call.span.span_id}
    assert {one.span.trace_id for one in spans} == {call.span.trace_id}
    assert call.span.parent_span_id == b""
    assert {one.attributes["walletpush.notification_id"] for one in wholes} <= ids


def test_the_client_hands_the_active_span_on_message_by_message(traced: Gateway, traces: Receiver) -> None:
    parents = [new_parent() for _ in range(3)]

    async def send(client: Walletpush, trace_id: bytes, span_id: bytes) -> None:
        with active(trace_id, span_id):
            await client.send(payment())

    async def send_all() -> None:
        async with Walletpush(traced.address) as client, asyncio.TaskGroup() as tasks:
            for trace_id, span_id, _ in parents:
                tasks.create_task(send(client, trace_id, span_id))
            await send(client, *parents[0][:2])

    asyncio.run(send_all())
    for trace_id, span_id, _ in parents[1:]:
        spans = await_trace(traces, trace_id, len(STAGES) + 1)
        (whole,) = (one for one in spans if one.name == "notification")
        assert (whole.span.parent_span_id, whole.span.kind) == (span_id, 2)
    assert len([one for one in await_trace(traces, parents[0][0], 14) if one.name == "notification"]) == 2


def test_calls_of_the_client_carry_the_active_span(traced: Gateway, traces: Receiver) -> None:
    one, many = new_parent(), new_parent()

    async def send_all() -> None:
        async with Walletpush(traced.address) as client:
            with active(*one[:2]):
                await client.send_now(payment())
            with active(*many[:2]):
                await client.send_batch([payment(), payment()])

    asyncio.run(send_all())
    for (trace_id, span_id, _), method, count in ((one, "Send", 8), (many, "SendBatch", 15)):
        spans = await_trace(traces, trace_id, count)
        (call,) = (span for span in spans if span.name == f"walletpush.v1.DeliveryService/{method}")
        assert (call.span.parent_span_id, len(spans)) == (span_id, count)


def test_without_a_receiver_everything_is_delivered_and_the_lost_spans_are_counted(
    simulators: Simulators, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    own = ("sample_ratio = 1.0", "interval_s = 0.05", "timeout_s = 0.2", "queue_spans = 64", "max_per_batch = 1000")
    gateway = Gateway(tmp_path, app_toml(simulators) + FAST + tracing(nobody, *own))
    try:
        gateway.start()
        with gateway.delivery() as stub:
            request = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(300)])
            answer: delivery_pb2.SendBatchResponse = stub.SendBatch(request, timeout=TIMEOUT_S)
            await_that(simulators.accepted, lambda count: count == 300)
            assert {final(stub, result.notification_id).state for result in answer.results} == {DELIVERED}
        reasons = await_that(lambda: _dropped(gateway), lambda found: {"not_sent", "queue_full"} <= found.keys())
        # Each notification has seven spans, and the call has one.
        assert await_that(lambda: sum(_dropped(gateway).values()), lambda total: total == 7 * 300 + 1), reasons
        assert gateway.stop() == 0
        assert gateway.log().count("spans_not_sent") == 1
    finally:
        gateway.end()


def test_what_was_not_sent_yet_is_sent_while_draining(simulators: Simulators, traces: Receiver, tmp_path: Path) -> None:
    settings = tracing(traces.port, "interval_s = 60.0", "sample_ratio = 0.0")
    gateway = Gateway(tmp_path, app_toml(simulators) + FAST + settings)
    try:
        gateway.start()
        trace_id, _, traceparent = new_parent()
        with gateway.delivery() as stub:
            final(stub, send_traced(stub, delivery_pb2.SendRequest(notification=payment()), traceparent))
        assert traces.trace(trace_id) == []
        assert gateway.stop() == 0
        assert Counter(one.name for one in traces.trace(trace_id))["settle"] == 1
    finally:
        gateway.end()


@contextmanager
def active(trace_id: bytes, span_id: bytes) -> Iterator[None]:
    ids = int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big")
    token = otel_context.attach(set_span_in_context(NonRecordingSpan(SpanContext(*ids, False, TraceFlags(1)))))
    try:
        yield
    finally:
        otel_context.detach(token)


def _dropped(gateway: Gateway) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{gateway.web}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'^walletpush_spans_dropped_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {reason: float(count) for reason, count in found}
