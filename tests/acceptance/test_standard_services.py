"""What any gRPC server has: health and reflection; and what operators read over HTTP."""

from __future__ import annotations

import urllib.request

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, await_that, final, payment, send

SERVICES = ("", "walletpush.v1.DeliveryService", "walletpush.v1.DeviceService")


def test_health_says_serving_for_each_service(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in SERVICES:
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_public_services_alone(gateway: Gateway) -> None:
    with gateway.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = stub.ServerReflectionInfo(asked, timeout=TIMEOUT_S)
    names = {service.name for service in answer.list_services_response.service}
    assert set(SERVICES[1:]) <= names
    assert not any("internal" in name for name in names)


def test_metrics_count_what_both_workers_did(gateway: Gateway, delivery: DeliveryServiceStub) -> None:
    before = accepted(gateway)
    for _ in range(4):
        with gateway.delivery() as stub:
            final(stub, send(stub, payment()).notification_id)
    await_that(lambda: accepted(gateway), lambda count: count == before + 4)


def accepted(gateway: Gateway) -> float:
    with urllib.request.urlopen(f"http://{gateway.web}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("walletpush_notifications_accepted_total"))
