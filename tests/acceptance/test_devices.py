"""Devices of users, and what becomes of them when a provider calls them dead."""

from __future__ import annotations

import time

from adapters.simulators.token_book import TokenEntry
from protos.walletpush.v1 import device_pb2, notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from tests.acceptance.messages import TIMEOUT_S, apns_device, await_that, fcm_device, final, payment, send
from tests.acceptance.simulators import Simulators


def register(stub: DeviceServiceStub, user: str, token: notification_pb2.DeviceToken) -> None:
    device = device_pb2.Device(app="wallet", user_id=user, token=token, locale="zh-CN", time_zone="Asia/Shanghai")
    stub.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)


def tokens_of(stub: DeviceServiceStub, user: str) -> list[str]:
    request = device_pb2.ListDevicesRequest(app="wallet", user_id=user)
    return [device.token.token for device in stub.ListDevices(request, timeout=TIMEOUT_S).devices]


def to_user(user: str) -> notification_pb2.Notification:
    notification = payment()
    del notification.devices[:]
    notification.user_ids.append(user)
    return notification


def bury(simulators: Simulators, token: notification_pb2.DeviceToken, gone_unix_ms: int) -> None:
    entry = TokenEntry(state="unregistered", since_unix_ms=gone_unix_ms)
    simulators.ask(lambda client: client.set_tokens("apns", {token.token: entry}))


def test_a_user_hears_on_all_devices(devices: DeviceServiceStub, delivery: DeliveryServiceStub) -> None:
    for token in (apns_device("lin-phone"), fcm_device("lin-tablet")):
        register(devices, "lin", token)
    receipt = final(delivery, send(delivery, to_user("lin")).notification_id)
    assert receipt.state == receipt_pb2.NOTIFICATION_STATE_DELIVERED
    assert sorted(one.provider for one in receipt.deliveries) == [1, 2]


def test_a_device_named_twice_hears_once(
    devices: DeviceServiceStub, delivery: DeliveryServiceStub, simulators: Simulators
) -> None:
    register(devices, "wei", apns_device("wei-phone"))
    notification = to_user("wei")
    notification.user_ids.append("wei")
    notification.devices.extend([apns_device("wei-phone")] * 2)
    receipt = final(delivery, send(delivery, notification).notification_id)
    assert len(receipt.deliveries) == simulators.accepted() == 1


def test_a_token_that_moves_to_another_user_leaves_the_first(devices: DeviceServiceStub) -> None:
    token = apns_device("second-hand")
    register(devices, "old", token)
    register(devices, "new", token)
    assert tokens_of(devices, "old") == []
    assert tokens_of(devices, "new") == [token.token]


def test_an_unregistered_device_is_gone(devices: DeviceServiceStub) -> None:
    token = fcm_device("sold")
    register(devices, "seller", token)
    request = device_pb2.UnregisterDeviceRequest(app="wallet", token=token)
    assert devices.UnregisterDevice(request, timeout=TIMEOUT_S).removed
    assert not devices.UnregisterDevice(request, timeout=TIMEOUT_S).removed
    assert tokens_of(devices, "seller") == []


def test_a_token_that_apns_calls_dead_is_retired(
    devices: DeviceServiceStub, delivery: DeliveryServiceStub, simulators: Simulators
) -> None:
    token = apns_device("lost-phone")
    register(devices, "ming", token)
    bury(simulators, token, time.time_ns() // 1_000_000 + 5)
    (receipt,) = final(delivery, send(delivery, to_user("ming")).notification_id).deliveries
    assert (receipt.provider_status, receipt.reason) == (410, "Unregistered")
    await_that(lambda: tokens_of(devices, "ming"), lambda tokens: tokens == [])
    (next_one,) = final(delivery, send(delivery, to_user("ming")).notification_id).deliveries
    assert next_one.reason == "NO_DEVICES"


def test_a_token_registered_after_it_died_stays(
    devices: DeviceServiceStub, delivery: DeliveryServiceStub, simulators: Simulators
) -> None:
    stays, goes = apns_device("reinstalled"), apns_device("thrown-away")
    for token in (stays, goes):
        register(devices, "hua", token)
    bury(simulators, stays, time.time_ns() // 1_000_000 - 60_000)
    bury(simulators, goes, time.time_ns() // 1_000_000 + 5)
    final(delivery, send(delivery, to_user("hua")).notification_id)
    # Both are judged in one batch, so once the one is gone the other was spared.
    await_that(lambda: tokens_of(devices, "hua"), lambda tokens: tokens == [stays.token])
