"""Consent, hours, caps and templates on the whole way, through the contract and to the simulators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from protos.walletpush.v1 import (
    delivery_pb2,
    device_pb2,
    notification_pb2,
    policy_pb2,
    preference_pb2,
    receipt_pb2,
    template_pb2,
    user_pb2,
    value_pb2,
)
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.policy_pb2_grpc import PolicyServiceStub
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub
from protos.walletpush.v1.template_pb2_grpc import TemplateServiceStub
from protos.walletpush.v1.user_pb2_grpc import UserServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, apns_device, await_that, error_of, final, payment, receipt_of, send
from tests.acceptance.simulators import Simulators

SUPPRESSED = receipt_pb2.NOTIFICATION_STATE_SUPPRESSED
DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED
WAITING = receipt_pb2.NOTIFICATION_STATE_ACCEPTED


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a wallet's services call."""

    delivery: DeliveryServiceStub
    devices: DeviceServiceStub
    users: UserServiceStub
    preferences: PreferenceServiceStub
    templates: TemplateServiceStub
    policy: PolicyServiceStub

    def user(self, local_hour: int, locale: str = "en", consents: bool = True) -> str:
        """Make a user with a device, active today, for whom it is now some minutes past an hour."""
        name = uuid.uuid4().hex
        zone = zone_where_it_is(local_hour)
        user = user_pb2.User(app="wallet", user_id=name, locale=locale, time_zone=zone)
        user.last_open_time.FromSeconds(int(time.time()) - 60)
        self.users.UpsertUser(user_pb2.UpsertUserRequest(user=user), timeout=TIMEOUT_S)
        device = device_pb2.Device(app="wallet", user_id=name, token=apns_device(name))
        self.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
        if consents:
            self.says(name, "promotion", granted=True)
        return name

    def says(self, user: str, category: str, *, granted: bool) -> None:
        """Record a consent, or its withdrawal."""
        consent = preference_pb2.Consent(
            category=category, channel=preference_pb2.CHANNEL_PUSH, granted=granted,
            method=preference_pb2.CONSENT_METHOD_APP, wording_version="2026-01",
        )  # fmt: skip
        request = preference_pb2.UpdatePreferencesRequest(app="wallet", user_id=user, consents=[consent])
        self.preferences.UpdatePreferences(request, timeout=TIMEOUT_S)

    def promote(self, user: str) -> str:
        """Send a promotion; return its id."""
        return send(self.delivery, promotion(user)).notification_id


def zone_where_it_is(local_hour: int) -> str:
    offset = (local_hour - time.gmtime().tm_hour + 12) % 24 - 12
    # The sign of these names is the wrong way round: POSIX counts westwards.
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


def promotion(user: str) -> notification_pb2.Notification:
    return notification_pb2.Notification(
        idempotency_key=uuid.uuid4().hex, app="wallet", user_ids=[user],
        notification_class=notification_pb2.NOTIFICATION_CLASS_MARKETING,
        content=notification_pb2.Content(title="Coffee for CNY 9.9", body="This week only."),
    )  # fmt: skip


def to_user(user: str) -> notification_pb2.Notification:
    notification = payment()
    del notification.devices[:]
    notification.user_ids.append(user)
    return notification


def reason_of(receipt: receipt_pb2.NotificationReceipt) -> str:
    (one,) = receipt.deliveries
    return one.reason


def wallet_of(channel: grpc.Channel) -> Wallet:
    return Wallet(
        DeliveryServiceStub(channel), DeviceServiceStub(channel), UserServiceStub(channel),  # type: ignore[no-untyped-call]
        PreferenceServiceStub(channel), TemplateServiceStub(channel), PolicyServiceStub(channel),  # type: ignore[no-untyped-call]
    )  # fmt: skip


@pytest.fixture
def wallet(gateway: Gateway) -> Iterator[Wallet]:
    with grpc.insecure_channel(gateway.address) as channel:
        yield wallet_of(channel)


def test_a_payment_at_three_in_the_night_arrives_at_once(wallet: Wallet) -> None:
    user = wallet.user(local_hour=3, consents=False)
    assert final(wallet.delivery, send(wallet.delivery, to_user(user)).notification_id).state == DELIVERED


def test_a_promotion_at_three_in_the_night_waits_for_the_morning(wallet: Wallet, simulators: Simulators) -> None:
    user = wallet.user(local_hour=3)
    explained = wallet.policy.ExplainNotification(
        policy_pb2.ExplainNotificationRequest(notification=promotion(user)), timeout=TIMEOUT_S
    )
    assert (explained.decision.verdict, explained.decision.reason) == (policy_pb2.VERDICT_DEFER, "QUIET_HOURS")
    wait_s = explained.decision.until.seconds - time.time()
    assert 4 * 3_600 < wait_s < 5.6 * 3_600
    waiting = wallet.promote(user)
    after = wallet.user(local_hour=12)
    assert final(wallet.delivery, wallet.promote(after)).state == DELIVERED
    assert receipt_of(wallet.delivery, waiting).state == WAITING
    assert simulators.accepted() == 1


