"""`walletpush explain` as a person types it: every gate in words, the decision, and its exit code."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import grpc
import pytest

from protos.walletpush.v1 import template_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S
from tests.acceptance.simulators import Simulators
from tests.acceptance.test_policy import Wallet, template, wallet_of
from tests.acceptance.test_user_files import walletpush

GATES = [
    "class", "consent", "permission", "suppression", "preference", "frequency_cap", "quiet_hours", "vendor_quota",
    "channel",
]  # fmt: skip


@pytest.fixture
def wallet(gateway: Gateway) -> Iterator[Wallet]:
    with grpc.insecure_channel(gateway.address) as channel:
        yield wallet_of(channel)


def test_a_promotion_is_told_gate_by_gate(wallet: Wallet, gateway: Gateway, simulators: Simulators) -> None:
    user = wallet.user(local_hour=12)
    words = ("explain", user, "--app", "wallet", "--class", "marketing", "--category", "promotion")
    code, out, err = walletpush(gateway, *words)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line.split()[:1] and line.split()[0] in GATES] == GATES
    assert "sent at once" in out
    assert "locale en" in out
    wallet.says(user, "promotion", granted=False)
    code, out, _ = walletpush(gateway, *words)
    assert code == 1
    assert "suppress: USER_CATEGORY_CHANNEL, by consent" in out
    assert simulators.accepted() == 0


def test_another_hour_is_told_with_how_long_it_waits(wallet: Wallet, gateway: Gateway) -> None:
    user = wallet.user(local_hour=12)
    zone = json.loads(walletpush(gateway, "users", "get", user, "--app", "wallet")[1])["time_zone"]
    hours = -int(zone.removeprefix("Etc/GMT") or 0)
    tomorrow = datetime.now(timezone(timedelta(hours=hours))) + timedelta(days=1)
    at = tomorrow.replace(hour=3, minute=0, second=0, microsecond=0).isoformat()
    words = ("explain", user, "--app", "wallet", "--class", "marketing", "--at", at, "--json")
    code, out, _ = walletpush(gateway, *words)
    decision = json.loads(out)["decision"]
    assert (code, decision["verdict"], decision["reason"]) == (1, "VERDICT_DEFER", "QUIET_HOURS")
    assert walletpush(gateway, "explain", user, "--app", "wallet", "--at", "at night")[0] == 2


def test_a_template_brings_its_class_and_shows_what_the_device_gets(wallet: Wallet, gateway: Gateway) -> None:
    name, user = f"explained-{uuid.uuid4().hex[:8]}", wallet.user(local_hour=12)
    wallet.templates.PublishTemplate(template_pb2.PublishTemplateRequest(template=template(name)), timeout=TIMEOUT_S)
    words = ("explain", user, "--app", "wallet", "--template", name, "--var", "sender=Wang Fang", "--var")
    code, out, _ = walletpush(gateway, *words, 'amount={"money": {"currency": "CNY", "minor_units": 123456}}')
    assert code == 0
    assert "You received" in out.replace("\n", "")
    code, _, err = walletpush(gateway, *words, "amount=much")
    assert (code, "amount: " in err) == (2, True)
    code, _, err = walletpush(gateway, "explain", user, "--app", "wallet", "--template", "unknown")
    assert (code, err) == (5, "walletpush: refused: the app has no template 'unknown'\n")


def test_the_payload_of_each_provider_is_shown_as_whole_json_without_the_token(
    wallet: Wallet, gateway: Gateway
) -> None:
    user, token = wallet.user(local_hour=12), f"fcm-{uuid.uuid4().hex}"
    assert walletpush(gateway, "devices", "register", "--app", "wallet", "--user", user, "--fcm-token", token)[0] == 0
    out = walletpush(gateway, "explain", user, "--app", "wallet", "--title", "Paid", "--json")[1]
    devices = {one["provider"]: json.loads(one["payload_json"]) for one in json.loads(out)["devices"]}
    assert devices["PROVIDER_APNS"]["aps"]["alert"]["title"] == "Paid"
    assert devices["PROVIDER_FCM"]["message"]["notification"]["title"] == "Paid"
    assert token not in out


def test_a_template_is_previewed_and_sent_by_command_with_typed_variables(wallet: Wallet, gateway: Gateway) -> None:
    name, user = f"typed-{uuid.uuid4().hex[:8]}", wallet.user(local_hour=12)
    wallet.templates.PublishTemplate(template_pb2.PublishTemplateRequest(template=template(name)), timeout=TIMEOUT_S)
    amount = 'amount={"money": {"currency": "CNY", "minor_units": 123456}}'
    said = ("--app", "wallet", "--var", "sender=Wang Fang", "--var", amount)
    code, out, err = walletpush(gateway, "templates", "preview", name, *said)
    assert (code, err, "1,234.56" in out) == (0, "", True)
    code, out, err = walletpush(gateway, "send", *said, "--template", name, "--user", user, "--wait")
    assert (code, err, "delivered" in out) == (0, "", True)
