from array import array
from collections.abc import Sequence

from core.content.message import Content
from core.content.purpose import Purpose
from core.model import Target

Ints = array[int] | memoryview[int]

class Notification:
    id: bytes
    tenant: str
    app: str
    campaign: str
    klass: int
    push_type: int
    collapse_given: bool
    collapse_id: bytes
    accepted_unix_ms: int
    accepted_ns: int
    send_at_unix_ms: int
    expires_unix_ms: int
    segment: int
    index: int
    tenant_tag: int
    app_tag: int
    user_ids: tuple[str, ...]
    targets: tuple[Target, ...]
    content: Content | None
    purpose: Purpose | None
    open_deliveries: int
    in_flight: int
    recovered: bool
    outcome_bits: int
    cancelled: bool
    def __init__(
        self, tenant: str, app: str, campaign: str, klass: int, push_type: int, collapse_id: bytes,
        accepted_unix_ms: int, send_at_unix_ms: int, expires_unix_ms: int, tenant_tag: int, app_tag: int,
        user_ids: tuple[str, ...], targets: tuple[Target, ...], content: Content | None,
    ) -> None: ...

class Flow:
    key: int
    limited: bool
    def __init__(self, key: int, buckets: Sequence[int], rules: Sequence[int]) -> None: ...

class Delivery:
    notification: Notification
    flow: Flow
    token: str
    payload: bytes
    envelope: object
    device_key: int
    registered_unix_ms: int
    provider: int
    route: int
    attempts: int
    possibly_delivered: bool
    slot: int
    queued_ns: int
    submitted_ns: int
    queued: bool
    provider_message_id: str | None
    exchange: object
    tally: object
    def __init__(
        self, notification: Notification, token: str, payload: bytes, envelope: object,
        device_key: int, registered_unix_ms: int, provider: int, route: int, flow: Flow,
    ) -> None: ...

def assign_places(
    notifications: list[Notification], ids: bytes, segment: int, accepted_ns: int = 0
) -> None: ...
def assign_place(notification: Notification, id: bytes, segment: int, index: int) -> None: ...
def by_segment(notifications: list[Notification]) -> list[tuple[int, list[Notification]]]: ...
def count_classes(notifications: list[Notification]) -> tuple[int, int, int, int]: ...
def has_later(notifications: list[Notification]) -> bool: ...
def has_users(notifications: list[Notification]) -> bool: ...
def release_many(notifications: list[Notification]) -> None: ...
def tallied(deliveries: list[Delivery]) -> list[int]: ...
def take_live(deliveries: list[Delivery], now_unix_ms: int) -> list[Delivery]: ...
def mark_submitted(deliveries: list[Delivery], count: int, now_ns: int) -> None: ...
def mark_answered(deliveries: list[Delivery]) -> None: ...
def find_ended(slab: list[Delivery | None], start: int, stop: int, now_unix_ms: int) -> list[Delivery]: ...
def slots_of(deliveries: list[Delivery], slots: Ints) -> None: ...
def place_many(slab: list[Delivery | None], deliveries: list[Delivery], slots: Ints) -> None: ...
def pick_many(slab: list[Delivery | None], slots: Ints) -> list[Delivery]: ...
def vacate_many(slab: list[Delivery | None], deliveries: list[Delivery]) -> None: ...
def fill_lanes(
    deliveries: list[Delivery], slots: Ints, routes: Ints, priorities: Ints, flows: Ints, now_ns: int
) -> None: ...
def fill_buckets(deliveries: list[Delivery], keys: Ints, rules: Ints) -> bool: ...
def seconds_since_due(
    deliveries: list[Delivery], now_ns: int, now_unix_ms: int
) -> list[list[tuple[float, int]]]: ...
