"""Who may do what: keys, permissions, tenants; and settings read again without a restart."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from protos.walletpush.v1 import (
    delivery_pb2,
    device_pb2,
    notification_pb2,
    policy_pb2,
    preference_pb2,
    privacy_pb2,
    receipt_pb2,
    template_pb2,
    user_pb2,
)
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.template_pb2_grpc import TemplateServiceStub
from tests.acceptance.gateway_process import FAST, Gateway, app_toml
from tests.acceptance.messages import (
    TIMEOUT_S,
    apns_device,
    await_that,
    error_of,
    fcm_device,
    fields_of,
    final,
    payment,
    send,
    status_of,
)
from tests.acceptance.simulators import Simulators

Metadata = tuple[tuple[str, str], ...]


def caller_toml(name: str, tenant: str, apps: str = '["*"]', rights: str = "") -> str:
    digest = hashlib.sha256(key_of(name).encode()).hexdigest()
    return f'[[callers]]\nname = "{name}"\ntenant = "{tenant}"\nkey_sha256 = ["{digest}"]\napps = {apps}\n{rights}\n'


def key_of(name: str) -> str:
    return f"wp_{name}_key"


def shown(name: str) -> Metadata:
    return (("authorization", f"Bearer {key_of(name)}"),)


CALLERS = (
    caller_toml("payments", "bank", rights="may_manage_devices = true")
    + caller_toml("rival", "rival")
    + caller_toml("reader", "bank", rights="may_send = false")
    + caller_toml("author", "bank", rights="may_manage_templates = true")
    + caller_toml("care", "bank", rights="may_manage_templates = true\nmay_manage_users = true")
    + caller_toml(
        "elsewhere", "bank", '["second"]',
        "may_manage_users = true\nmay_manage_templates = true\nmay_manage_privacy = true",
    )
    + caller_toml("one-app", "bank", '["wallet"]', "may_read_receipts = false")
)


@pytest.fixture(scope="module")
def guarded(simulators: Simulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    apps = app_toml(simulators) + app_toml(simulators, "second")
    running = Gateway(tmp_path_factory.mktemp("guarded"), apps + FAST + CALLERS)
    running.start()
    yield running
    running.end()


@pytest.fixture
def stub(guarded: Gateway) -> Iterator[DeliveryServiceStub]:
    with guarded.delivery() as opened:
        yield opened


def send_as(stub: DeliveryServiceStub, metadata: Metadata | None, app: str = "wallet") -> delivery_pb2.SendResponse:
    request = delivery_pb2.SendRequest(notification=payment(app))
    answer: delivery_pb2.SendResponse = stub.Send(request, metadata=metadata, timeout=TIMEOUT_S)
    return answer


def receipt_as(stub: DeliveryServiceStub, metadata: Metadata, notification_id: str) -> receipt_pb2.NotificationReceipt:
    request = delivery_pb2.GetReceiptRequest(notification_id=notification_id)
    answer: delivery_pb2.GetReceiptResponse = stub.GetReceipt(request, metadata=metadata, timeout=TIMEOUT_S)
    return answer.receipt


def heard_as(stub: DeliveryServiceStub, metadata: Metadata) -> set[str]:
    request = delivery_pb2.WatchReceiptsRequest(cursor="begin", until_caught_up=True)
    answers = stub.WatchReceipts(request, metadata=metadata, timeout=TIMEOUT_S)
    return {receipt.notification_id for answer in answers for receipt in answer.receipts}


@pytest.mark.parametrize("metadata", [
    None,
    (("authorization", "Bearer wp_nobodys_key"),),
    (("authorization", "Bearer "),),
    (("authorization", f"Basic {key_of('payments')}"),),
    (("authorization", key_of("payments")),),
    (("authorization", f"Bearer {key_of('payments')}x"),),
    (("authorization", "Bearer " + "x" * 4_000),),
])  # fmt: skip
def test_a_call_without_a_known_key_is_unauthenticated(stub: DeliveryServiceStub, metadata: Metadata | None) -> None:
    assert error_of(lambda: send_as(stub, metadata)).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_caller_does_what_it_may_and_nothing_else(stub: DeliveryServiceStub, guarded: Gateway) -> None:
    notification_id = send_as(stub, shown("payments")).notification_id
    assert receipt_as(stub, shown("reader"), notification_id).notification_id == notification_id
    denied = [
        error_of(lambda: send_as(stub, shown("reader"))),
        error_of(lambda: receipt_as(stub, shown("one-app"), notification_id)),
        error_of(lambda: heard_as(stub, shown("one-app"))),
    ]
    with guarded.devices() as devices:
        denied.append(error_of(lambda: register_as(devices, shown("rival"))))
        register_as(devices, shown("payments"))
    assert {error.code() for error in denied} == {grpc.StatusCode.PERMISSION_DENIED}


def register_as(stub: DeviceServiceStub, metadata: Metadata) -> None:
    device = device_pb2.Device(app="wallet", user_id="lin", token=apns_device("lin"))
    stub.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), metadata=metadata, timeout=TIMEOUT_S)


def test_an_app_that_is_not_the_callers_looks_unknown(stub: DeliveryServiceStub) -> None:
    error = error_of(lambda: send_as(stub, shown("one-app"), "second"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(status_of(error)) == ["app"]


def test_a_tenant_sees_and_cancels_only_its_own(stub: DeliveryServiceStub) -> None:
    own = send_as(stub, shown("payments")).notification_id
    rivals = send_as(stub, shown("rival")).notification_id
    request = delivery_pb2.CancelNotificationRequest(notification_id=own)
    refused = [
        error_of(lambda: receipt_as(stub, shown("rival"), own)),
        error_of(lambda: stub.CancelNotification(request, metadata=shown("rival"), timeout=TIMEOUT_S)),
    ]
    assert {error.code() for error in refused} == {grpc.StatusCode.NOT_FOUND}
    heard = await_that(lambda: heard_as(stub, shown("payments")), lambda ids: own in ids)
    assert rivals not in heard
    assert own not in await_that(lambda: heard_as(stub, shown("rival")), lambda ids: rivals in ids)


def test_tenants_may_use_the_same_idempotency_key(stub: DeliveryServiceStub) -> None:
    request = delivery_pb2.SendRequest(notification=payment())
    answers = [stub.Send(request, metadata=shown(name), timeout=TIMEOUT_S) for name in ("payments", "rival")]
    assert {answer.status for answer in answers} == {delivery_pb2.SEND_STATUS_ACCEPTED}


def test_a_scheduled_notification_of_another_tenant_cannot_be_cancelled(stub: DeliveryServiceStub) -> None:
    notification = payment()
    notification.send_at.FromNanoseconds(time.time_ns() + 3600 * 10**9)
    request = delivery_pb2.SendRequest(notification=notification)
    own = stub.Send(request, metadata=shown("payments"), timeout=TIMEOUT_S).notification_id
    cancel = delivery_pb2.CancelNotificationRequest(notification_id=own)
    error = error_of(lambda: stub.CancelNotification(cancel, metadata=shown("rival"), timeout=TIMEOUT_S))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert stub.CancelNotification(cancel, metadata=shown("payments"), timeout=TIMEOUT_S).cancelled


def test_a_reload_adds_an_app_and_a_caller_and_keeps_connections(
    stub: DeliveryServiceStub, guarded: Gateway, simulators: Simulators
) -> None:
    send_as(stub, shown("payments"))
    before = simulators.ask(lambda client: client.connections("apns"))["accepted"]
    apps = "".join(app_toml(simulators, app) for app in ("wallet", "second", "third"))
    guarded.configure(apps + FAST + CALLERS + caller_toml("newcomer", "bank"))
    guarded.signal(signal.SIGHUP)
    await_that(lambda: log_lines(guarded, '"reloaded"'), lambda count: count == 1)
    assert send_as(stub, shown("newcomer"), "third").notification_id
    assert send_as(stub, shown("payments"), "wallet").notification_id
    await_that(lambda: simulators.ask(lambda client: client.connections("apns"))["accepted"], lambda n: n > before)
    # The new app's own two connections, and none in place of those that were there.
    assert simulators.ask(lambda client: client.connections("apns"))["accepted"] <= before + 2


def test_a_reload_gives_an_app_its_second_provider(simulators: Simulators, tmp_path: Path) -> None:
    both = app_toml(simulators)
    running = Gateway(tmp_path, both.partition("[apps.fcm]")[0] + FAST)
    running.start()
    try:
        running.configure(both + FAST)
        running.signal(signal.SIGHUP)
        await_that(lambda: log_lines(running, '"reloaded"'), lambda count: count == 1)
        notification = payment()
        notification.devices.append(fcm_device("second provider"))
        with running.delivery() as stub:
            receipt = final(stub, send(stub, notification).notification_id)
    finally:
        running.end()
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_DELIVERED


def test_wrong_settings_at_a_reload_change_nothing(stub: DeliveryServiceStub, guarded: Gateway) -> None:
    good = guarded.config.read_text()
    guarded.config.write_text(good + "\n[nonsense]\nx = 1\n")
    guarded.signal(signal.SIGHUP)
    await_that(lambda: log_lines(guarded, "refused"), lambda count: count >= 1)
    assert send_as(stub, shown("payments")).notification_id
    guarded.config.write_text(good)


def test_more_kinds_of_caps_than_are_counted_are_refused_at_a_reload(simulators: Simulators, tmp_path: Path) -> None:
    running = Gateway(tmp_path, app_toml(simulators) + FAST)
    running.start()
    try:
        apps = (app_toml(simulators, app) + tagged_caps(app) for app in ("wallet", "second", "third", "fourth"))
        running.configure("".join(apps) + FAST)
        running.signal(signal.SIGHUP)
        await_that(lambda: log_lines(running, "reload_refused"), lambda count: count == 1)
        with running.delivery() as stub:
            notification = payment()
            notification.devices.append(fcm_device("still served"))
            receipt = final(stub, send(stub, notification).notification_id)
    finally:
        running.end()
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_DELIVERED


def tagged_caps(app: str) -> str:
    caps = (f'[[apps.policy.caps]]\nname = "{n}"\nlimit = 1\ntag = "{app}-{n}"\n' for n in range(16))
    return "[apps.policy]\n" + "".join(caps)


def log_lines(gateway: Gateway, word: str) -> int:
    return sum(word in line for line in gateway.log().splitlines())


def test_no_key_and_no_device_token_is_ever_logged(stub: DeliveryServiceStub, guarded: Gateway) -> None:
    notification = payment(device="secret")
    stub.Send(delivery_pb2.SendRequest(notification=notification), metadata=shown("payments"), timeout=TIMEOUT_S)
    error_of(lambda: send_as(stub, (("authorization", "Bearer wp_guessed"),)))
    log = guarded.log()
    for secret in (notification.devices[0].token, key_of("payments"), "wp_guessed", notification.content.body):
        assert secret not in log


def test_an_author_sees_a_text_but_nobody_s_attributes_in_it(guarded: Gateway) -> None:
    template = template_pb2.Template(
        app="wallet", template_id="peek", category="payment", default_locale="en",
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        bodies=[template_pb2.TemplateBody(channel=preference_pb2.CHANNEL_PUSH, locale="en", title="t", body="Paid")],
    )  # fmt: skip

    def ask(name: str, user_id: str) -> str:
        request = template_pb2.PreviewTemplateRequest(
            template=template, app="wallet", channel=preference_pb2.CHANNEL_PUSH, user_id=user_id
        )
        with guarded.channel() as channel:
            stub = TemplateServiceStub(channel)  # type: ignore[no-untyped-call]
            return str(stub.PreviewTemplate(request, metadata=shown(name), timeout=TIMEOUT_S).body)

    assert ask("author", "") == ask("care", "lin") == "Paid"
    refused = error_of(lambda: ask("author", "lin"))
    assert refused.code() is grpc.StatusCode.PERMISSION_DENIED


ADMINISTRATIVE = [
    method
    for file in (user_pb2, preference_pb2, template_pb2, policy_pb2, privacy_pb2)
    for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
]  # fmt: skip


def asked_of(guarded: Gateway, method: MethodDescriptor, caller: str) -> grpc.RpcError:
    """Ask something of the app named wallet; return how it was refused."""
    request = message_factory.GetMessageClass(method.input_type)()
    for path in ("user", "template", "notification"):
        if path in method.input_type.fields_by_name and method.name != "PreviewTemplate":
            getattr(request, path).app = "wallet"
    if "app" in method.input_type.fields_by_name:
        request.app = "wallet"  # type: ignore[attr-defined]
    if method.name == "ImportUsers":
        request.users.add(app="wallet", user_id="lin")  # type: ignore[attr-defined]
    answer = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    with guarded.channel() as channel:
        call = channel.stream_stream(path, lambda one: one.SerializeToString(), answer.FromString)
        return error_of(lambda: list(call(iter([request]), metadata=shown(caller), timeout=TIMEOUT_S)))


@pytest.mark.parametrize("method", ADMINISTRATIVE, ids=lambda method: method.name)
def test_no_administrative_method_hears_a_caller_who_may_only_send(guarded: Gateway, method: MethodDescriptor) -> None:
    assert asked_of(guarded, method, "rival").code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "method", [one for one in ADMINISTRATIVE if one.name != "ImportUsers"], ids=lambda method: method.name
)
def test_no_administrative_method_tells_of_an_app_that_is_not_the_callers(
    guarded: Gateway, method: MethodDescriptor
) -> None:
    refused = asked_of(guarded, method, "elsewhere")
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not yours" in (refused.details() or "")
