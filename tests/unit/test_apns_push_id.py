"""apns-id values: canonical, stable, one per delivery."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.apns.push_id import push_id, stamp
from tests.unit.notices import delivery, notice

CANONICAL = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1))
def test_id_is_a_canonical_uuid_and_always_the_same(notification_id: bytes, device_key: int) -> None:
    text = push_id(notification_id, device_key)
    assert CANONICAL.fullmatch(text)
    assert str(uuid.UUID(text.decode())).encode() == text
    assert push_id(notification_id, device_key) == text


def test_neighbouring_notifications_and_devices_share_no_id() -> None:
    ids = {push_id(number.to_bytes(16), key) for number in range(300) for key in range(300)}
    assert len(ids) == 90_000


def test_stamp_gives_each_delivery_its_own_id_and_keeps_it() -> None:
    note = notice()
    deliveries = [delivery(note, (b"{}", None), f"{number:x}") for number in range(50)]
    ids = stamp(deliveries, 40)
    assert len(set(ids)) == 40
    assert [each.provider_message_id for each in deliveries] == [*(each.decode() for each in ids), *[None] * 10]
    assert stamp(deliveries, 40) == ids
    assert ids[3] == push_id(note.id, deliveries[3].device_key)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_ids_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        push_id(bytes(length), 1)


def test_stamp_checks_its_count() -> None:
    with pytest.raises(IndexError):
        stamp([], 1)