def test_what_waits_can_be_cancelled_and_tells_so(wallet: Wallet) -> None:
    waiting = wallet.promote(wallet.user(local_hour=3))
    request = delivery_pb2.CancelNotificationRequest(notification_id=waiting)
    cancelled = await_that(
        lambda: wallet.delivery.CancelNotification(request, timeout=TIMEOUT_S).cancelled, lambda done: done
    )
    assert cancelled
    assert final(wallet.delivery, waiting).state == receipt_pb2.NOTIFICATION_STATE_CANCELLED


def test_the_fourth_promotion_of_a_week_is_suppressed_with_its_reason(wallet: Wallet, simulators: Simulators) -> None:
    user = wallet.user(local_hour=12)
    for _ in range(3):
        assert final(wallet.delivery, wallet.promote(user)).state == DELIVERED
    fourth = final(wallet.delivery, wallet.promote(user))
    assert (fourth.state, reason_of(fourth)) == (SUPPRESSED, "FREQUENCY_CAP")
    assert final(wallet.delivery, send(wallet.delivery, to_user(user)).notification_id).state == DELIVERED
    assert simulators.accepted() == 4


def test_a_template_that_fails_for_one_user_costs_neither_the_others_nor_a_count(wallet: Wallet) -> None:
    name = f"greeting-{uuid.uuid4().hex[:8]}"
    greeting = template_pb2.Template(
        app="wallet", template_id=name, category="promotion", default_locale="en",
        notification_class=notification_pb2.NOTIFICATION_CLASS_MARKETING,
        variables=[
            template_pb2.Variable(name="user.nickname", type=template_pb2.VARIABLE_TYPE_TEXT, required=True)
        ],
        bodies=[
            template_pb2.TemplateBody(
                channel=preference_pb2.CHANNEL_PUSH, locale="en", title="Hello {{ user.nickname }}", body="Coffee?"
            )
        ],
    )  # fmt: skip
    wallet.templates.PublishTemplate(template_pb2.PublishTemplateRequest(template=greeting), timeout=TIMEOUT_S)
    nameless, named = wallet.user(local_hour=12), wallet.user(local_hour=12)
    user = user_pb2.User(app="wallet", user_id=named, attributes={"nickname": value_pb2.Value(text="琳")})
    wallet.users.UpsertUser(user_pb2.UpsertUserRequest(user=user), timeout=TIMEOUT_S)
    told = promotion(nameless)
    told.user_ids.append(named)
    told.template.template_id = name
    receipt = final(wallet.delivery, send(wallet.delivery, told).notification_id)
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_PARTIALLY_DELIVERED
    assert sorted(one.reason for one in receipt.deliveries) == ["", "TEMPLATE_ERROR"]
    for _ in range(3):
        assert final(wallet.delivery, wallet.promote(nameless)).state == DELIVERED


def test_marketing_without_a_consent_on_record_is_never_sent(wallet: Wallet, simulators: Simulators) -> None:
    silent = wallet.user(local_hour=12, consents=False)
    withdrew = wallet.user(local_hour=12)
    wallet.says(withdrew, "promotion", granted=False)
    by_token = promotion(silent)
    del by_token.user_ids[:]
    by_token.devices.append(apns_device(silent))
    nobodys = promotion(silent)
    del nobodys.user_ids[:]
    nobodys.devices.append(apns_device("nobody's"))
    sent = [wallet.promote(silent), wallet.promote("unknown"), wallet.promote(withdrew)]
    sent += [send(wallet.delivery, one).notification_id for one in (by_token, nobodys)]
    told = [final(wallet.delivery, one) for one in sent]
    assert {one.state for one in told} == {SUPPRESSED}
    assert {reason_of(one) for one in told} <= {"NO_CONSENT", "USER_CATEGORY_CHANNEL", "NO_DEVICE"}
    assert simulators.accepted() == 0


def test_a_promotion_by_token_goes_by_its_owners_consent(wallet: Wallet) -> None:
    user = wallet.user(local_hour=12)
    by_token = promotion(user)
    del by_token.user_ids[:]
    by_token.devices.append(apns_device(user))
    assert final(wallet.delivery, send(wallet.delivery, by_token).notification_id).state == DELIVERED


