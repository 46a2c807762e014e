"""One notification's way through a whole gateway of two workers."""

from __future__ import annotations

import time

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.simulators.faults import Faults
from core.notification_id import parse_id, parse_id_text
from protos.walletpush.v1 import delivery_pb2, notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import PASS_TYPE, Gateway
from tests.acceptance.messages import (
    TIMEOUT_S,
    apns_device,
    await_that,
    error_of,
    fcm_device,
    fields_of,
    final,
    payment,
    receipt_of,
    send,
    status_of,
)
from tests.acceptance.simulators import HEALTHY, Simulators

OUTAGE = Faults(outage="unavailable")
DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED
FAILED = receipt_pb2.NOTIFICATION_STATE_FAILED
CANCELLED = receipt_pb2.NOTIFICATION_STATE_CANCELLED


def cancel(stub: DeliveryServiceStub, notification_id: str) -> delivery_pb2.CancelNotificationResponse:
    request = delivery_pb2.CancelNotificationRequest(notification_id=notification_id)
    answer: delivery_pb2.CancelNotificationResponse = stub.CancelNotification(request, timeout=TIMEOUT_S)
    return answer


def in_s(seconds: float) -> Timestamp:
    due_ns = time.time_ns() + int(seconds * 1e9)
    return Timestamp(seconds=due_ns // 10**9, nanos=due_ns % 10**9)


def test_what_is_sent_reaches_both_providers_and_ends_in_receipts(
    delivery: DeliveryServiceStub, simulators: Simulators
) -> None:
    notification = payment()
    notification.devices.append(fcm_device("android"))
    answer = send(delivery, notification)
    receipt = final(delivery, answer.notification_id)
    assert (answer.status, receipt.state) == (delivery_pb2.SEND_STATUS_ACCEPTED, DELIVERED)
    assert sorted(one.provider for one in receipt.deliveries) == [1, 2]
    assert {one.provider_status for one in receipt.deliveries} == {200}
    assert {one.app for one in receipt.deliveries} == {"wallet"}
    assert simulators.accepted("apns") == simulators.accepted("fcm") == 1
    apns_id = next(one.provider_message_id for one in receipt.deliveries if one.provider == 1)
    assert len(simulators.arrivals(apns_id)) == 1


def test_a_repeated_key_gets_the_first_answer_and_sends_nothing(
    gateway: Gateway, delivery: DeliveryServiceStub, simulators: Simulators
) -> None:
    notification = payment()
    first = send(delivery, notification)
    final(delivery, first.notification_id)
    # Some of these reach the other worker.
    for _ in range(6):
        with gateway.delivery() as other:
            again = send(other, notification)
            assert again.notification_id == first.notification_id
            assert again.status == delivery_pb2.SEND_STATUS_DUPLICATE
    assert simulators.accepted() == 1


def test_a_repetition_within_one_batch_is_a_duplicate(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    notification = payment()
    request = delivery_pb2.SendBatchRequest(notifications=[notification, notification])
    first, second = delivery.SendBatch(request, timeout=TIMEOUT_S).results
    assert (first.status, second.status) == (
        delivery_pb2.SEND_STATUS_ACCEPTED, delivery_pb2.SEND_STATUS_DUPLICATE
    )  # fmt: skip
    assert first.notification_id == second.notification_id
    final(delivery, first.notification_id)
    assert simulators.accepted() == 1


def test_a_key_used_for_another_body_is_refused(delivery: DeliveryServiceStub) -> None:
    notification = payment()
    send(delivery, notification)
    notification.content.title = "Payment returned"
    error = error_of(lambda: send(delivery, notification))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS


def test_a_batch_answers_each_message_for_itself(delivery: DeliveryServiceStub) -> None:
    good, bad = payment(), payment()
    bad.devices[0].token = "xyz"
    request = delivery_pb2.SendBatchRequest(notifications=[bad, good])
    refused, taken = delivery.SendBatch(request, timeout=TIMEOUT_S).results
    assert refused.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert fields_of(refused.error) == ["devices[0].token"]
    assert final(delivery, taken.notification_id).state == DELIVERED


def test_a_stream_is_acknowledged_in_order(delivery: DeliveryServiceStub) -> None:
    chunks = [
        delivery_pb2.SendStreamRequest(sequence=41 + i, notifications=[payment() for _ in range(20)]) for i in range(30)
    ]
    answers = list(delivery.SendStream(iter(chunks), timeout=TIMEOUT_S))
    assert [answer.sequence for answer in answers] == [chunk.sequence for chunk in chunks]
    results = [result for answer in answers for result in answer.results]
    assert {result.status for result in results} == {delivery_pb2.SEND_STATUS_ACCEPTED}
    assert len({result.notification_id for result in results}) == 600
    for result in (results[0], results[-1]):
        assert final(delivery, result.notification_id).state == DELIVERED


def test_a_wallet_pass_update_reaches_the_device(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    notification = payment()
    notification.wallet_pass.pass_type_id = PASS_TYPE
    notification.wallet_pass.serial_number = "0001"
    assert final(delivery, send(delivery, notification).notification_id).state == DELIVERED
    assert simulators.accepted() == 1


def test_a_scheduled_notification_waits_for_its_time(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    notification = payment()
    notification.send_at.CopyFrom(in_s(1.2))
    notification_id = send(delivery, notification).notification_id
    assert receipt_of(delivery, notification_id).state == receipt_pb2.NOTIFICATION_STATE_SCHEDULED
    assert simulators.accepted() == 0
    receipt = final(delivery, notification_id)
    assert receipt.state == DELIVERED
    assert receipt.deliveries[0].time.ToNanoseconds() >= notification.send_at.ToNanoseconds() // 10**6 * 10**6


def test_a_scheduled_notification_can_be_cancelled_through_any_worker(
    gateway: Gateway, simulators: Simulators
) -> None:
    with gateway.delivery() as first, other_worker(gateway, first) as second:
        notification = payment()
        notification.send_at.CopyFrom(in_s(1.5))
        notification_id = send(first, notification).notification_id
        answer = cancel(second, notification_id)
        assert (answer.cancelled, answer.state) == (True, CANCELLED)
        assert final(first, notification_id).deliveries[0].reason == "CANCELLED"
        again = cancel(second, notification_id)
        assert (again.cancelled, again.state) == (False, CANCELLED)
        time.sleep(1.7)
        assert simulators.accepted() == 0


def test_what_waits_behind_an_outage_can_be_cancelled(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    simulators.misbehave(OUTAGE)
    waiting = send(delivery, payment("outage")).notification_id
    kept = send(delivery, payment("outage")).notification_id
    time.sleep(0.3)
    answer = await_that(lambda: cancel(delivery, waiting), lambda found: found.cancelled)
    assert answer.state == receipt_pb2.NOTIFICATION_STATE_ACCEPTED
    assert final(delivery, waiting).state == CANCELLED
    simulators.misbehave(HEALTHY)
    assert final(delivery, kept).state == DELIVERED
    assert simulators.accepted() == 1


def test_what_was_delivered_cannot_be_cancelled(delivery: DeliveryServiceStub) -> None:
    notification_id = send(delivery, payment()).notification_id
    final(delivery, notification_id)
    answer = cancel(delivery, notification_id)
    assert (answer.cancelled, answer.state) == (False, DELIVERED)


def test_what_outlives_its_lifetime_in_an_outage_expires(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    simulators.misbehave(OUTAGE)
    notification = payment("expiry")
    notification.ttl.CopyFrom(Duration(seconds=1))
    receipt = final(delivery, send(delivery, notification).notification_id)
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_EXPIRED
    assert receipt.deliveries[0].state == receipt_pb2.DELIVERY_STATE_EXPIRED
    assert simulators.accepted() == 0


def test_a_retry_after_503_repeats_the_apns_id(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    simulators.misbehave(OUTAGE)
    notification_id = send(delivery, payment("retry")).notification_id
    await_that(simulators.requests, lambda count: count > 0)
    simulators.misbehave(HEALTHY)
    (receipt,) = final(delivery, notification_id).deliveries
    assert receipt.state == receipt_pb2.DELIVERY_STATE_DELIVERED
    assert receipt.attempts >= 2
    assert len(simulators.arrivals(receipt.provider_message_id)) == 1
    assert simulators.refusals(receipt.provider_message_id) == receipt.attempts - 1


def test_a_notification_to_a_user_without_devices_fails(delivery: DeliveryServiceStub) -> None:
    notification = payment()
    del notification.devices[:]
    notification.user_ids.append("nobody")
    receipt = final(delivery, send(delivery, notification).notification_id)
    assert (receipt.state, receipt.deliveries[0].reason) == (FAILED, "NO_DEVICES")


def test_one_dead_device_of_two_makes_a_partial_delivery(delivery: DeliveryServiceStub, simulators: Simulators) -> None:
    notification = payment()
    notification.devices.append(apns_device("dead"))
    simulators.misbehave(Faults(dead_prefix=notification.devices[1].token[:10]))
    receipt = final(delivery, send(delivery, notification).notification_id)
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_PARTIALLY_DELIVERED
    assert sorted(one.reason for one in receipt.deliveries) == ["", "Unregistered"]


@pytest.mark.parametrize("size_bytes", [17 << 20])
def test_a_message_above_the_limit_is_refused(delivery: DeliveryServiceStub, size_bytes: int) -> None:
    notification = payment()
    notification.content.body = "x" * size_bytes
    error = error_of(lambda: send(delivery, notification))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_id_is_not_found_and_a_wrong_one_refused(delivery: DeliveryServiceStub) -> None:
    unknown = error_of(lambda: receipt_of(delivery, "01a20f3c-7375-8000-8000-00000fff0000"))
    wrong = error_of(lambda: receipt_of(delivery, "not-an-id"))
    assert unknown.code() is grpc.StatusCode.NOT_FOUND
    assert wrong.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(status_of(wrong)) == ["notification_id"]


def test_a_sandbox_device_of_an_app_without_sandbox_ends_with_a_reason(delivery: DeliveryServiceStub) -> None:
    notification = payment()
    notification.devices[0].environment = notification_pb2.ENVIRONMENT_SANDBOX
    receipt = final(delivery, send(delivery, notification).notification_id)
    assert (receipt.state, receipt.deliveries[0].reason) == (FAILED, "NO_ROUTE")


def test_the_largest_notification_that_is_allowed_is_delivered(delivery: DeliveryServiceStub) -> None:
    notification = payment()
    del notification.devices[:]
    notification.devices.extend(apns_device(f"large-{i}") for i in range(9_999))
    notification.devices.append(fcm_device("large"))
    receipt = final(delivery, send(delivery, notification).notification_id, 40.0)
    assert receipt.state == DELIVERED
    assert len(receipt.deliveries) == 10_000


class other_worker:  # noqa: N801  # reads as the context manager it is
    """A connection to another worker than the given one's."""

    def __init__(self, gateway: Gateway, first: DeliveryServiceStub) -> None:
        self._gateway = gateway
        self._number = worker_of(first)

    def __enter__(self) -> DeliveryServiceStub:
        for _ in range(50):
            self._opened = self._gateway.delivery()
            stub = self._opened.__enter__()
            if worker_of(stub) != self._number:
                return stub
            self._opened.__exit__(None, None, None)
        raise AssertionError("all connections lead to one worker")

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)


def worker_of(stub: DeliveryServiceStub) -> int:
    return parse_id(parse_id_text(send(stub, scheduled_probe()).notification_id))[1]


def scheduled_probe() -> notification_pb2.Notification:
    """A notification that tells its worker by its id and is never due within a test."""
    probe = payment()
    probe.send_at.CopyFrom(in_s(3600))
    return probe
