"""Privacy through the contract: all that is held is exported, and every look at a user is on record."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.walletpush.v1 import device_pb2, notification_pb2, preference_pb2, privacy_pb2, user_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub
from protos.walletpush.v1.privacy_pb2_grpc import PrivacyServiceStub
from protos.walletpush.v1.user_pb2_grpc import UserServiceStub
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
from tests.acceptance.people import APP, FAR, a_no, a_yes, whole_user
from tests.acceptance.simulators import Simulators
from tests.acceptance.test_callers import caller_toml, shown
from tests.acceptance.test_user_files import walletpush

Exported = Mapping[str, Any]
DENIED, INVALID, NOT_FOUND = (
    grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND,
)  # fmt: skip


@pytest.fixture
def privacy(gateway: Gateway) -> Iterator[PrivacyServiceStub]:
    with gateway.channel() as channel:
        yield PrivacyServiceStub(channel)  # type: ignore[no-untyped-call]


def export(privacy: PrivacyServiceStub, user_id: str) -> Exported:
    request = privacy_pb2.ExportUserRequest(app=APP, user_id=user_id)
    chunks = [one.chunk for one in privacy.ExportUser(request, timeout=TIMEOUT_S)]
    assert all(0 < len(chunk) <= 64 << 10 for chunk in chunks)
    return cast(Exported, json.loads(b"".join(chunks)))


def records(privacy: PrivacyServiceStub, user_id: str = "", **rest: Any) -> privacy_pb2.ListAuditRecordsResponse:
    request = privacy_pb2.ListAuditRecordsRequest(app=APP, user_id=user_id, **rest)
    answer: privacy_pb2.ListAuditRecordsResponse = privacy.ListAuditRecords(request, timeout=TIMEOUT_S)
    return answer


def a_life(gateway: Gateway, name: str) -> dict[str, str]:
    """Make a user with devices, consents, a delivered, a waiting and a shared notification; return their ids."""
    ids: dict[str, str] = {}
    with gateway.channel() as channel:
        users = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        devices = DeviceServiceStub(channel)  # type: ignore[no-untyped-call]
        preferences = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        users.UpsertUser(user_pb2.UpsertUserRequest(user=whole_user(name)), timeout=TIMEOUT_S)
        for token in (apns_device(name), fcm_device(name)):
            device = device_pb2.Device(app=APP, user_id=name, token=token, permission=device_pb2.PERMISSION_GRANTED)
            devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
        said = preference_pb2.UpdatePreferencesRequest(app=APP, user_id=name, consents=[a_yes(), a_no("news")])
        preferences.UpdatePreferences(said, timeout=TIMEOUT_S)
        suppression = preference_pb2.Suppression(category="survey", reason="a complaint", end_time=FAR)
        asked = preference_pb2.AddSuppressionRequest(app=APP, user_id=name, suppression=suppression)
        preferences.AddSuppression(asked, timeout=TIMEOUT_S)
    for which, due in (("sent", 0), ("waiting", FAR.seconds), ("shared", FAR.seconds)):
        # Each by a connection of its own, so that both workers have some.
        with gateway.delivery() as delivery:
            ids[which] = send(delivery, a_notice(name, which, due)).notification_id
            if not due:
                final(delivery, ids[which])
    return ids


def a_notice(name: str, which: str, due_s: int) -> notification_pb2.Notification:
    notice = payment()
    del notice.devices[:]
    notice.user_ids.append(name)
    notice.content.body = f"{which} for {name}"
    if due_s:
        notice.send_at.CopyFrom(Timestamp(seconds=int(time.time()) + 86_400))
    if which == "shared":
        notice.user_ids.append("somebody-else")
        notice.devices.append(apns_device("somebody-else"))
        notice.devices.append(apns_device(name))
    return notice


def test_an_export_holds_everything_of_the_user_and_nothing_of_others(
    gateway: Gateway, privacy: PrivacyServiceStub
) -> None:
    ids = a_life(gateway, "exported")
    held = await_that(lambda: export(privacy, "exported"), lambda one: len(one.get("receipts", [])) >= 2)
    assert (held["app"], held["user_id"]) == (APP, "exported")
    (user,) = held["users"]
    assert (user["email"], user["phone"], user["external_ids"]) == (
        "exported@example.com", "+8613800138000", {"crm": "crm-exported"},
    )  # fmt: skip
    assert user["attributes"]["balance"] == {"minor_units": 1250, "currency": "CNY"}
    assert {one["target"]["token"] for one in held["devices"]} == {
        apns_device("exported").token, fcm_device("exported").token,
    }  # fmt: skip
    assert [(one["category"], one["granted"], one["method"]) for one in held["consents"]] == [
        ("news", False, "unsubscribe_link"), ("promotion", True, "app"),
    ]  # fmt: skip
    assert [(one["category"], one["channel"], one["granted"]) for one in held["choices"]] == [
        ("news", "every", False), ("promotion", "push", True),
    ]  # fmt: skip
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", one["said_time"]) for one in held["consents"])
    assert {one["permission"] for one in held["devices"]} == {"granted"}
    assert [one["reason"] for one in held["suppressions"]] == ["a complaint"]
    waiting = {one["notification_id"]: one["notification"] for one in held["notifications"]}
    assert waiting.keys() == {ids["waiting"], ids["shared"]}
    assert waiting[ids["waiting"]]["content"]["body"] == "waiting for exported"
    assert waiting[ids["shared"]]["user_ids"] == ["exported"]
    assert [one["token"] for one in waiting[ids["shared"]]["devices"]] == [apns_device("exported").token]
    assert {(one["notification_id"], one["state"]) for one in held["receipts"]} == {(ids["sent"], "delivered")}
    assert {one["action"] for one in held["audit_records"]} >= {
        "UserService.UpsertUser", "PreferenceService.UpdatePreferences", "PrivacyService.ExportUser",
    }  # fmt: skip
    assert "somebody-else" not in json.dumps(held)
    assert apns_device("somebody-else").token not in json.dumps(held)


def test_an_unknown_user_s_export_says_that_nothing_but_the_question_is_held(privacy: PrivacyServiceStub) -> None:
    held = export(privacy, "nobody-at-all")
    assert held.keys() == {"app", "user_id", "export_time", "audit_records"}
    assert [one["action"] for one in held["audit_records"]] == ["PrivacyService.ExportUser"]


def test_a_long_history_is_exported_in_parts(gateway: Gateway, privacy: PrivacyServiceStub) -> None:
    with gateway.channel() as channel:
        preferences = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        for _ in range(15):
            said = preference_pb2.UpdatePreferencesRequest(
                app=APP, user_id="talker", consents=[a_yes(), a_no("promotion")] * 50
            )
            preferences.UpdatePreferences(said, timeout=TIMEOUT_S)
    request = privacy_pb2.ExportUserRequest(app=APP, user_id="talker")
    chunks = [one.chunk for one in privacy.ExportUser(request, timeout=TIMEOUT_S)]
    assert len(chunks) > 2
    numbers = [one["number"] for one in json.loads(b"".join(chunks))["consents"]]
    assert len(numbers) == 1_500
    assert numbers == sorted(numbers, reverse=True)


def test_audit_records_say_who_looked_and_come_in_pages(gateway: Gateway, privacy: PrivacyServiceStub) -> None:
    with gateway.channel() as channel:
        users = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        users.UpsertUser(user_pb2.UpsertUserRequest(user=whole_user("looked-at")), timeout=TIMEOUT_S)
        for _ in range(3):
            users.GetUser(user_pb2.GetUserRequest(app=APP, user_id="looked-at"), timeout=TIMEOUT_S)
        users.DeleteUser(user_pb2.DeleteUserRequest(app=APP, user_id="looked-at"), timeout=TIMEOUT_S)
    found = records(privacy, "looked-at").records
    assert [one.action for one in found] == [
        "UserService.DeleteUser", *["UserService.GetUser"] * 3, "UserService.UpsertUser",
    ]  # fmt: skip
    assert {one.actor for one in found} == {"local"}
    assert len({one.subject_hash for one in found}) == 1
    assert len(found[0].subject_hash) == 32
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = records(privacy, "looked-at", page_size=2, page_token=token)
        pages.append([one.action for one in page.records])
        token = page.next_page_token
    # The look at the records is a record too.
    assert [len(page) for page in pages][:2] == [2, 2]
    assert [action for page in pages for action in page].count("UserService.GetUser") == 3
    assert records(privacy).records[0].action == "PrivacyService.ListAuditRecords"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("EraseUser", privacy_pb2.EraseUserRequest(app=APP, user_id="lin"), "reason"),
        ("EraseUser", privacy_pb2.EraseUserRequest(app=APP, user_id="lin", reason="r" * 257), "reason"),
        ("EraseUser", privacy_pb2.EraseUserRequest(app=APP, user_id="lin-7", reason="lin-7 asked"), "reason"),
        ("EraseUser", privacy_pb2.EraseUserRequest(app=APP, reason="asked"), "user_id"),
        ("EraseUser", privacy_pb2.EraseUserRequest(app="nobody's", user_id="lin", reason="asked"), "app"),
        ("GetErasure", privacy_pb2.GetErasureRequest(app=APP, user_id="u" * 129), "user_id"),
        ("GetErasure", privacy_pb2.GetErasureRequest(user_id="lin"), "app"),
        ("ListAuditRecords", privacy_pb2.ListAuditRecordsRequest(app=APP, page_size=1_001), "page_size"),
        ("ListAuditRecords", privacy_pb2.ListAuditRecordsRequest(app=APP, page_token="x"), "page_token"),
        ("ListAuditRecords", privacy_pb2.ListAuditRecordsRequest(app=APP, page_token="9" * 40), "page_token"),
        ("ListAuditRecords", privacy_pb2.ListAuditRecordsRequest(app=APP, user_id="a\0b"), "user_id"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(
    privacy: PrivacyServiceStub, method: str, request_: object, field: str
) -> None:
    error = error_of(lambda: getattr(privacy, method)(request_, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [field])


@pytest.mark.parametrize("request_", [
    privacy_pb2.ExportUserRequest(app=APP), privacy_pb2.ExportUserRequest(user_id="lin"),
    privacy_pb2.ExportUserRequest(app=APP, user_id="a\0b"),
])  # fmt: skip
def test_a_wrong_export_is_refused(privacy: PrivacyServiceStub, request_: privacy_pb2.ExportUserRequest) -> None:
    assert error_of(lambda: list(privacy.ExportUser(request_, timeout=TIMEOUT_S))).code() == INVALID


def test_no_proof_is_found_of_who_was_never_erased(privacy: PrivacyServiceStub) -> None:
    request = privacy_pb2.GetErasureRequest(app=APP, user_id="never-erased")
    assert error_of(lambda: privacy.GetErasure(request, timeout=TIMEOUT_S)).code() == NOT_FOUND


@pytest.fixture
def guarded(simulators: Simulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    callers = (
        caller_toml("officer", "bank", rights="may_manage_privacy = true\nmay_manage_users = true")
        + caller_toml("care", "bank", rights="may_manage_users = true\nmay_manage_devices = true")
        + caller_toml("other-app", "bank", '["second"]', "may_manage_privacy = true")
    )
    apps = app_toml(simulators) + app_toml(simulators, "second")
    running = Gateway(tmp_path_factory.mktemp("guarded"), apps + FAST + callers)
    running.start()
    yield running
    running.end()


def test_only_who_may_is_answered_and_a_changed_record_is_found_out(guarded: Gateway) -> None:
    with guarded.channel() as channel:
        privacy = PrivacyServiceStub(channel)  # type: ignore[no-untyped-call]
        users = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        listing = privacy_pb2.ListAuditRecordsRequest(app=APP)
        exporting = privacy_pb2.ExportUserRequest(app=APP, user_id="lin")
        erasing = privacy_pb2.EraseUserRequest(app=APP, user_id="lin", reason="asked")
        proof = privacy_pb2.GetErasureRequest(app=APP, user_id="lin")
        for method, request in (
            (privacy.ListAuditRecords, listing), (privacy.EraseUser, erasing), (privacy.GetErasure, proof),
            (lambda one, **rest: list(privacy.ExportUser(one, **rest)), exporting),
        ):  # fmt: skip
            for caller, code in (("care", DENIED), ("other-app", INVALID)):
                error = error_of(lambda: method(request, metadata=shown(caller), timeout=TIMEOUT_S))  # noqa: B023
                assert error.code() == code
        change = user_pb2.UpsertUserRequest(user=whole_user("lin"))
        users.UpsertUser(change, metadata=shown("care"), timeout=TIMEOUT_S)
        list(privacy.ExportUser(exporting, metadata=shown("officer"), timeout=TIMEOUT_S))
        found = privacy.ListAuditRecords(listing, metadata=shown("officer"), timeout=TIMEOUT_S).records
    assert [(one.actor, one.action) for one in found] == [
        ("officer", "PrivacyService.ExportUser"), ("care", "UserService.UpsertUser"),
    ]  # fmt: skip
    path = guarded.directory / "data" / "audit.db"
    assert verified(guarded) == (0, "3 lines, each follows from the one before")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_stay")
        connection.execute("UPDATE records SET actor = 'nobody' WHERE number = 1")
    assert verified(guarded) == (1, "")


def verified(gateway: Gateway) -> tuple[int, str]:
    words = [sys.executable, "-m", "gateway", "audit", "verify", "--config", str(gateway.config)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, done.stdout.strip()


def test_sending_is_not_audited(gateway: Gateway, privacy: PrivacyServiceStub, delivery: DeliveryServiceStub) -> None:
    before = records(privacy, page_size=1).records[0]
    final(delivery, send(delivery, payment()).notification_id)
    assert [one.action for one in records(privacy, page_size=2).records][1] == before.action


def test_the_command_line_exports_erases_and_tells_who_did(gateway: Gateway, tmp_path: Path) -> None:
    a_life(gateway, "on-the-line")
    out = tmp_path / "held.json"
    words = ("privacy", "export", "on-the-line", "--app", APP, "--out", str(out))
    code, told, err = walletpush(gateway, *words)
    assert (code, told.strip()) == (0, f"wrote {out.stat().st_size:,} bytes to {out}"), err
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(out.read_bytes())["devices"]) == 2
    code, _, err = walletpush(gateway, *words)
    assert (code, "exists already" in err) == (2, True)
    erasing = ("privacy", "erase", "on-the-line", "--app", APP, "--reason", "a letter of 12 May", "--yes")
    code, told, err = walletpush(gateway, *erasing)
    assert code == 0, err
    proof = json.loads(told)
    assert (proof["actor"], proof["reason"]) == ("local", "a letter of 12 May")
    assert json.loads(walletpush(gateway, "privacy", "erasure", "on-the-line", "--app", APP)[1]) == proof
    code, told, _ = walletpush(gateway, "privacy", "audit", "--app", APP, "--user", "on-the-line", "--json")
    lines = [json.loads(line) for line in told.splitlines()]
    assert {one["subject_hash"] for one in lines} == {proof["subject_hash"]}
    assert [one["action"] for one in lines][:3] == [
        "PrivacyService.GetErasure", "PrivacyService.EraseUser", "PrivacyService.ExportUser",
    ]  # fmt: skip
    assert lines[1]["detail"] == "a letter of 12 May"
    with gateway.channel() as channel:
        held = export(PrivacyServiceStub(channel), "on-the-line")  # type: ignore[no-untyped-call]
    assert held.keys() == {"app", "user_id", "export_time", "erasures", "audit_records"}
    code, told, _ = walletpush(gateway, "privacy", "audit", "--app", APP, "--limit", "1")
    assert code == 0
    assert all(column in told for column in ("time", "actor", "action", "user", "detail"))


def test_the_host_lists_and_checks_its_audit_log(gateway: Gateway, privacy: PrivacyServiceStub) -> None:
    records(privacy)
    words = [sys.executable, "-m", "gateway", "audit", "list", "--config", str(gateway.config), "--limit", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=True)
    assert json.loads(done.stdout)["action"] == "PrivacyService.ListAuditRecords"
    code, told = verified(gateway)
    assert (code, "each follows from the one before" in told) == (0, True)


def test_one_worker_removes_what_is_too_old(gateway: Gateway) -> None:
    def shown_tables() -> set[str]:
        with urllib.request.urlopen(f"http://{gateway.web}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {line.partition('table="')[2].partition('"')[0] for line in lines if "purged_rows_total{" in line}

    tables = {"devices", "suppressions", "consents", "audit_records", "erasures"}
    await_that(shown_tables, lambda found: found == tables)
