"""The nouns every room shares: classes, providers, push types, devices and the values that travel with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class NotificationClass(IntEnum):
    """What a notification is for; the order is the order of the lanes, the smaller goes first."""

    SECURITY = 0
    TRANSACTIONAL = 1
    SERVICE = 2
    MARKETING = 3


class Provider(IntEnum):
    """A push service that takes notifications for devices."""

    APNS = 1
    FCM = 2


class Environment(IntEnum):
    """The APNs environment a token belongs to; FCM has only production."""

    PRODUCTION = 0
    SANDBOX = 1


class PushType(IntEnum):
    """apns-push-type values.

    Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
    """

    ALERT = 1
    BACKGROUND = 2
    LOCATION = 3
    VOIP = 4
    COMPLICATION = 5
    FILEPROVIDER = 6
    MDM = 7
    LIVEACTIVITY = 8
    PUSHTOTALK = 9
    CONTROLS = 10
    WIDGETS = 11


class DeliveryState(IntEnum):
    """Where one delivery (a notification to one device) stands; all but PENDING are final."""

    PENDING = 0
    DELIVERED = 1
    FAILED = 2
    EXPIRED = 3
    CANCELLED = 4
    SUPPRESSED = 5


class NotificationState(IntEnum):
    """Where a notification stands, summed over its deliveries."""

    ACCEPTED = 0
    DELIVERED = 1
    PARTIALLY_DELIVERED = 2
    FAILED = 3
    EXPIRED = 4
    CANCELLED = 5
    SUPPRESSED = 6
    SCHEDULED = 7


class Target(NamedTuple):
    """A device as its provider addresses it. registered_unix_ms is 0 for a token the caller named itself."""

    provider: Provider
    token: str
    environment: Environment = Environment.PRODUCTION
    registered_unix_ms: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device of one user of an app; (app, provider, token) is unique.

    permission: a core.policy.people.Permission. encryption_key: X25519 public key, 32 bytes, or none.
    """

    app: str
    user_id: str
    target: Target
    locale: str = ""
    time_zone: str = ""
    app_version: str = ""
    permission: int = 0
    encryption_key: bytes = b""
    manufacturer: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one delivery. device_key is the token's keyed hash, never the token.

    possibly_delivered: an earlier attempt died after its request was written, so the device may have heard twice.
    """

    notification_id: bytes
    state: DeliveryState
    at_unix_ms: int
    provider: int
    device_key: int
    status: int
    reason: str
    attempts: int
    possibly_delivered: bool
    provider_message_id: str
    tenant_tag: int
    app_tag: int
