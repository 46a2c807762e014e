"""Proto <-> model: validates everything a caller sent and names the field at fault."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.content.message import Content
from core.delivery import Notification
from core.errors import InvalidRequest
from core.model import Environment, Provider, PushType, Target
from gateway.convert_options import apns_options, fcm_options
from gateway.convert_purpose import to_purpose
from gateway.fields import bounded, check_token, deep_link, header_safe, https_url, required, timestamp_unix_ms
from gateway.quick_read import QuickReader
from protos.walletpush.v1 import notification_pb2 as pb

MAX_BATCH = 1_000
MAX_RECIPIENTS = 10_000
MAX_TTL_MS = 28 * 86_400_000
MAX_AHEAD_MS = 30 * 86_400_000
DEFAULT_TTL_MS = 86_400_000
# Below this no limit on a string's bytes can be exceeded, whatever its characters, except where 64 bytes are the limit.
_SHORT = 32
_PROVIDERS = {int(provider): provider for provider in Provider}
_ENVIRONMENTS = {0: Environment.PRODUCTION, 1: Environment.PRODUCTION, 2: Environment.SANDBOX}
_PUSH_TYPES = {int(push_type): push_type for push_type in PushType}
# The constructor of a NamedTuple is written in Python; this is what it calls.
_new = tuple.__new__
_RESERVED_DATA = ("google.", "gcm.")
_RESERVED_KEYS = frozenset({"aps", "from", "message_type"})
_NO_APP: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """What bounds one caller's requests: its tenant, and the providers of each app it may send for."""

    tenant: str
    tenant_tag: int
    providers: Mapping[str, frozenset[int]]
    app_tags: Mapping[str, int]
    reader: QuickReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        reader = QuickReader(self.tenant, self.tenant_tag, self.providers, self.app_tags)
        object.__setattr__(self, "reader", reader)


def to_notification(
    msg: pb.Notification, scope: Scope, now_unix_ms: int, targets: Sequence[Target] | None = None
) -> Notification:
    """Validate one message and make it a Notification, without an id yet.

    targets: what to_targets made of its devices, for those who did that in steps.

    Raises InvalidRequest naming the first field that is wrong.
    """
    key = msg.idempotency_key
    if not 0 < len(key) <= _SHORT or not key.isprintable():
        required("idempotency_key", key, 128)
    app = msg.app
    providers = scope.providers.get(app, _NO_APP)
    if not providers:
        raise InvalidRequest("app", "is required" if not app else f"unknown app {app[:64]!r}, or not yours")
    klass = msg.notification_class - 1
    if not 0 <= klass <= 3:
        raise InvalidRequest("notification_class", "must be security, transactional, service or marketing")
    explicit, users = _recipients(msg, scope, targets)
    kind = msg.WhichOneof("message")
    if kind == "content":
        content = _content(msg)
        push_type = _push_type(msg.push_type, content)
    elif kind == "template":
        content, push_type = _template(msg), PushType.ALERT
    else:
        content, push_type = _wallet_pass(msg, kind), PushType.BACKGROUND
    send_at, expires = _times(msg, now_unix_ms)
    campaign = msg.campaign_id
    if campaign:
        bounded("campaign_id", campaign, 64)
    notification = Notification(
        scope.tenant, app, campaign, klass, push_type, _collapse_id(msg, kind), now_unix_ms, send_at, expires,
        scope.tenant_tag, scope.app_tags[app], users, explicit, content,
    )
    notification.purpose = to_purpose(msg)
    return notification


def to_target(device: pb.DeviceToken, providers: frozenset[int]) -> Target:
    """Validate a device token of one of the app's providers. Raises InvalidRequest, its field without a path."""
    provider = device.provider
    if provider not in providers:
        raise InvalidRequest("provider", "is required" if not provider else "not configured for this app")
    environment = _ENVIRONMENTS.get(device.environment)
    if environment is None or (environment and provider != pb.PROVIDER_APNS):
        raise InvalidRequest("environment", "must be production, or sandbox with APNs")
    return _new(Target, (_PROVIDERS[provider], check_token("token", device.token, provider), environment, 0))


