"""Users as they come in: what passes without a second look is what the full checks would take too."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.hashing import SipHash
from core.model import Provider
from gateway.callers import LOCAL
from gateway.convert_users import to_change
from gateway.scopes import Scopes
from protos.walletpush.v1 import user_pb2

APP = "wallet"
SCOPE = Scopes({APP: frozenset({int(Provider.APNS)})}, SipHash(bytes(16))).of(LOCAL)
TEXTS = ("locale", "time_zone", "country", "currency", "phone", "email", "birthday", "tier")
GOOD = {
    "locale": "zh-CN", "time_zone": "Asia/Shanghai", "country": "CN", "currency": "CNY", "phone": "+8613800138000",
    "email": "lin@example.com", "birthday": "--02-29", "tier": "gold",
}  # fmt: skip


def refused(told: user_pb2.User, mask: FieldMask | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        to_change("user", told, mask, SCOPE, 1)
    return error.value


@pytest.mark.parametrize("field", TEXTS)
@given(at=st.integers(0, 20), control=st.sampled_from("\x00\x01\x1f\x7f"))
def test_no_text_may_hold_control_characters(field: str, at: int, control: str) -> None:
    text = GOOD[field][:at] + control + GOOD[field][at:]
    told = user_pb2.User(app=APP, user_id="anna")
    setattr(told, field, text)
    assert refused(told).field == f"user.{field}"


def test_an_encoding_or_modifier_behind_a_locale_may_hold_no_control_characters_either() -> None:
    for text in ("zh_CN.\x01", "zh_CN@\x01"):
        assert refused(user_pb2.User(app=APP, user_id="anna", locale=text)).field == "user.locale"


@pytest.mark.parametrize(("length", "passes"), [(64, True), (65, False)])
def test_limits_count_bytes_however_many_characters_they_are(length: int, passes: bool) -> None:
    for character in ("x", "é", "界", "🙂"):
        size = len(character.encode())
        text = character * (length // size) + "x" * (length % size)
        told = user_pb2.User(app=APP, user_id="anna", tier=text, tags=[text])
        if passes:
            assert to_change("user", told, None, SCOPE, 1).user.tier == text
        else:
            assert refused(told).field == "user.tier"
            assert refused(told, FieldMask(paths=["tags"])).field == "user.tags[0]"


def test_a_wrong_tag_is_told_by_its_place_in_the_request() -> None:
    told = user_pb2.User(app=APP, user_id="anna", tags=["vip", "vip", "", "beta"])
    assert refused(told).field == "user.tags[2]"
    assert to_change("user", user_pb2.User(app=APP, user_id="a", tags=["b", "a", "b"]), None, SCOPE, 1).user.tags == (
        "b",
        "a",
    )


def test_external_ids_and_their_systems_are_bounded() -> None:
    for ids, field in (
        ({"crm": ""}, "[crm]"),
        ({"": "1"}, ""),
        ({"crm": "\x01"}, "[crm]"),
        ({"crm": "x" * 129}, "[crm]"),
    ):
        assert refused(user_pb2.User(app=APP, user_id="anna", external_ids=ids)).field == f"user.external_ids{field}"


def test_without_a_mask_what_is_set_is_stored_and_with_one_what_it_names() -> None:
    told = user_pb2.User(app=APP, user_id="anna", tier="gold")
    told.attributes["points"].integer = 0
    assert to_change("user", told, None, SCOPE, 1).fields == {"tier", "attributes"}
    change = to_change("user", told, FieldMask(paths=["email", "last_open_time", "attributes.points"]), SCOPE, 1)
    assert change.fields == {"email", "last_open_unix_ms", "attributes.points"}
    assert (change.user.email, change.user.last_open_unix_ms, change.user.tier) == ("", 0, "")
    assert change.user.attributes == {"points": 0}
