"""Receipts and states of the model -> proto."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from core.model import DeliveryState, NotificationState, Receipt
from core.notification_id import format_id
from protos.walletpush.v1 import receipt_pb2 as pb

_STATES = {
    NotificationState.ACCEPTED: pb.NOTIFICATION_STATE_ACCEPTED,
    NotificationState.SCHEDULED: pb.NOTIFICATION_STATE_SCHEDULED,
    NotificationState.DELIVERED: pb.NOTIFICATION_STATE_DELIVERED,
    NotificationState.PARTIALLY_DELIVERED: pb.NOTIFICATION_STATE_PARTIALLY_DELIVERED,
    NotificationState.FAILED: pb.NOTIFICATION_STATE_FAILED,
    NotificationState.EXPIRED: pb.NOTIFICATION_STATE_EXPIRED,
    NotificationState.CANCELLED: pb.NOTIFICATION_STATE_CANCELLED,
    NotificationState.SUPPRESSED: pb.NOTIFICATION_STATE_SUPPRESSED,
}
_DELIVERY = {
    DeliveryState.PENDING: pb.DELIVERY_STATE_UNSPECIFIED,
    DeliveryState.DELIVERED: pb.DELIVERY_STATE_DELIVERED,
    DeliveryState.FAILED: pb.DELIVERY_STATE_FAILED,
    DeliveryState.EXPIRED: pb.DELIVERY_STATE_EXPIRED,
    DeliveryState.CANCELLED: pb.DELIVERY_STATE_CANCELLED,
    DeliveryState.SUPPRESSED: pb.DELIVERY_STATE_SUPPRESSED,
}
_MODEL = {int(told): state for state, told in _STATES.items()}


def to_state(state: NotificationState) -> pb.NotificationState:
    """Return a notification's state as the contract calls it."""
    return _STATES[state]


def from_state(state: int) -> NotificationState:
    """Return a state as the model calls it."""
    return _MODEL[state]


def to_timestamp(unix_ms: int) -> Timestamp:
    """Return a moment as google.protobuf.Timestamp."""
    return Timestamp(seconds=unix_ms // 1_000, nanos=unix_ms % 1_000 * 1_000_000)


def to_receipt(receipt: Receipt, app_names: Mapping[int, str]) -> pb.Receipt:
    """Return a receipt for its caller; app_names: the app of each tag, an app that is gone stays empty."""
    return pb.Receipt(
        notification_id=format_id(receipt.notification_id),
        state=_DELIVERY[receipt.state],
        time=to_timestamp(receipt.at_unix_ms),
        provider=receipt.provider,  # type: ignore[arg-type]
        device_key=f"{receipt.device_key:016x}" if receipt.device_key else "",
        provider_status=receipt.status,
        reason=receipt.reason,
        attempts=receipt.attempts,
        possibly_delivered=receipt.possibly_delivered,
        provider_message_id=receipt.provider_message_id,
        app=app_names.get(receipt.app_tag, ""),
    )
