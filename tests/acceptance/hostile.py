"""Malformed notifications and device requests, each with the field that its refusal names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from protos.walletpush.v1 import device_pb2, notification_pb2
from tests.acceptance.messages import apns_device, fcm_device

Edit = Callable[[notification_pb2.Notification], object]
EditDevice = Callable[[device_pb2.RegisterDeviceRequest], object]
BIG_JSON = '{"a":"' + "x" * 6_000 + '"}'
DEEP_JSON = '{"a":' * 300 + "1" + "}" * 300
DEEPER_JSON = '{"a":' * 5_000 + "1" + "}" * 5_000


class Wrong(NamedTuple):
    """One malformed notification. field: what the refusal names."""

    name: str
    field: str
    edit: Edit


def token(text: str, provider: int = notification_pb2.PROVIDER_APNS) -> Edit:
    """Name a device by this token alone."""
    return lambda n: devices(n, [notification_pb2.DeviceToken(provider=provider, token=text)])  # type: ignore[arg-type]


def devices(notification: notification_pb2.Notification, named: list[notification_pb2.DeviceToken]) -> None:
    """Name these devices alone."""
    del notification.devices[:]
    notification.devices.extend(named)


def users(count: int, size: int = 4) -> Edit:
    """Name so many users beside the device."""
    return lambda n: n.user_ids.extend(f"{i:0{size}d}" for i in range(count))


def attribute(path: str, value: object) -> Edit:
    """Set one field, by its dotted path."""
    *parents, last = path.split(".")

    def edit(notification: notification_pb2.Notification) -> None:
        inner: Message = notification
        for parent in parents:
            inner = getattr(inner, parent)
        setattr(inner, last, value)

    return edit


def fill(entries: dict[str, str]) -> Edit:
    """Put data into the content."""
    return lambda n: n.content.data.update(entries)


def bare(notification: notification_pb2.Notification) -> None:
    """Say nothing at all."""
    notification.content.Clear()
    notification.content.SetInParent()


def wallet_pass(type_id: str, serial: str = "1") -> Edit:
    """Make it a wallet pass update."""

    def edit(notification: notification_pb2.Notification) -> None:
        notification.wallet_pass.pass_type_id = type_id
        notification.wallet_pass.serial_number = serial

    return edit


def both(*edits: Edit) -> Edit:
    """Do one after another."""
    return lambda n: [edit(n) for edit in edits]


_SET = attribute
NOTIFICATIONS = (
    Wrong("no key", "idempotency_key", _SET("idempotency_key", "")),
    Wrong("long key", "idempotency_key", _SET("idempotency_key", "k" * 129)),
    Wrong("long key in bytes", "idempotency_key", _SET("idempotency_key", "键" * 43)),
    Wrong("NUL in key", "idempotency_key", _SET("idempotency_key", "a\0b")),
    Wrong("no app", "app", _SET("app", "")),
    Wrong("unknown app", "app", _SET("app", "nobodys")),
    Wrong("app of a megabyte", "app", _SET("app", "a" * 1_000_000)),
    Wrong("SQL for an app", "app", _SET("app", "'; DROP TABLE devices; --")),
    Wrong("no class", "notification_class", _SET("notification_class", 0)),
    Wrong("unknown class", "notification_class", _SET("notification_class", 99)),
    Wrong("negative class", "notification_class", _SET("notification_class", -1)),
    Wrong("largest class", "notification_class", _SET("notification_class", 2**31 - 1)),
    Wrong("no recipients", "devices", lambda n: devices(n, [])),
    Wrong("10,001 users", "devices", users(10_001)),
    Wrong("10,001 devices", "devices", lambda n: devices(n, [apns_device("x")] * 10_001)),
    Wrong("10,000 users and a device", "devices", users(10_000)),
    Wrong("empty user", "user_ids[0]", lambda n: n.user_ids.append("")),
    Wrong("long user", "user_ids[0]", lambda n: n.user_ids.append("u" * 129)),
    Wrong("escape in user", "user_ids[1]", lambda n: n.user_ids.extend(["fine", "\x1b[2J"])),
    Wrong("no token", "devices[0].token", token("")),
    Wrong("no hexadecimal token", "devices[0].token", token("zz" * 32)),
    Wrong("odd token", "devices[0].token", token("abc")),
    Wrong("long token", "devices[0].token", token("ab" * 257)),
    Wrong("token with spaces", "devices[0].token", token("ab cd ef 01")),
    Wrong("token with a line", "devices[0].token", token("abcd\r\napns-topic: x")),
    Wrong("token with a path", "devices[0].token", token("../../3/device/ab")),
    Wrong("token in other digits", "devices[0].token", token("١٢" * 16)),
    Wrong("long FCM token", "devices[0].token", token("a" * 4_097, 2)),
    Wrong("FCM token with a quote", "devices[0].token", token('a","topic":"all', 2)),
    Wrong("FCM token with a space", "devices[0].token", token("a b", 2)),
    Wrong("FCM token with a line", "devices[0].token", token("a\n", 2)),
    Wrong("FCM token in Chinese", "devices[0].token", token("令牌", 2)),
    Wrong("no provider", "devices[0].provider", token("ab", 0)),
    Wrong("unknown provider", "devices[0].provider", token("ab", 77)),
    Wrong("unknown environment", "devices[0].environment", lambda n: setattr(n.devices[0], "environment", 9)),
    Wrong("sandbox of FCM", "devices[0].environment", lambda n: devices(n, [sandboxed(fcm_device("x"))])),
    Wrong("the second device", "devices[1].token", lambda n: n.devices.add(provider=1, token="?")),
    Wrong("no message", "message", lambda n: n.ClearField("content")),
    Wrong("nothing said", "content", bare),
    Wrong("long title", "content.title", _SET("content.title", "t" * 257)),
    Wrong("long title in bytes", "content.title", _SET("content.title", "付" * 86)),
    Wrong("escape in title", "content.title", _SET("content.title", "\x1b]0;owned\x07")),
    Wrong("NUL in body", "content.body", _SET("content.body", "a\0b")),
    Wrong("long body", "content.body", _SET("content.body", "b" * 4_001)),
    Wrong("body beyond the payload", "content", _SET("content.body", '"' * 4_000)),
    Wrong("http image", "content.image_url", _SET("content.image_url", "http://example.com/a.png")),
    Wrong("long image URL", "content.image_url", _SET("content.image_url", "https://e.com/" + "a" * 2_048)),
    Wrong("file image", "content.image_url", _SET("content.image_url", "file:///etc/passwd")),
    Wrong("video with a space", "content.video_url", _SET("content.video_url", "https://e.com/a b.mp4")),
    Wrong("video with a line", "content.video_url", _SET("content.video_url", "https://e.com/\r\nHost: x")),
    Wrong("script link", "content.deep_link", _SET("content.deep_link", "javascript:alert(1)")),
    Wrong("script link in capitals", "content.deep_link", _SET("content.deep_link", "JaVaScRiPt:alert(1)")),
    Wrong("data link", "content.deep_link", _SET("content.deep_link", "data:text/html,<script>")),
    Wrong("vbscript link", "content.deep_link", _SET("content.deep_link", "vbscript:msgbox(1)")),
    Wrong("file link", "content.deep_link", _SET("content.deep_link", "file:///etc/passwd")),
    Wrong("link without a scheme", "content.deep_link", _SET("content.deep_link", "//example.com")),
    Wrong("link after a space", "content.deep_link", _SET("content.deep_link", " javascript:alert(1)")),
    Wrong("link with a tab", "content.deep_link", _SET("content.deep_link", "java\tscript:alert(1)")),
    Wrong("long link", "content.deep_link", _SET("content.deep_link", "wallet://" + "a" * 2_048)),
    Wrong("long link in bytes", "content.deep_link", _SET("content.deep_link", "wallet://" + "链" * 700)),
    Wrong("negative badge", "content.badge", _SET("content.badge", -1)),
    Wrong("huge badge", "content.badge", _SET("content.badge", 100_000)),
    Wrong("long sound", "content.sound", _SET("content.sound", "s" * 129)),
    Wrong("long thread", "content.thread_key", _SET("content.thread_key", "t" * 65)),
    Wrong("65 data entries", "content.data", fill({str(i): "x" for i in range(65)})),
    Wrong("100,000 data entries", "content.data", fill({str(i): "x" for i in range(100_000)})),
    Wrong("empty data key", "content.data", fill({"": "x"})),
    Wrong("long data key", "content.data", fill({"k" * 65: "x"})),
    Wrong("long data value", "content.data", fill({"k": "x" * 2_049})),
    Wrong("much data", "content.data", fill({str(i): "x" * 2_000 for i in range(3)})),
    Wrong("much data in bytes", "content.data", fill({str(i): "数" * 600 for i in range(3)})),
    Wrong("NUL in data", "content.data", fill({"k": "\0"})),
    Wrong("data key aps", "content.data", fill({"aps": "{}"})),
    Wrong("data key from", "content.data", fill({"from": "x"})),
    Wrong("data key message_type", "content.data", fill({"message_type": "x"})),
    Wrong("data key of Google", "content.data", fill({"google.c.a.e": "1"})),
    Wrong("data key of GCM", "content.data", fill({"gcm.n.e": "1"})),
    Wrong("unknown push type", "push_type", _SET("push_type", 12)),
    Wrong("negative push type", "push_type", _SET("push_type", -7)),
    Wrong("alert without text", "push_type", both(bare, fill({"a": "b"}), attribute("push_type", 1))),
    Wrong("Live Activity without an event", "content", _SET("push_type", 8)),
    Wrong("background at priority 10", "content", both(_SET("push_type", 2), _SET("apns.priority", 10))),
    Wrong("long campaign", "campaign_id", _SET("campaign_id", "c" * 65)),
    Wrong("control in campaign", "campaign_id", _SET("campaign_id", "spring\x07")),
    Wrong("long collapse key", "collapse_key", _SET("collapse_key", "c" * 65)),
    Wrong("line in collapse key", "collapse_key", _SET("collapse_key", "a\r\napns-priority: 10")),
    Wrong("Chinese collapse key", "collapse_key", _SET("collapse_key", "付款")),
    Wrong("zero ttl", "ttl", lambda n: n.ttl.CopyFrom(Duration())),
    Wrong("negative ttl", "ttl", lambda n: n.ttl.FromSeconds(-1)),
    Wrong("ttl below a second", "ttl", lambda n: n.ttl.FromMilliseconds(999)),
    Wrong("ttl of 29 days", "ttl", lambda n: n.ttl.FromSeconds(29 * 86_400)),
    Wrong("largest ttl", "ttl", lambda n: setattr(n.ttl, "seconds", 2**63 - 1)),
    Wrong("smallest ttl", "ttl", lambda n: setattr(n.ttl, "seconds", -(2**63))),
    Wrong("ttl of mixed signs", "ttl", both(_SET("ttl.seconds", 5), _SET("ttl.nanos", -1))),
    Wrong("ttl of too many nanos", "ttl", both(_SET("ttl.seconds", 5), _SET("ttl.nanos", 10**9))),
    Wrong("expired", "expire_time", lambda n: n.expire_time.FromSeconds(1_000_000_000)),
    Wrong("expiry before 1970", "expire_time", lambda n: setattr(n.expire_time, "seconds", -1)),
    Wrong("expiry after 9999", "expire_time", lambda n: setattr(n.expire_time, "seconds", 2**62)),
    Wrong("expiry with wrong nanos", "expire_time", lambda n: setattr(n.expire_time, "nanos", -5)),
    Wrong("expiry in 2100", "expire_time", lambda n: n.expire_time.FromSeconds(4_102_444_800)),
    Wrong("send_at in 2100", "send_at", lambda n: n.send_at.FromSeconds(4_102_444_800)),
    Wrong("send_at before 1970", "send_at", lambda n: setattr(n.send_at, "seconds", -(2**63))),
    Wrong("send_at after 9999", "send_at", lambda n: setattr(n.send_at, "seconds", 2**63 - 1)),
    Wrong("other priority", "apns.priority", _SET("apns.priority", 7)),
    Wrong("negative priority", "apns.priority", _SET("apns.priority", -10)),
    Wrong("line in topic", "apns.topic", _SET("apns.topic", "a\r\nauthorization: bearer x")),
    Wrong("space in topic", "apns.topic", _SET("apns.topic", "com.example wallet")),
    Wrong("long topic", "apns.topic", _SET("apns.topic", "t" * 129)),
    Wrong("long subtitle", "apns.subtitle", _SET("apns.subtitle", "s" * 257)),
    Wrong("long category", "apns.category", _SET("apns.category", "c" * 65)),
    Wrong("unknown interruption", "apns.interruption_level", _SET("apns.interruption_level", "shout")),
    Wrong("relevance not a number", "apns.relevance_score", _SET("apns.relevance_score", float("nan"))),
    Wrong("relevance above 1", "apns.relevance_score", _SET("apns.relevance_score", 1.01)),
    Wrong("infinite relevance", "apns.relevance_score", _SET("apns.relevance_score", float("-inf"))),
    Wrong("unknown event", "apns.live_activity_event", _SET("apns.live_activity_event", "restart")),
    Wrong("state not JSON", "apns.content_state_json", _SET("apns.content_state_json", "{")),
    Wrong("state a list", "apns.content_state_json", _SET("apns.content_state_json", "[1]")),
    Wrong("deep state", "apns.content_state_json", _SET("apns.content_state_json", DEEP_JSON)),
    Wrong("long attributes", "apns.attributes_json", _SET("apns.attributes_json", BIG_JSON)),
    Wrong("raw payload not JSON", "apns.raw_payload_json", _SET("apns.raw_payload_json", "{'a':1}")),
    Wrong("raw payload NaN", "apns.raw_payload_json", _SET("apns.raw_payload_json", '{"a":NaN}')),
    Wrong("long raw payload", "apns.raw_payload_json", _SET("apns.raw_payload_json", BIG_JSON)),
    Wrong("raw payload above 4,096", "content", _SET("apns.raw_payload_json", '{"a":"' + "x" * 4_500 + '"}')),
    Wrong("deep raw payload", "apns.raw_payload_json", _SET("apns.raw_payload_json", DEEP_JSON)),
    Wrong("stale time after 9999", "apns.stale_time", lambda n: setattr(n.apns.stale_time, "seconds", 2**60)),
    Wrong("dismissal before 1970", "apns.dismissal_time", lambda n: setattr(n.apns.dismissal_time, "seconds", -9)),
    Wrong("unknown FCM priority", "fcm.priority", _SET("fcm.priority", "urgent")),
    Wrong("wrong colour", "fcm.color", _SET("fcm.color", "red")),
    Wrong("colour with a line", "fcm.color", _SET("fcm.color", "#aabbcc\n")),
    Wrong("wrong label", "fcm.analytics_label", _SET("fcm.analytics_label", "a b")),
    Wrong("long label", "fcm.analytics_label", _SET("fcm.analytics_label", "a" * 51)),
    Wrong("long channel", "fcm.channel_id", _SET("fcm.channel_id", "c" * 129)),
    Wrong("long tag", "fcm.tag", _SET("fcm.tag", "t" * 129)),
    Wrong("long package", "fcm.restricted_package_name", _SET("fcm.restricted_package_name", "p" * 257)),
    Wrong("raw message with a token", "fcm.raw_message_json", _SET("fcm.raw_message_json", '{"token":"x"}')),
    Wrong("raw message with a topic", "fcm.raw_message_json", _SET("fcm.raw_message_json", '{"topic":"all"}')),
    Wrong("raw message, topic by the last key", "fcm.raw_message_json",
          _SET("fcm.raw_message_json", '{"data":{},"data":{},"condition":"x","condition":"y"}')),
    Wrong("raw message deep", "fcm.raw_message_json", _SET("fcm.raw_message_json", DEEP_JSON)),
    Wrong("raw message too deep to parse", "fcm.raw_message_json", _SET("fcm.raw_message_json", DEEPER_JSON[:4_000])),
    Wrong("raw message a string", "fcm.raw_message_json", _SET("fcm.raw_message_json", '"x"')),
    Wrong("no pass type", "wallet_pass.pass_type_id", wallet_pass("")),
    Wrong("no pass prefix", "wallet_pass.pass_type_id", wallet_pass("com.example.card")),
    Wrong("line in pass type", "wallet_pass.pass_type_id", wallet_pass("pass.a\r\napns-priority: 10")),
    Wrong("Chinese pass type", "wallet_pass.pass_type_id", wallet_pass("pass.卡")),
    Wrong("long pass type", "wallet_pass.pass_type_id", wallet_pass("pass." + "x" * 124)),
    Wrong("no serial number", "wallet_pass.serial_number", wallet_pass("pass.com.example.card", "")),
    Wrong("pass with push type alert", "push_type",
          both(wallet_pass("pass.com.example.card"), _SET("push_type", 1))),
)  # fmt: skip

DEVICES: tuple[tuple[str, str, EditDevice], ...] = (
    ("no device at all", "device.app", lambda r: r.Clear()),
    ("unknown app", "device.app", lambda r: setattr(r.device, "app", "x")),
    ("no user", "device.user_id", lambda r: setattr(r.device, "user_id", "")),
    ("long user", "device.user_id", lambda r: setattr(r.device, "user_id", "u" * 129)),
    ("NUL in user", "device.user_id", lambda r: setattr(r.device, "user_id", "a\0")),
    ("no token", "device.token.provider", lambda r: r.device.ClearField("token")),
    ("wrong token", "device.token.token", lambda r: setattr(r.device.token, "token", "xyz")),
    ("SQL for a token", "device.token.token", lambda r: setattr(r.device.token, "token", "' OR 1=1 --")),
    ("wrong locale", "device.locale", lambda r: setattr(r.device, "locale", "zh CN")),
    ("long locale", "device.locale", lambda r: setattr(r.device, "locale", "zh" + "-abcdefgh" * 4)),
    ("zone with a path", "device.time_zone", lambda r: setattr(r.device, "time_zone", "../../etc/passwd")),
    ("long zone", "device.time_zone", lambda r: setattr(r.device, "time_zone", "A/" * 40)),
    ("long version", "device.app_version", lambda r: setattr(r.device, "app_version", "1" * 33)),
)


def sandboxed(device: notification_pb2.DeviceToken) -> notification_pb2.DeviceToken:
    """Say that a device belongs to the sandbox."""
    device.environment = notification_pb2.ENVIRONMENT_SANDBOX
    return device
