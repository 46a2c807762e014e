"""Sealed contents on the whole way: only the device reads what was said, neither provider nor locked screen."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protos.walletpush.v1 import device_pb2, notification_pb2, receipt_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import (
    TIMEOUT_S,
    apns_device,
    error_of,
    fcm_device,
    fields_of,
    final,
    payment,
    send,
    status_of,
)
from tests.acceptance.simulators import Simulators
from tests.acceptance.test_policy import Wallet, wallet_of
from tests.unit.test_content_encryption import open_sealed

SEALED = """
[apps.encryption]
enabled = true
titles = { en = "Wallet", zh = "钱包" }
bodies = { en = "Open the app to read it.", zh = "请打开应用查看。" }
"""
SECRETS = ("Payment received", "12.50", "星巴克", "12", "CNY")


@pytest.fixture
def wallet(own_gateway: Callable[..., Gateway]) -> Iterator[Wallet]:
    gateway = own_gateway()
    # The settings of the app are the last table but [dispatch], which no table of an app may follow.
    gateway.configure(gateway.settings.replace("[dispatch]", f"{SEALED}[dispatch]"))
    gateway.start()
    with grpc.insecure_channel(gateway.address) as channel:
        yield wallet_of(channel)


@pytest.fixture
def open_wallet(gateway: Gateway) -> Iterator[Wallet]:
    with grpc.insecure_channel(gateway.address) as channel:
        yield wallet_of(channel)


def register(wallet: Wallet, user: str, token: notification_pb2.DeviceToken, key: bytes, **fields: str) -> None:
    device = device_pb2.Device(app="wallet", user_id=user, token=token, encryption_key=key, **fields)  # type: ignore[arg-type]
    wallet.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)


def paid(user: str) -> notification_pb2.Notification:
    notification = payment()
    del notification.devices[:]
    notification.user_ids.append(user)
    notification.content.deep_link = "wallet://transactions/12"
    return notification


def test_only_the_device_reads_an_amount(wallet: Wallet, simulators: Simulators) -> None:
    user, phone, tablet = uuid.uuid4().hex, X25519PrivateKey.generate(), X25519PrivateKey.generate()
    register(wallet, user, apns_device(user), phone.public_key().public_bytes_raw(), locale="zh-CN")
    register(wallet, user, fcm_device(user), tablet.public_key().public_bytes_raw(), locale="de")
    register(wallet, user, apns_device(f"{user} old"), b"", locale="en")
    sent = paid(user)
    receipt = final(wallet.delivery, send(wallet.delivery, sent).notification_id)
    assert (receipt.state, len(receipt.deliveries)) == (receipt_pb2.NOTIFICATION_STATE_DELIVERED, 3)
    apns = [json.loads(body) for body in simulators.bodies("apns")]
    (fcm,) = [json.loads(body)["message"] for body in simulators.bodies("fcm")]
    (sealed,) = [one for one in apns if "walletpush_sealed" in json.dumps(one)]
    (general,) = [one for one in apns if one is not sealed]
    assert sealed["aps"]["alert"] == {"title": "钱包", "body": "请打开应用查看。"}
    assert sealed["aps"]["mutable-content"] == 1
    assert general["aps"]["alert"] == {"title": "Wallet", "body": "Open the app to read it."}
    assert "notification" not in fcm
    for body in (general, {**sealed, "walletpush_sealed": ""}, {**fcm, "data": {}, "token": ""}):
        assert not [secret for secret in SECRETS if secret in json.dumps(body, ensure_ascii=False)]
    told = {
        "title": "Payment received", "body": "CNY 12.50 at 星巴克", "deep_link": "wallet://transactions/12",
        "data": {"id": sent.content.data["id"]},
    }  # fmt: skip
    assert open_sealed(sealed["walletpush_sealed"], phone, "wallet") == told
    assert open_sealed(fcm["data"]["walletpush_sealed"], tablet, "wallet") == told


@pytest.mark.parametrize(
    ("key", "why"),
    [(b"k" * 31, "32 bytes"), (b"k" * 33, "32 bytes"), (bytes(32), "usable"), (b"\x01" + bytes(31), "usable")],
    ids=["short", "long", "all zeros", "of low order"],
)
def test_a_key_that_nobody_could_use_is_refused(open_wallet: Wallet, key: bytes, why: str) -> None:
    error = error_of(lambda: register(open_wallet, "lin", apns_device("lin"), key))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(status_of(error)) == ["device.encryption_key"]
    assert why in (error.details() or "")


def test_what_a_device_says_of_itself_comes_back_and_goes_with_the_next_registration(open_wallet: Wallet) -> None:
    user, key = uuid.uuid4().hex, X25519PrivateKey.generate().public_key().public_bytes_raw()
    device = device_pb2.Device(
        app="wallet", user_id=user, token=fcm_device(user), encryption_key=key, manufacturer="Huawei",
        permission=device_pb2.PERMISSION_PROVISIONAL,
    )  # fmt: skip
    open_wallet.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
    request = device_pb2.ListDevicesRequest(app="wallet", user_id=user)
    (found,) = open_wallet.devices.ListDevices(request, timeout=TIMEOUT_S).devices
    assert (found.encryption_key, found.manufacturer, found.permission) == (
        key, "huawei", device_pb2.PERMISSION_PROVISIONAL,
    )  # fmt: skip
    register(open_wallet, user, fcm_device(user), b"")
    (found,) = open_wallet.devices.ListDevices(request, timeout=TIMEOUT_S).devices
    assert (found.encryption_key, found.permission) == (b"", 0)
    device.permission = 9  # type: ignore[assignment]
    error = error_of(
        lambda: open_wallet.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
    )
    assert fields_of(status_of(error)) == ["device.permission"]
