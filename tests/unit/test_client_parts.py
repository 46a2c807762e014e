"""The client's parts that need no connection: the stream's wire form, statuses as errors, bounds, waits, settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ContentRefused, IdempotencyConflict, InvalidRequest, Overloaded, PushError, StoreFailure
from gateway.client import Batching, FlowControl, FlowControlFull, Notification, Retry, Tls, errors
from gateway.client.errors import FieldViolation, about, from_status
from gateway.client.flow import Gate
from gateway.client.retrying import pause_s
from gateway.client.wire import chunk, framed
from gateway.status import to_status
from protos.walletpush.v1 import delivery_pb2 as pb

USERS = st.lists(st.text(), max_size=5)
NOTIFICATIONS = st.builds(Notification, app=st.text(), idempotency_key=st.text(max_size=40), user_ids=USERS)


@given(sequence=st.integers(0, 2**64 - 1), notifications=st.lists(NOTIFICATIONS, max_size=20))
def test_a_chunk_written_by_hand_is_what_protobuf_reads(sequence: int, notifications: list[Notification]) -> None:
    made = [framed(one) for one in notifications]
    read = pb.SendStreamRequest.FromString(chunk(sequence, (element for element, _ in made)))
    assert read.sequence == sequence
    assert [one.idempotency_key for one in read.notifications] == [key for _, key in made]
    for sent, got in zip(notifications, read.notifications, strict=True):
        assert got.idempotency_key == sent.idempotency_key or not sent.idempotency_key
        got.idempotency_key = sent.idempotency_key
        assert got == sent


def test_a_large_notification_keeps_its_length() -> None:
    large = Notification(user_ids=["u" * 128] * 10_000)
    read = pb.SendStreamRequest.FromString(chunk(1, [framed(large)[0]] * 2))
    assert [len(one.user_ids) for one in read.notifications] == [10_000] * 2


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (InvalidRequest("ttl", "1 s to 28 days"), errors.InvalidArgument),
        (ContentRefused("PayloadTooLarge", "5000 bytes"), errors.InvalidArgument),
        (IdempotencyConflict("n1"), errors.Conflict),
        (Overloaded("pending", 1_500), errors.Overloaded),
        (StoreFailure("damaged"), errors.Failed),
    ],
)
def test_the_gateways_refusals_arrive_as_what_they_are(raised: PushError, expected: type[Exception]) -> None:
    error = from_status(to_status(raised))
    assert type(error) is expected
    assert str(error) == str(raised)


def test_details_of_a_status_become_attributes() -> None:
    invalid = from_status(to_status(InvalidRequest("ttl", "1 s to 28 days")))
    assert isinstance(invalid, errors.InvalidArgument)
    assert invalid.violations == (FieldViolation("ttl", "1 s to 28 days"),)
    conflict, full = from_status(to_status(IdempotencyConflict("n1"))), from_status(to_status(Overloaded("x", 1_500)))
    assert isinstance(conflict, errors.Conflict)
    assert isinstance(full, errors.Overloaded)
    assert (conflict.notification_id, full.retry_after_s) == ("n1", 1.5)


def test_details_that_are_not_known_are_passed_over() -> None:
    status = status_pb2.Status(code=14, message="away", details=[AnyMessage(type_url="type.example/unknown")])
    assert str(from_status(status)) == "away"


def test_a_failure_of_several_is_raised_as_one_for_each() -> None:
    failure = errors.Overloaded("full", 2.0)
    one, two = about(failure, "k1"), about(failure, "k2")
    assert isinstance(one, errors.Overloaded)
    assert (one.idempotency_key, two.idempotency_key, one.retry_after_s, str(one)) == ("k1", "k2", 2.0, "full")


@given(failures=st.integers(0, 10_000), after_s=st.floats(0, 60))
def test_a_pause_is_jittered_below_its_bound_and_never_shorter_than_asked(failures: int, after_s: float) -> None:
    retry = Retry(base_s=0.05, cap_s=2.0)
    bound_s = min(2.0, 0.05 * 2 ** min(max(failures, 1) - 1, 30))
    assert after_s <= pause_s(retry, failures, after_s) <= after_s + bound_s


async def test_the_gate_lets_those_who_wait_go_on_in_their_order() -> None:
    gate, order = Gate(FlowControl(max_messages=2, max_bytes=100)), list[int]()

    async def enter(number: int, size: int) -> None:
        await gate.enter(size)
        order.append(number)

    await enter(0, 60)
    waiting = [asyncio.ensure_future(enter(number, size)) for number, size in ((1, 50), (2, 10), (3, 10))]
    await asyncio.sleep(0)
    # There is room for the small ones, but not before the large one that waits longer.
    assert not gate.try_enter(1)
    assert order == [0]
    gate.leave(60)
    await asyncio.gather(*waiting[:2])
    assert order == [0, 1, 2]
    gate.leave(50)
    await waiting[2]
    assert gate.messages == 2


async def test_the_gate_takes_one_message_that_is_larger_than_all_its_room() -> None:
    gate = Gate(FlowControl(max_bytes=10, when_full="refuse"))
    assert gate.try_enter(1_000)
    with pytest.raises(FlowControlFull):
        await gate.enter(1)
    gate.leave(1_000)
    await gate.enter(1)


async def test_one_who_gives_up_at_the_gate_leaves_no_room_taken() -> None:
    gate = Gate(FlowControl(max_messages=1))
    await gate.enter(1)
    first, second = asyncio.ensure_future(gate.enter(1)), asyncio.ensure_future(gate.enter(1))
    await asyncio.sleep(0)
    # Let in and cancelled in the same turn of the loop.
    gate.leave(1)
    first.cancel()
    await second
    assert (first.cancelled(), gate.messages) == (True, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"max_messages": 0}, {"max_messages": 1_001}, {"max_bytes": 0}, {"max_latency_ms": -1}, {"max_in_flight": 0}],
)
def test_batching_that_the_contract_does_not_allow_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="m"):
        Batching(**wrong)


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        Tls(cert_file=Path(__file__))