def test_a_suppression_stops_payments_only_where_it_says_so(wallet: Wallet) -> None:
    user = wallet.user(local_hour=12)
    suppression = preference_pb2.Suppression(reason="complaint 7", includes_transactional=True)
    request = preference_pb2.AddSuppressionRequest(app="wallet", user_id=user, suppression=suppression)
    wallet.preferences.AddSuppression(request, timeout=TIMEOUT_S)
    stopped = await_that(
        lambda: final(wallet.delivery, send(wallet.delivery, to_user(user)).notification_id),
        lambda receipt: receipt.state == SUPPRESSED,
    )
    assert reason_of(stopped) == "SUPPRESSED"
    alert = to_user(user)
    alert.notification_class = notification_pb2.NOTIFICATION_CLASS_SECURITY
    assert final(wallet.delivery, send(wallet.delivery, alert).notification_id).state == DELIVERED


def template(template_id: str) -> template_pb2.Template:
    bodies = [
        template_pb2.TemplateBody(
            channel=preference_pb2.CHANNEL_PUSH, locale=locale, title=title, body=body, deep_link=""
        )
        for locale, title, body in (
            ("en", "You received {{ amount | money }}", "From {{ sender }}"),
            ("zh-CN", "您收到 {{ amount | money }}", "来自 {{ sender }}"),
        )
    ]
    variables = [
        template_pb2.Variable(name="amount", type=template_pb2.VARIABLE_TYPE_MONEY, required=True),
        template_pb2.Variable(name="sender", type=template_pb2.VARIABLE_TYPE_TEXT, required=True),
    ]
    return template_pb2.Template(
        app="wallet", template_id=template_id, category="payment", default_locale="en", bodies=bodies,
        variables=variables, notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
    )  # fmt: skip


def from_template(template_id: str, *users: str) -> notification_pb2.Notification:
    return notification_pb2.Notification(
        idempotency_key=uuid.uuid4().hex, app="wallet", user_ids=users,
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        template=notification_pb2.TemplateContent(
            template_id=template_id,
            variables={
                "amount": value_pb2.Value(money=value_pb2.Money(currency="CNY", minor_units=123_456)),
                "sender": value_pb2.Value(text="王芳"),
            },
        ),
    )  # fmt: skip


def test_each_user_reads_a_template_in_their_language(wallet: Wallet) -> None:
    name = f"received-{uuid.uuid4().hex[:8]}"
    published = wallet.templates.PublishTemplate(
        template_pb2.PublishTemplateRequest(template=template(name)), timeout=TIMEOUT_S
    )
    assert published.template.version == 1
    users = wallet.user(local_hour=3), wallet.user(local_hour=3, locale="zh-CN")
    told = final(wallet.delivery, send(wallet.delivery, from_template(name, *users)).notification_id)
    assert told.state == DELIVERED
    assert len(told.deliveries) == 2
    shown = [
        wallet.policy.ExplainNotification(
            policy_pb2.ExplainNotificationRequest(notification=from_template(name, user)), timeout=TIMEOUT_S
        ).devices[0].payload_json
        for user in users
    ]  # fmt: skip
    assert "You received" in shown[0]
    assert "您收到" in shown[1]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda one: one.template.variables.pop("amount"), "template.variables[amount]"),
        (lambda one: one.template.variables["amount"].CopyFrom(value_pb2.Value(text="much")), "template.variables"),
        (lambda one: setattr(one.template, "template_id", "unknown"), "template.template_id"),
        (lambda one: setattr(one, "category", "promotion"), "category"),
        (lambda one: setattr(one, "notification_class", 4), "notification_class"),
        (lambda one: one.devices.append(apns_device("x")), "template"),
    ],
    ids=["missing variable", "wrong variable", "unknown template", "other category", "other class", "devices"],
)
def test_a_wrong_use_of_a_template_is_refused(
    wallet: Wallet, spoil: Callable[[notification_pb2.Notification], object], field: str
) -> None:
    name = f"wrong-{uuid.uuid4().hex[:8]}"
    wallet.templates.PublishTemplate(template_pb2.PublishTemplateRequest(template=template(name)), timeout=TIMEOUT_S)
    notification = from_template(name, "somebody")
    spoil(notification)
    error = error_of(lambda: send(wallet.delivery, notification))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.details() or "").startswith(field)


def test_waits_and_counts_survive_a_restart(own_gateway: Callable[..., Gateway], simulators: Simulators) -> None:
    gateway = own_gateway()
    gateway.start()
    with grpc.insecure_channel(gateway.address) as channel:
        wallet = wallet_of(channel)
        asleep, awake = wallet.user(local_hour=3), wallet.user(local_hour=12)
        waiting = wallet.promote(asleep)
        for _ in range(3):
            final(wallet.delivery, wallet.promote(awake))
    gateway.stop()
    gateway.start()
    with grpc.insecure_channel(gateway.address) as channel:
        wallet = wallet_of(channel)
        fourth = final(wallet.delivery, wallet.promote(awake))
        assert (fourth.state, reason_of(fourth)) == (SUPPRESSED, "FREQUENCY_CAP")
        assert receipt_of(wallet.delivery, waiting).state == WAITING
        assert simulators.accepted() == 3
