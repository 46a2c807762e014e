"""What waits out an outage is decided by what its user says then, not by what they said before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest

from adapters.simulators.faults import Faults
from protos.walletpush.v1 import delivery_pb2, device_pb2, preference_pb2, receipt_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, apns_device, await_that, final, receipt_of, send
from tests.acceptance.simulators import HEALTHY, Simulators
from tests.acceptance.test_policy import DELIVERED, SUPPRESSED, WAITING, Wallet, reason_of, to_user, wallet_of

OUTAGE = Faults(outage="unavailable")


@pytest.fixture
def wallet(own_gateway: Callable[..., Gateway]) -> Iterator[Wallet]:
    # Its own, since a breaker remembers.
    gateway = own_gateway()
    gateway.start()
    with grpc.insecure_channel(gateway.address) as channel:
        yield wallet_of(channel)


def wait_in_an_outage(wallet: Wallet, simulators: Simulators, user: str) -> tuple[str, str]:
    """Let a promotion and a payment wait; return their ids."""
    simulators.misbehave(OUTAGE)
    waiting, payment = wallet.promote(user), send(wallet.delivery, to_user(user)).notification_id
    await_that(simulators.requests, lambda count: count > 0)
    return waiting, payment


def test_a_consent_withdrawn_in_an_outage_holds_the_promotion_back_and_uncounts_it(
    wallet: Wallet, simulators: Simulators
) -> None:
    user = wallet.user(local_hour=12)
    waiting, payment = wait_in_an_outage(wallet, simulators, user)
    wallet.says(user, "promotion", granted=False)
    simulators.misbehave(HEALTHY)
    held = final(wallet.delivery, waiting)
    assert (held.state, reason_of(held)) == (SUPPRESSED, "USER_CATEGORY_CHANNEL")
    assert final(wallet.delivery, payment).state == DELIVERED
    assert simulators.accepted() == 1
    wallet.says(user, "promotion", granted=True)
    states = [final(wallet.delivery, wallet.promote(user)).state for _ in range(4)]
    assert states == [DELIVERED, DELIVERED, DELIVERED, SUPPRESSED]


def test_a_device_handed_on_in_an_outage_hears_nothing_of_its_former_owner(
    wallet: Wallet, simulators: Simulators
) -> None:
    user, other = wallet.user(local_hour=12), wallet.user(local_hour=12, consents=False)
    waiting, payment = wait_in_an_outage(wallet, simulators, user)
    device = device_pb2.Device(app="wallet", user_id=other, token=apns_device(user))
    wallet.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
    simulators.misbehave(HEALTHY)
    held = final(wallet.delivery, waiting)
    assert (held.state, reason_of(held)) == (receipt_pb2.NOTIFICATION_STATE_FAILED, "NO_DEVICES")
    assert final(wallet.delivery, payment).state == DELIVERED
    assert simulators.accepted() == 1


def test_quiet_hours_set_in_an_outage_are_kept(wallet: Wallet, simulators: Simulators) -> None:
    user = wallet.user(local_hour=12)
    waiting, payment = wait_in_an_outage(wallet, simulators, user)
    request = preference_pb2.UpdatePreferencesRequest(
        app="wallet", user_id=user, set_quiet_windows=True,
        quiet_windows=[preference_pb2.QuietWindow(start_minute=9 * 60, end_minute=21 * 60)],
    )  # fmt: skip
    wallet.preferences.UpdatePreferences(request, timeout=TIMEOUT_S)
    simulators.misbehave(HEALTHY)
    assert final(wallet.delivery, payment).state == DELIVERED
    after = wallet.user(local_hour=12)
    assert final(wallet.delivery, wallet.promote(after)).state == DELIVERED
    assert receipt_of(wallet.delivery, waiting).state == WAITING
    assert simulators.accepted() == 2
    cancel = delivery_pb2.CancelNotificationRequest(notification_id=waiting)
    assert wallet.delivery.CancelNotification(cancel, timeout=TIMEOUT_S).cancelled
    assert final(wallet.delivery, waiting).state == receipt_pb2.NOTIFICATION_STATE_CANCELLED
