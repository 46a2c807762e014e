"""What names a user in a journal's frame, and what an erasure leaves of it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from core.errors import StoreFailure
from core.hashing import SipHash
from core.model import Provider, Target
from gateway.erasure.subject import HUSK_KEY, Subject, is_husk, seal, unseal
from gateway.frames import frame_prefix, parse_frame
from protos.walletpush.v1 import notification_pb2 as pb

APNS, FCM = pb.PROVIDER_APNS, pb.PROVIDER_FCM
ME = Subject("wallet", "lin", frozenset({(1, "Ab" * 32), (2, "fcm:Lin")}))
HASHES = SipHash(bytes(16)).derive("devices")
USERS = st.lists(st.sampled_from(["lin", "wei", "ling", "li", "LIN"]), max_size=5)
DEVICES = st.lists(
    st.sampled_from([(APNS, "ab" * 32), (APNS, "AB" * 32), (FCM, "fcm:Lin"), (FCM, "fcm:lin"), (APNS, "cd" * 32)]),
    max_size=4,
)


def frame_of(message: pb.Notification) -> bytes:
    return frame_prefix("tenant", 1_234) + message.SerializeToString(deterministic=True)


def message(users: list[str], devices: list[tuple[pb.Provider, str]], app: str = "wallet") -> pb.Notification:
    return pb.Notification(
        idempotency_key="key", app=app, user_ids=users, notification_class=pb.NOTIFICATION_CLASS_SERVICE,
        devices=[pb.DeviceToken(provider=provider, token=token) for provider, token in devices],
        content=pb.Content(title="Dear lin", data={"b": "2", "a": "1"}), tags=["x"],
    )  # fmt: skip


def is_mine(provider: pb.Provider, token: str) -> bool:
    return token.lower() == "ab" * 32 if provider == APNS else token == "fcm:Lin"  # a name


@given(USERS, DEVICES)
def test_a_frame_loses_the_user_and_nothing_else(users: list[str], devices: list[tuple[pb.Provider, str]]) -> None:
    told = message(users, devices)
    edited = ME.edit(frame_of(told))
    left = [one for one in users if one != "lin"]
    left_devices = [one for one in devices if not is_mine(*one)]
    if (left, left_devices) == (users, devices):
        assert edited is None
        return
    assert edited is not None
    assert ME.traces(HASHES).may_name(frame_of(told))
    if left or left_devices:
        assert edited == (frame_of(message(left, left_devices)), False)
    else:
        assert edited.emptied
        husk = parse_frame(edited.frame)
        assert (husk.tenant, husk.accepted_unix_ms, is_husk(husk.message)) == ("tenant", 1_234, True)
        assert b"lin" not in edited.frame.lower()
        assert ME.edit(edited.frame) is None


def test_another_app_s_user_of_the_same_name_is_somebody_else() -> None:
    assert ME.edit(frame_of(message(["lin"], [], app="bank"))) is None


def test_an_idempotency_key_that_names_the_user_goes_too() -> None:
    told = message(["lin", "wei"], [])
    told.idempotency_key = "payment-for-lin-7"
    edited = ME.edit(frame_of(told))
    assert edited is not None
    assert parse_frame(edited.frame).message.idempotency_key == HUSK_KEY


def test_a_damaged_frame_is_told_and_not_guessed_at() -> None:
    with pytest.raises(StoreFailure):
        ME.edit(b"\1\3")


def test_targets_are_the_user_s_in_either_case_of_hexadecimal_digits() -> None:
    assert ME.names([], [Target(Provider.APNS, "aB" * 32)])
    assert not ME.names(["wei"], [Target(Provider.FCM, "FCM:LIN")])
    assert ME.names_only(["lin"], [Target(Provider.FCM, "fcm:Lin")])
    assert not ME.names_only(["lin", "wei"], [])


def test_a_sealed_subject_opens_for_its_own_proof_alone() -> None:
    key = bytes(range(32))
    sealed = seal(ME, key, "a" * 32)
    assert b"lin" not in sealed
    assert unseal(sealed, key, "a" * 32) == ME
    for other_key, subject_hash in ((bytes(32), "a" * 32), (key, "b" * 32)):
        with pytest.raises(StoreFailure):
            unseal(sealed, other_key, subject_hash)
