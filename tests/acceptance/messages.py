"""Notifications for these tests, and waiting for what becomes of them."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from protos.walletpush.v1 import delivery_pb2, notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub

T = TypeVar("T")
TIMEOUT_S = 10.0
_FINAL = frozenset({
    receipt_pb2.NOTIFICATION_STATE_DELIVERED, receipt_pb2.NOTIFICATION_STATE_PARTIALLY_DELIVERED,
    receipt_pb2.NOTIFICATION_STATE_FAILED, receipt_pb2.NOTIFICATION_STATE_EXPIRED,
    receipt_pb2.NOTIFICATION_STATE_CANCELLED, receipt_pb2.NOTIFICATION_STATE_SUPPRESSED,
})  # fmt: skip


def apns_token(name: str) -> str:
    """Return a device token, 64 hex digits."""
    return hashlib.sha256(name.encode()).hexdigest()


def apns_device(name: str) -> notification_pb2.DeviceToken:
    """Return an Apple device."""
    return notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=apns_token(name))


def fcm_device(name: str) -> notification_pb2.DeviceToken:
    """Return an Android device."""
    return notification_pb2.DeviceToken(
        provider=notification_pb2.PROVIDER_FCM, token=f"cJ2xkQ0RT2:APA91bF-{apns_token(name)}"
    )


def payment(app: str = "wallet", key: str = "", device: str = "") -> notification_pb2.Notification:
    """Return a payment notice to one Apple device; key and device are new ones unless given."""
    name = uuid.uuid4().hex
    return notification_pb2.Notification(
        idempotency_key=key or name,
        app=app,
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        devices=[apns_device(device or name)],
        content=notification_pb2.Content(title="Payment received", body="CNY 12.50 at 星巴克", data={"id": name}),
    )


def send(stub: DeliveryServiceStub, notification: notification_pb2.Notification) -> delivery_pb2.SendResponse:
    """Send one notification."""
    request = delivery_pb2.SendRequest(notification=notification)
    answer: delivery_pb2.SendResponse = stub.Send(request, timeout=TIMEOUT_S)
    return answer


def receipt_of(stub: DeliveryServiceStub, notification_id: str) -> receipt_pb2.NotificationReceipt:
    """Return where a notification stands."""
    request = delivery_pb2.GetReceiptRequest(notification_id=notification_id)
    answer: delivery_pb2.GetReceiptResponse = stub.GetReceipt(request, timeout=TIMEOUT_S)
    return answer.receipt


def final(stub: DeliveryServiceStub, notification_id: str, wait_s: float = 15.0) -> receipt_pb2.NotificationReceipt:
    """Return the receipt of a notification once it has ended."""
    return await_that(lambda: receipt_of(stub, notification_id), lambda receipt: receipt.state in _FINAL, wait_s)


def await_that(look: Callable[[], T], good: Callable[[T], bool], wait_s: float = 15.0) -> T:
    """Look until it is good; return what was seen then."""
    deadline = time.monotonic() + wait_s
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.02)
    return seen


def error_of(stub_call: Callable[[], object]) -> grpc.RpcError:
    """Return the error of a call that must fail."""
    try:
        answer = stub_call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"not refused: {answer}")


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    """Return the google.rpc.Status that came with an error; empty if none did."""
    trailers = cast("tuple[tuple[str, bytes], ...]", error.trailing_metadata() or ())
    return status_pb2.Status.FromString(dict(trailers).get("grpc-status-details-bin", b""))


def details_of(status: status_pb2.Status, kind: type[Message]) -> list[Message]:
    """Return the details of one kind."""
    found = []
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            found.append(detail)
    return found


def fields_of(status: status_pb2.Status) -> list[str]:
    """Return the fields that a BadRequest names."""
    requests = details_of(status, error_details_pb2.BadRequest)
    return [violation.field for request in requests for violation in request.field_violations]  # type: ignore[attr-defined]
