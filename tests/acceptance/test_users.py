"""Users through the contract: stored, changed by mask, imported, found, merged and deleted."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from protos.walletpush.v1 import device_pb2, preference_pb2, user_pb2
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub
from protos.walletpush.v1.user_pb2_grpc import UserServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, apns_device, error_of, fields_of, status_of
from tests.acceptance.people import APP, USERS, VALUES, Wrong, a_no, a_yes, whole_user

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def users(gateway: Gateway) -> Iterator[UserServiceStub]:
    with gateway.channel() as channel:
        yield UserServiceStub(channel)  # type: ignore[no-untyped-call]


def upsert(users: UserServiceStub, user: user_pb2.User, *paths: str) -> user_pb2.UpsertUserResponse:
    request = user_pb2.UpsertUserRequest(user=user, update_mask=FieldMask(paths=paths))
    answer: user_pb2.UpsertUserResponse = users.UpsertUser(request, timeout=TIMEOUT_S)
    return answer


def get(users: UserServiceStub, user_id: str) -> user_pb2.User:
    request = user_pb2.GetUserRequest(app=APP, user_id=user_id)
    answer: user_pb2.GetUserResponse = users.GetUser(request, timeout=TIMEOUT_S)
    return answer.user


def import_all(
    users: UserServiceStub, *chunks: list[user_pb2.User]
) -> list[user_pb2.ImportUsersResponse]:
    return list(users.ImportUsers((user_pb2.ImportUsersRequest(users=one) for one in chunks), timeout=TIMEOUT_S))


def test_a_user_comes_back_with_every_field_on_any_worker(users: UserServiceStub, gateway: Gateway) -> None:
    answer = upsert(users, whole_user("everyfield"))
    assert answer.created
    assert not upsert(users, whole_user("everyfield")).created
    for _ in range(4):
        with gateway.channel() as channel:
            found = get(UserServiceStub(channel), "everyfield")  # type: ignore[no-untyped-call]
        assert found.create_time == answer.user.create_time
        for field in ("create_time", "update_time"):
            found.ClearField(field)
        assert found == whole_user("everyfield")
    by_id = user_pb2.GetUserRequest(app=APP, external_id=user_pb2.ExternalId(system="crm", id="crm-everyfield"))
    assert users.GetUser(by_id, timeout=TIMEOUT_S).user.user_id == "everyfield"


def test_a_mask_changes_what_it_names_and_clears_what_is_empty(users: UserServiceStub) -> None:
    upsert(users, whole_user("wei"))
    change = user_pb2.User(app=APP, user_id="wei", locale="en", tier="not named")
    change.attributes["cards"].integer = 4
    changed = upsert(users, change, "locale", "email", "attributes.cards", "attributes.balance").user
    assert (changed.locale, changed.email, changed.tier, changed.phone) == ("en", "", "gold", "+8613800138000")
    expected = dict(VALUES)
    del expected["balance"]
    assert dict(changed.attributes) == {**expected, "cards": change.attributes["cards"]}
    assert dict(upsert(users, change, "attributes").user.attributes) == dict(change.attributes)
    kept = upsert(users, user_pb2.User(app=APP, user_id="wei", country="DE")).user
    assert (kept.country, kept.locale, list(kept.tags)) == ("DE", "en", ["vip", "beta"])


@pytest.mark.parametrize("path", ["app", "user_id", "nothing", "attributes.", "attributes.A", "tags.0", "", "locale.x"])
def test_a_mask_names_fields_that_can_be_changed(users: UserServiceStub, path: str) -> None:
    error = error_of(lambda: upsert(users, whole_user("mask"), "locale", path))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["update_mask"])


@pytest.mark.parametrize("wrong", USERS, ids=lambda wrong: wrong.name)
def test_a_malformed_user_is_refused_by_its_field(users: UserServiceStub, wrong: Wrong) -> None:
    user = whole_user("hostile")
    wrong.edit(user)
    error = error_of(lambda: upsert(users, user))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [wrong.field])


def test_an_external_id_of_another_user_is_refused(users: UserServiceStub) -> None:
    upsert(users, whole_user("owner"))
    thief = whole_user("thief")
    thief.external_ids["crm"] = "crm-owner"
    error = error_of(lambda: upsert(users, thief))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["user.external_ids[crm]"])


def test_an_import_answers_each_chunk_and_names_those_it_did_not_take(users: UserServiceStub) -> None:
    chunks = [[whole_user(f"i{chunk}-{number}") for number in range(1_000)] for chunk in range(3)]
    chunks[1][7].phone = "nonsense"
    chunks[1][9].external_ids["crm"] = "crm-i0-0"
    answers = import_all(users, *chunks)
    assert [(one.stored_count, one.failed_count) for one in answers] == [(1_000, 0), (1_998, 2), (2_998, 2)]
    assert [(one.index, fields_of(one.error)) for one in answers[1].failures] == [
        (7, ["users[7].phone"]), (9, ["users[9].external_ids[crm]"]),
    ]  # fmt: skip
    assert get(users, "i2-999").email == "i2-999@example.com"
    assert error_of(lambda: get(users, "i1-7")).code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("size", [0, 1_001])
def test_an_import_of_a_wrong_size_ends_after_what_came_before(users: UserServiceStub, size: int) -> None:
    good, bad = [user_pb2.User(app=APP, user_id=f"s{size}")], [user_pb2.User(app=APP, user_id="x")] * size
    answers = users.ImportUsers(
        (user_pb2.ImportUsersRequest(users=one) for one in (good, bad)), timeout=TIMEOUT_S
    )
    assert next(answers).stored_count == 1
    error = error_of(lambda: next(answers))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["users"])


def test_merged_users_are_one_with_the_devices_and_the_careful_answers_of_both(
    users: UserServiceStub, gateway: Gateway
) -> None:
    upsert(users, whole_user("old-phone"))
    upsert(users, user_pb2.User(app=APP, user_id="new-phone", locale="en"))
    device = device_pb2.Device(app=APP, user_id="old-phone", token=apns_device("merged"))
    with gateway.channel() as channel:
        devices = DeviceServiceStub(channel)  # type: ignore[no-untyped-call]
        preferences = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
        for user_id, consents in (("old-phone", [a_yes(), a_yes("news")]), ("new-phone", [a_no("promotion")])):
            said = preference_pb2.UpdatePreferencesRequest(app=APP, user_id=user_id, consents=consents)
            preferences.UpdatePreferences(said, timeout=TIMEOUT_S)
        request = user_pb2.MergeUsersRequest(app=APP, from_user_id="old-phone", into_user_id="new-phone")
        answer = users.MergeUsers(request, timeout=TIMEOUT_S)
        in_force = preferences.GetPreferences(
            preference_pb2.GetPreferencesRequest(app=APP, user_id="new-phone"), timeout=TIMEOUT_S
        )
        listed = devices.ListDevices(device_pb2.ListDevicesRequest(app=APP, user_id="new-phone"), timeout=TIMEOUT_S)
    assert (answer.moved_device_count, answer.user.locale, answer.user.tier) == (1, "en", "gold")
    assert [one.token.token for one in listed.devices] == [device.token.token]
    allowed = {one.category: one.allowed for one in in_force.preferences if one.channel == preference_pb2.CHANNEL_PUSH}
    assert (allowed["promotion"], allowed["news"]) == (False, True)
    assert error_of(lambda: users.MergeUsers(request, timeout=TIMEOUT_S)).code() == grpc.StatusCode.NOT_FOUND


def test_a_deleted_user_is_gone_with_devices(users: UserServiceStub, gateway: Gateway) -> None:
    upsert(users, whole_user("leaver"))
    device = device_pb2.Device(app=APP, user_id="leaver", token=apns_device("leaver"))
    request = user_pb2.DeleteUserRequest(app=APP, user_id="leaver")
    with gateway.devices() as devices:
        devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
        assert users.DeleteUser(request, timeout=TIMEOUT_S).deleted
        assert not users.DeleteUser(request, timeout=TIMEOUT_S).deleted
        listed = devices.ListDevices(device_pb2.ListDevicesRequest(app=APP, user_id="leaver"), timeout=TIMEOUT_S)
    assert not listed.devices
    assert error_of(lambda: get(users, "leaver")).code() == grpc.StatusCode.NOT_FOUND
