"""The client that callers import: `from gateway.client import Walletpush`."""

from gateway.client.answers import Accepted, Receipts
from gateway.client.errors import (
    Closed,
    Conflict,
    Denied,
    Failed,
    FieldViolation,
    FlowControlFull,
    InvalidArgument,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
    WalletpushError,
)
from gateway.client.options import Batching, FlowControl, Retry, Tls
from gateway.client.tokens import apns_token, fcm_token
from gateway.client.walletpush import Walletpush
from protos.walletpush.v1.device_pb2 import Device
from protos.walletpush.v1.notification_pb2 import (
    ApnsOptions,
    Content,
    DeviceToken,
    FcmOptions,
    Notification,
    NotificationClass,
    WalletPassUpdate,
)
from protos.walletpush.v1.receipt_pb2 import DeliveryState, NotificationReceipt, NotificationState, Receipt

SECURITY = NotificationClass.NOTIFICATION_CLASS_SECURITY
TRANSACTIONAL = NotificationClass.NOTIFICATION_CLASS_TRANSACTIONAL
SERVICE = NotificationClass.NOTIFICATION_CLASS_SERVICE
MARKETING = NotificationClass.NOTIFICATION_CLASS_MARKETING

__all__ = [
    "MARKETING",
    "SECURITY",
    "SERVICE",
    "TRANSACTIONAL",
    "Accepted",
    "ApnsOptions",
    "Batching",
    "Closed",
    "Conflict",
    "Content",
    "DeliveryState",
    "Denied",
    "Device",
    "DeviceToken",
    "Failed",
    "FcmOptions",
    "FieldViolation",
    "FlowControl",
    "FlowControlFull",
    "InvalidArgument",
    "NotFound",
    "Notification",
    "NotificationClass",
    "NotificationReceipt",
    "NotificationState",
    "Overloaded",
    "Receipt",
    "Receipts",
    "Refused",
    "Retry",
    "Tls",
    "Unavailable",
    "WalletPassUpdate",
    "Walletpush",
    "WalletpushError",
    "apns_token",
    "fcm_token",
]