def named_target(field: str, device: pb.DeviceToken, providers: frozenset[int]) -> Target:
    """Validate a device token that stands in this field of a request. Raises InvalidRequest."""
    try:
        return to_target(device, providers)
    except InvalidRequest as error:
        raise InvalidRequest(f"{field}.{error.field}", error.why) from None


def to_targets(msg: pb.Notification, scope: Scope, start: int, stop: int) -> list[Target]:
    """Validate the devices from start to stop. Raises InvalidRequest."""
    targets: list[Target] = []
    providers = scope.providers.get(msg.app, _NO_APP)
    try:
        for device in msg.devices[start:stop]:
            targets.append(to_target(device, providers))  # noqa: PERF401  # how many there are names the one at fault
    except InvalidRequest as error:
        raise InvalidRequest(f"devices[{start + len(targets)}].{error.field}", error.why) from None
    return targets


def _recipients(
    msg: pb.Notification, scope: Scope, targets: Sequence[Target] | None
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    users, count = msg.user_ids, len(msg.user_ids) + len(msg.devices)
    if not 1 <= count <= MAX_RECIPIENTS:
        raise InvalidRequest("devices", f"1 to {MAX_RECIPIENTS:,} user_ids and devices together, not {count:,}")
    if targets is None:
        targets = to_targets(msg, scope, 0, count)
    user_ids = tuple(users) if users else ()
    for i, user in enumerate(user_ids):
        required(f"user_ids[{i}]", user, 128)
    # A token that is named twice still hears it once.
    return tuple(targets if len(targets) == 1 else dict.fromkeys(targets)), user_ids


def _content(msg: pb.Notification) -> Content:  # noqa: C901  # a branch per field; calls for them took a third more
    content = msg.content
    badge = -1
    if content.HasField("badge"):
        badge = content.badge
        if not 0 <= badge <= 99_999:
            raise InvalidRequest("content.badge", "0 to 99,999")
    title, body, image, video = content.title, content.body, content.image_url, content.video_url
    link, sound, thread, entries = content.deep_link, content.sound, content.thread_key, content.data
    # A string of up to 32 printable characters fits every limit below: most fields need no call.
    if len(title) > _SHORT or not title.isprintable():
        bounded("content.title", title, 256)
    if len(body) > _SHORT or not body.isprintable():
        bounded("content.body", body, 4_000)
    if image:
        https_url("content.image_url", image)
    if video:
        https_url("content.video_url", video)
    if link:
        deep_link("content.deep_link", link)
    if sound:
        bounded("content.sound", sound, 128)
    if thread:
        bounded("content.thread_key", thread, 64)
    data = _data(entries) if entries else None
    apns = apns_options(msg.apns) if msg.HasField("apns") else None
    fcm = fcm_options(msg.fcm) if msg.HasField("fcm") else None
    if not (title or body or data or badge >= 0 or apns or fcm):
        raise InvalidRequest("content", "says nothing: give a title, a body, data, a badge or provider options")
    return _new(Content, (title, body, image, video, link, badge, sound, thread, data, "", apns, fcm))


def _data(entries: Mapping[str, str]) -> dict[str, str]:
    if len(entries) > 64:
        raise InvalidRequest("content.data", f"at most 64 entries, not {len(entries):,}")
    # dict(entries) goes through the abstract Mapping and takes twice as long.
    data = {key: entries[key] for key in entries}
    total = 0
    for key, value in data.items():
        if not key or key in _RESERVED_KEYS or key.startswith(_RESERVED_DATA):
            raise InvalidRequest("content.data", f"key {key[:64]!r} is empty or reserved")
        size = len(key) + len(value)
        if size > _SHORT or len(key) > _SHORT // 2 or not key.isprintable() or not value.isprintable():
            bounded("content.data", key, 64)
            bounded("content.data", value, 2_048)
            size = len(key.encode()) + len(value.encode())
        # No character takes more than 4 bytes, so a short pair counts as much as it could.
        total += size if size > _SHORT else 4 * size
    if total > 4_000 and (total := sum(len(k.encode()) + len(v.encode()) for k, v in data.items())) > 4_000:
        raise InvalidRequest("content.data", f"at most 4,000 bytes in all, not {total:,}")
    return data


def _push_type(asked: int, content: Content) -> PushType:
    shows = bool(content.title or content.body or (content.apns and content.apns.raw_payload_json))
    if not asked:
        return PushType.ALERT if shows or content.badge >= 0 else PushType.BACKGROUND
    push_type = _PUSH_TYPES.get(asked)
    if push_type is None:
        raise InvalidRequest("push_type", f"unknown push type {asked}")
    if push_type is PushType.ALERT and not (shows or content.badge >= 0):
        raise InvalidRequest("push_type", "an alert needs a title, a body or a badge")
    return push_type


def _template(msg: pb.Notification) -> Content:
    if msg.push_type not in (0, PushType.ALERT):
        raise InvalidRequest("push_type", "a template is always shown: an alert")
    apns = apns_options(msg.apns) if msg.HasField("apns") else None
    return Content(apns=apns, fcm=fcm_options(msg.fcm) if msg.HasField("fcm") else None)


def _wallet_pass(msg: pb.Notification, kind: str | None) -> Content:
    if kind is None:
        raise InvalidRequest("message", "one of content, template and wallet_pass is required")
    passes = msg.wallet_pass
    pass_type_id = required("wallet_pass.pass_type_id", passes.pass_type_id, 128)
    if not header_safe("wallet_pass.pass_type_id", pass_type_id, 128).startswith("pass."):
        raise InvalidRequest("wallet_pass.pass_type_id", 'must begin with "pass."')
    required("wallet_pass.serial_number", passes.serial_number, 128)
    if msg.push_type not in (0, PushType.BACKGROUND):
        raise InvalidRequest("push_type", "a wallet pass update is always a background push")
    return Content(pass_type_id=pass_type_id)


def _times(msg: pb.Notification, now_unix_ms: int) -> tuple[int, int]:
    send_at = 0
    if msg.HasField("send_at"):
        send_at = timestamp_unix_ms("send_at", msg.send_at)
        if send_at > now_unix_ms + MAX_AHEAD_MS:
            raise InvalidRequest("send_at", "at most 30 days ahead")
        send_at = send_at if send_at > now_unix_ms else 0
    due = send_at or now_unix_ms
    lifetime = msg.WhichOneof("lifetime")
    if lifetime is None:
        return send_at, due + DEFAULT_TTL_MS
    if lifetime == "ttl":
        ttl_ms = msg.ttl.seconds * 1_000 + msg.ttl.nanos // 1_000_000
        if not (1_000 <= ttl_ms <= MAX_TTL_MS and 0 <= msg.ttl.nanos <= 999_999_999):
            raise InvalidRequest("ttl", "1 s to 28 days")
        return send_at, due + ttl_ms
    expires = timestamp_unix_ms("expire_time", msg.expire_time)
    if not due < expires <= due + MAX_TTL_MS:
        raise InvalidRequest("expire_time", "after the moment it is due, by at most 28 days")
    return send_at, expires


def _collapse_id(msg: pb.Notification, kind: str | None) -> bytes:
    if kind == "wallet_pass":
        passes = msg.wallet_pass
        name = f"{passes.pass_type_id}\0{passes.serial_number}".encode()
        return hashlib.sha256(name).hexdigest()[:32].encode()
    key = msg.collapse_key
    if not key:
        return b""
    bounded("collapse_key", key, 64)
    if not (key.isascii() and key.isprintable()):
        raise InvalidRequest("collapse_key", "printable ASCII only: it travels in an HTTP header")
    return key.encode()
