"""Conversion: every field's limits as the contract states them, at their borders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.delivery import Notification
from core.errors import InvalidRequest
from core.model import Environment, NotificationClass, Provider, PushType, Target
from gateway.convert import Scope, named_target, to_notification, to_targets
from protos.walletpush.v1 import notification_pb2 as pb
from tests.acceptance.hostile import NOTIFICATIONS, Wrong

NOW_MS = 1_750_000_000_000
DAY_MS = 86_400_000
SCOPE = Scope("bank", 7, {"wallet": frozenset({1, 2}), "apple": frozenset({1})}, {"wallet": 70, "apple": 71})
Edit = Callable[[pb.Notification], object]


def good() -> pb.Notification:
    return pb.Notification(
        idempotency_key="k", app="wallet", notification_class=pb.NOTIFICATION_CLASS_TRANSACTIONAL,
        devices=[pb.DeviceToken(provider=pb.PROVIDER_APNS, token="AB" * 32)], content=pb.Content(title="Paid"),
    )  # fmt: skip


def convert(edit: Edit = lambda n: None) -> Notification:
    message = good()
    edit(message)
    return to_notification(message, SCOPE, NOW_MS)


def field_of(edit: Edit) -> str:
    with pytest.raises(InvalidRequest) as caught:
        convert(edit)
    return caught.value.field


def test_a_plain_notification_takes_its_defaults() -> None:
    made = convert()
    assert (made.tenant, made.app, made.tenant_tag, made.app_tag) == ("bank", "wallet", 7, 70)
    assert made.klass == NotificationClass.TRANSACTIONAL
    assert made.targets == (Target(Provider.APNS, "ab" * 32, Environment.PRODUCTION, 0),)
    assert (made.accepted_unix_ms, made.send_at_unix_ms, made.expires_unix_ms) == (NOW_MS, 0, NOW_MS + DAY_MS)
    assert (made.push_type, made.collapse_given, made.campaign) == (PushType.ALERT, False, "")
    assert made.content is not None
    assert (made.content.title, made.content.badge, made.content.apns, made.content.fcm) == ("Paid", -1, None, None)


# What the gateway's own precheck of the rendered payload refuses is not the conversion's to find.
@pytest.mark.parametrize(
    "wrong", [one for one in NOTIFICATIONS if one.field != "content" or one.name == "nothing said"],
    ids=lambda wrong: wrong.name,
)  # fmt: skip
def test_a_malformed_notification_is_refused_by_its_field(wrong: Wrong) -> None:
    assert field_of(wrong.edit) == wrong.field


LARGEST: tuple[tuple[str, Edit], ...] = (
    ("idempotency_key", lambda n: setattr(n, "idempotency_key", "键" * 42 + "ab")),
    ("users", lambda n: n.user_ids.extend(["u" * 128] * 9_999)),
    ("devices", lambda n: n.devices.extend([n.devices[0]] * 9_999)),
    ("title", lambda n: setattr(n.content, "title", "付" * 85 + "a")),
    ("body", lambda n: setattr(n.content, "body", "付" * 1_333 + "a")),
    ("badge 0", lambda n: setattr(n.content, "badge", 0)),
    ("badge", lambda n: setattr(n.content, "badge", 99_999)),
    ("sound", lambda n: setattr(n.content, "sound", "s" * 128)),
    ("thread_key", lambda n: setattr(n.content, "thread_key", "线" * 21 + "a")),
    ("data entries", lambda n: n.content.data.update({str(i): "x" for i in range(64)})),
    ("data key", lambda n: n.content.data.update({"键" * 21 + "a": "x"})),
    ("data value", lambda n: n.content.data.update({"k": "值" * 682 + "ab"})),
    ("data in all", lambda n: n.content.data.update({"a": "x" * 1_999, "b": "值" * 666 + "a"})),
    ("campaign", lambda n: setattr(n, "campaign_id", "c" * 64)),
    ("collapse_key", lambda n: setattr(n, "collapse_key", "c d" + "e" * 61)),
    ("least ttl", lambda n: n.ttl.FromSeconds(1)),
    ("largest ttl", lambda n: n.ttl.FromSeconds(28 * 86_400)),
    ("least expiry", lambda n: n.expire_time.FromMilliseconds(NOW_MS + 1)),
    ("largest expiry", lambda n: n.expire_time.FromMilliseconds(NOW_MS + 28 * DAY_MS)),
    ("latest send_at", lambda n: n.send_at.FromMilliseconds(NOW_MS + 30 * DAY_MS)),
    ("topic", lambda n: setattr(n.apns, "topic", "t" * 128)),
    ("subtitle", lambda n: setattr(n.apns, "subtitle", "s" * 256)),
    ("relevance 0", lambda n: setattr(n.apns, "relevance_score", 0.0)),
    ("relevance 1", lambda n: setattr(n.apns, "relevance_score", 1.0)),
    ("state", lambda n: setattr(n.apns, "content_state_json", '{"a":"' + "x" * 3_992 + '"}')),
    ("nested JSON", lambda n: setattr(n.apns, "raw_payload_json", '{"a":' * 31 + "{}" + "}" * 31)),
    ("colour", lambda n: setattr(n.fcm, "color", "#A1b2C3")),
    ("label", lambda n: setattr(n.fcm, "analytics_label", "a-Z_9.~%" + "x" * 42)),
    ("package", lambda n: setattr(n.fcm, "restricted_package_name", "p" * 256)),
)


@pytest.mark.parametrize("edit", [row[1] for row in LARGEST], ids=[row[0] for row in LARGEST])
def test_what_just_fits_is_taken(edit: Edit) -> None:
    convert(edit)


OVER: tuple[tuple[str, Edit], ...] = (
    ("expire_time", lambda n: n.expire_time.FromMilliseconds(NOW_MS)),
    ("expire_time", lambda n: n.expire_time.FromMilliseconds(NOW_MS + 28 * DAY_MS + 1)),
    ("send_at", lambda n: n.send_at.FromMilliseconds(NOW_MS + 30 * DAY_MS + 1)),
    ("ttl", lambda n: n.ttl.FromMilliseconds(28 * DAY_MS + 1)),
    ("content.title", lambda n: setattr(n.content, "title", "付" * 85 + "ab")),
    ("content.data", lambda n: n.content.data.update({"a": "x" * 1_999, "b": "值" * 666 + "ab"})),
    ("content.data", lambda n: n.content.data.update({"键" * 21 + "ab": "x"})),
    ("content.data", lambda n: n.content.data.update({"k": "值" * 683})),
    ("content.thread_key", lambda n: setattr(n.content, "thread_key", "线" * 22)),
    ("apns.content_state_json", lambda n: setattr(n.apns, "content_state_json", '{"a":"' + "x" * 3_993 + '"}')),
    ("apns.raw_payload_json", lambda n: setattr(n.apns, "raw_payload_json", '{"a":' * 32 + "{}" + "}" * 32)),
    ("apns.raw_payload_json", lambda n: setattr(n.apns, "raw_payload_json", '{"a":' + "[" * 40 + "]" * 40 + "}")),
)


@pytest.mark.parametrize(("field", "edit"), OVER)
def test_what_just_does_not_fit_is_refused(field: str, edit: Edit) -> None:
    assert field_of(edit) == field


def test_a_ttl_counts_from_send_at() -> None:
    def edit(message: pb.Notification) -> None:
        message.send_at.FromMilliseconds(NOW_MS + 5_000)
        message.ttl.FromSeconds(10)

    made = convert(edit)
    assert (made.send_at_unix_ms, made.expires_unix_ms) == (NOW_MS + 5_000, NOW_MS + 15_000)


@pytest.mark.parametrize("ahead_ms", [-DAY_MS, -1, 0])
def test_a_send_at_that_has_passed_is_now(ahead_ms: int) -> None:
    made = convert(lambda n: n.send_at.FromMilliseconds(NOW_MS + ahead_ms))
    assert (made.send_at_unix_ms, made.expires_unix_ms) == (0, NOW_MS + DAY_MS)


def test_expiry_before_send_at_is_refused() -> None:
    def edit(message: pb.Notification) -> None:
        message.send_at.FromMilliseconds(NOW_MS + 5_000)
        message.expire_time.FromMilliseconds(NOW_MS + 5_000)

    assert field_of(edit) == "expire_time"


@pytest.mark.parametrize(("edit", "push_type"), [
    (lambda n: n.content.CopyFrom(pb.Content(data={"a": "b"})), PushType.BACKGROUND),
    (lambda n: n.content.CopyFrom(pb.Content(badge=0)), PushType.ALERT),
    (lambda n: setattr(n, "push_type", pb.PUSH_TYPE_VOIP), PushType.VOIP),
    (lambda n: setattr(n, "push_type", pb.PUSH_TYPE_BACKGROUND), PushType.BACKGROUND),
    (lambda n: n.wallet_pass.CopyFrom(pb.WalletPassUpdate(pass_type_id="pass.a", serial_number="1")),
     PushType.BACKGROUND),
])  # fmt: skip
def test_the_push_type_follows_from_what_there_is_to_show(edit: Edit, push_type: PushType) -> None:
    assert convert(edit).push_type == push_type


def test_a_pass_is_collapsed_by_type_and_serial_number() -> None:
    def of(type_id: str, serial: str) -> bytes:
        wallet_pass = pb.WalletPassUpdate(pass_type_id=type_id, serial_number=serial)
        return convert(lambda n: n.wallet_pass.CopyFrom(wallet_pass)).collapse_id

    assert of("pass.a", "1") == of("pass.a", "1") != of("pass.a", "2") != of("pass.b", "2")
    assert len(of("pass.a", "1")) == 32


def test_a_device_named_twice_counts_once_in_whatever_letters() -> None:
    made = convert(lambda n: n.devices.extend([pb.DeviceToken(provider=pb.PROVIDER_APNS, token="ab" * 32)] * 3))
    assert len(made.targets) == 1


def test_a_sandbox_device_is_another_target() -> None:
    sandboxed = pb.DeviceToken(provider=pb.PROVIDER_APNS, token="ab" * 32, environment=pb.ENVIRONMENT_SANDBOX)
    made = convert(lambda n: n.devices.append(sandboxed))
    assert [target.environment for target in made.targets] == [Environment.PRODUCTION, Environment.SANDBOX]


def test_an_app_takes_only_the_providers_it_has() -> None:
    def edit(message: pb.Notification) -> None:
        message.app = "apple"
        message.devices.append(pb.DeviceToken(provider=pb.PROVIDER_FCM, token="abc"))

    assert field_of(edit) == "devices[1].provider"


def test_devices_converted_in_steps_name_the_same_field() -> None:
    message = good()
    message.devices.extend([pb.DeviceToken(provider=pb.PROVIDER_APNS, token="ab")] * 9)
    message.devices[7].token = "?"
    assert len(to_targets(message, SCOPE, 0, 7)) == 7
    with pytest.raises(InvalidRequest) as caught:
        to_targets(message, SCOPE, 5, 10)
    assert caught.value.field == field_of(lambda n: n.CopyFrom(message)) == "devices[7].token"


def test_a_device_in_another_request_is_named_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        named_target("device.token", pb.DeviceToken(provider=pb.PROVIDER_APNS, token="?"), frozenset({1}))
    assert caught.value.field == "device.token.token"


def test_options_come_through() -> None:
    def edit(message: pb.Notification) -> None:
        message.apns.CopyFrom(pb.ApnsOptions(topic="t", priority=5, category="c", interruption_level="critical"))
        message.apns.stale_time.FromSeconds(7)
        message.fcm.CopyFrom(pb.FcmOptions(priority="high", channel_id="pay", validate_only=True))

    content = convert(edit).content
    assert content is not None
    assert content.apns is not None
    assert content.fcm is not None
    assert (content.apns.topic, content.apns.priority, content.apns.stale_date_unix_s) == ("t", 5, 7)
    assert (content.fcm.priority, content.fcm.channel_id, content.fcm.validate_only) == ("high", "pay", True)


@given(st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=80,
))  # fmt: skip
@settings(max_examples=300)
def test_data_is_bounded_by_its_bytes(data: dict[str, str]) -> None:
    controls = frozenset(map(chr, [*range(32), 127])) - {"\t", "\n", "\r"}
    reserved = {"aps", "from", "message_type"}
    fits = (
        len(data) <= 64
        and all(key and key not in reserved and not key.startswith(("google.", "gcm.")) for key in data)
        and all(len(key.encode()) <= 64 and not controls & set(key + value) for key, value in data.items())
        and sum(len(key.encode()) + len(value.encode()) for key, value in data.items()) <= 4_000
    )
    if fits:
        made = convert(lambda n: n.content.data.update(data)).content
        assert made is not None
        assert (made.data or {}) == data
    else:
        assert field_of(lambda n: n.content.data.update(data)) == "content.data"


@given(st.binary(max_size=300))
def test_no_message_whatever_breaks_the_conversion(raw: bytes) -> None:
    message = good()
    try:
        message.MergeFromString(raw)
    except DecodeError:
        return
    with suppress(InvalidRequest):
        to_notification(message, SCOPE, NOW_MS)
