"""Journal frames: what goes in comes out, and damage is said rather than read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StoreFailure
from gateway.frames import frame_prefix, parse_frame, tenant_of
from protos.walletpush.v1 import notification_pb2 as pb

TENANT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
MESSAGE = pb.Notification(idempotency_key="k", app="wallet", content=pb.Content(title="付款"))


@given(TENANT, st.integers(0, 2**62), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_frame_gives_back_what_was_put_in(tenant: str, accepted_unix_ms: int, title: str) -> None:
    message = pb.Notification(idempotency_key="k", content=pb.Content(title=title))
    frame = frame_prefix(tenant, accepted_unix_ms) + message.SerializeToString(deterministic=True)
    assert parse_frame(frame) == (tenant, accepted_unix_ms, message)
    assert tenant_of(frame) == tenant


@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_store_failure_or_a_message(frame: bytes) -> None:
    try:
        parsed = parse_frame(frame)
    except StoreFailure:
        return
    assert tenant_of(frame) == parsed.tenant


def test_a_frame_that_is_cut_is_a_store_failure() -> None:
    frame = frame_prefix("bank", 5) + MESSAGE.SerializeToString()
    for length in (0, 1, 9, len(frame) - 1):
        with pytest.raises(StoreFailure):
            parse_frame(frame[:length])
    with pytest.raises(StoreFailure):
        tenant_of(b"\1")


def test_a_frame_of_another_version_is_named() -> None:
    frame = b"\2" + frame_prefix("bank", 5)[1:]
    with pytest.raises(StoreFailure, match="version 2"):
        parse_frame(frame)


def test_a_tenant_that_does_not_fit_is_no_frame() -> None:
    assert parse_frame(frame_prefix("t" * 255, 1)).tenant == "t" * 255
    with pytest.raises(Exception, match="0 <= number <= 255"):
        frame_prefix("t" * 256, 1)
