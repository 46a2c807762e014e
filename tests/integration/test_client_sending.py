"""Sending by the client over a real gRPC server: coalescing, idempotency, errors, retries, broken streams, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.errors import InvalidRequest
from gateway.callers import PermissionDenied
from gateway.client import (
    TRANSACTIONAL,
    Accepted,
    Batching,
    Closed,
    Conflict,
    Content,
    Denied,
    FieldViolation,
    FlowControl,
    FlowControlFull,
    InvalidArgument,
    Notification,
    Overloaded,
    Retry,
    Unavailable,
    Walletpush,
)
from tests.fixtures_gateway import APP, SmallGateway, draining, overloaded, small_gateway

QUICK = Retry(deadline_s=5.0, base_s=0.002, cap_s=0.01)


@pytest.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    async with small_gateway() as running:
        yield running


def payment(key: str = "", body: str = "You paid 12.50", app: str = APP) -> Notification:
    return Notification(
        idempotency_key=key,
        app=app,
        user_ids=["u1"],
        notification_class=TRANSACTIONAL,
        content=Content(title="Payment", body=body),
    )


async def test_concurrent_sends_leave_in_one_chunk(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        answers = await asyncio.gather(*(client.send(payment(f"k{i}")) for i in range(100)))
    assert gateway.deliveries.chunks == [100]
    assert [answer.id for answer in answers] == [gateway.deliveries.accepted[f"k{i}"][0] for i in range(100)]
    assert not any(answer.duplicate for answer in answers)


async def test_chunks_are_bounded_by_count_and_numbered_one_by_one(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, batching=Batching(max_messages=7)) as client:
        await asyncio.gather(*(client.send(payment(f"k{i}")) for i in range(100)))
    assert max(gateway.deliveries.chunks) == 7
    assert sum(gateway.deliveries.chunks) == 100
    (sequences,) = gateway.deliveries.sequences
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


async def test_chunks_are_bounded_by_bytes_and_a_larger_message_goes_alone(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, batching=Batching(max_bytes=3_000)) as client:
        bodies = ["x" * 1_000] * 4 + ["y" * 4_000] + ["z" * 1_000]
        await asyncio.gather(*(client.send(payment(f"k{i}", body)) for i, body in enumerate(bodies)))
    assert gateway.deliveries.chunks == [2, 2, 1, 1]


async def test_a_lone_send_does_not_wait_for_company(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, batching=Batching(max_latency_ms=3_000)) as client:
        async with asyncio.timeout(2):
            await client.send(payment())
            await client.send(payment())


async def test_the_same_key_again_is_a_duplicate_with_the_same_id(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        first, second = await client.send(payment("k")), await client.send(payment("k"))
    assert second == Accepted(first.id, duplicate=True)


async def test_a_missing_key_is_made_and_the_callers_message_stays_as_it_is(gateway: SmallGateway) -> None:
    template = payment()
    async with Walletpush(gateway.address) as client:
        one, two, three = await client.send(template), await client.send(template), await client.send_now(template)
    assert len({one.id, two.id, three.id}) == 3
    assert template.idempotency_key == ""
    assert all(len(key) == 36 for key in gateway.deliveries.accepted)


async def test_a_message_changed_after_send_was_called_leaves_as_it_was(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        message = payment("k", "before")
        sending = asyncio.ensure_future(client.send(message))
        await asyncio.sleep(0)
        message.content.body = "after"
        await sending
    assert b"before" in gateway.deliveries.accepted["k"][1]


async def test_refusals_reach_only_their_own_caller(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        await client.send(payment("taken"))
        good, wrong, conflict = await asyncio.gather(
            client.send(payment("k1")),
            client.send(payment("k2", app="another")),
            client.send(payment("taken", "another body")),
            return_exceptions=True,
        )
    assert isinstance(good, Accepted)
    assert isinstance(wrong, InvalidArgument)
    assert wrong.violations == (FieldViolation("app", "unknown app"),)
    assert wrong.idempotency_key == "k2"
    assert isinstance(conflict, Conflict)
    assert conflict.notification_id == gateway.deliveries.accepted["taken"][0]


async def test_overload_of_single_messages_is_retried_with_the_same_key(gateway: SmallGateway) -> None:
    gateway.deliveries.refuse_next = [overloaded(), draining(), overloaded()]
    async with Walletpush(gateway.address, retry=QUICK) as client:
        answer = await client.send(payment())
    assert not answer.duplicate
    assert len(gateway.deliveries.keys_seen) == 4
    assert len(set(gateway.deliveries.keys_seen)) == 1


async def test_overload_until_the_deadline_is_raised_with_the_gateways_wait(gateway: SmallGateway) -> None:
    gateway.deliveries.refuse_next = [overloaded(60_000)]
    async with Walletpush(gateway.address, retry=Retry(deadline_s=0.3)) as client:
        with pytest.raises(Overloaded) as caught:
            await client.send(payment("k"))
    assert (caught.value.retry_after_s, caught.value.idempotency_key) == (60.0, "k")


async def test_what_a_broken_stream_did_not_acknowledge_is_sent_again(gateway: SmallGateway) -> None:
    gateway.deliveries.break_after = [3, 0, 5]
    async with Walletpush(gateway.address, batching=Batching(max_messages=10), retry=QUICK) as client:
        answers = await asyncio.gather(*(client.send(payment(f"k{i}")) for i in range(200)))
    assert [answer.id for answer in answers] == [gateway.deliveries.accepted[f"k{i}"][0] for i in range(200)]
    assert len(gateway.deliveries.sequences) == 4
    # What had been accepted when the stream broke is known the second time.
    assert any(answer.duplicate for answer in answers)


async def test_a_restarted_gateway_gets_what_waited(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, retry=QUICK) as client:
        await client.send(payment("before"))
        await gateway.stop()
        sending = asyncio.ensure_future(client.send(payment("during")))
        await asyncio.sleep(0.05)
        assert not sending.done()
        await gateway.start()
        assert (await sending).id == gateway.deliveries.accepted["during"][0]


async def test_a_stream_that_acknowledges_nothing_is_replaced(gateway: SmallGateway) -> None:
    gateway.deliveries.talks.clear()
    async with Walletpush(gateway.address, retry=Retry(deadline_s=10.0, base_s=0.002, stall_s=0.2)) as client:
        sending = asyncio.ensure_future(client.send(payment("k")))
        await gateway.deliveries.opened.acquire()
        await gateway.deliveries.opened.acquire()
        gateway.deliveries.talks.set()
        assert (await sending).id == gateway.deliveries.accepted["k"][0]


async def test_nobody_there_is_unavailable_at_the_deadline(gateway: SmallGateway) -> None:
    await gateway.stop()
    async with Walletpush(gateway.address, retry=Retry(deadline_s=0.3)) as client:
        for call in (client.send(payment()), client.send_now(payment())):
            with pytest.raises(Unavailable, match="refused"):
                await call


async def test_a_caller_who_may_not_send_hears_so_at_once(gateway: SmallGateway) -> None:
    gateway.deliveries.abort_next = [PermissionDenied("pay", "send")]
    async with Walletpush(gateway.address) as client:
        with pytest.raises(Denied, match="no permission"):
            await client.send(payment("k"))
        # The stream is opened anew for the next one.
        assert (await client.send(payment("k"))).id


async def test_a_key_goes_with_every_call(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, key="wp_secret") as client:
        await client.send(payment())
        await client.send_now(payment())
    assert gateway.deliveries.authorization == ["Bearer wp_secret"] * 2


async def test_full_flow_control_refuses_when_told_to(gateway: SmallGateway) -> None:
    gateway.deliveries.talks.clear()
    limits = FlowControl(max_messages=2, when_full="refuse")
    async with Walletpush(gateway.address, flow_control=limits) as client:
        under_way = [asyncio.ensure_future(client.send(payment())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FlowControlFull):
            await client.send(payment())
        gateway.deliveries.talks.set()
        await asyncio.gather(*under_way)
        await client.send(payment())


async def test_full_flow_control_waits_its_turn_by_default(gateway: SmallGateway) -> None:
    limits = FlowControl(max_messages=3)
    async with Walletpush(gateway.address, flow_control=limits) as client:
        answers = await asyncio.gather(*(client.send(payment()) for _ in range(50)))
    assert len({answer.id for answer in answers}) == 50
    assert max(gateway.deliveries.chunks) <= 3


async def test_a_cancelled_send_gives_its_room_back(gateway: SmallGateway) -> None:
    gateway.deliveries.talks.clear()
    async with Walletpush(gateway.address, flow_control=FlowControl(max_messages=1)) as client:
        first = asyncio.ensure_future(client.send(payment("k1")))
        waiting = asyncio.ensure_future(client.send(payment("k2")))
        last = asyncio.ensure_future(client.send(payment("k3")))
        await asyncio.sleep(0.05)
        first.cancel()
        waiting.cancel()
        gateway.deliveries.talks.set()
        assert (await last).id
    assert "k2" not in gateway.deliveries.accepted


async def test_leaving_the_client_waits_for_answers(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        sending = asyncio.ensure_future(client.send(payment("k")))
        await asyncio.sleep(0)
    assert (await sending).id == gateway.deliveries.accepted["k"][0]


async def test_closing_without_draining_ends_what_is_under_way(gateway: SmallGateway) -> None:
    gateway.deliveries.talks.clear()
    client = Walletpush(gateway.address)
    sending = asyncio.ensure_future(client.send(payment("k")))
    await asyncio.sleep(0.05)
    await client.close(drain=False)
    with pytest.raises(Closed):
        await sending
    with pytest.raises(Closed):
        await client.send(payment())


async def test_send_now_retries_and_then_says_what_is_wrong(gateway: SmallGateway) -> None:
    gateway.deliveries.abort_next = [draining(), overloaded()]
    async with Walletpush(gateway.address, retry=QUICK) as client:
        gateway.deliveries.refuse_next = [overloaded()]
        assert (await client.send_now(payment("k"))).id == gateway.deliveries.accepted["k"][0]
        assert gateway.deliveries.keys_seen == ["k", "k"]
        gateway.deliveries.refuse_next = [InvalidRequest("ttl", "1 s to 28 days")]
        with pytest.raises(InvalidArgument) as caught:
            await client.send_now(payment("k2"))
    assert caught.value.violations == (FieldViolation("ttl", "1 s to 28 days"),)


async def test_a_batch_has_an_answer_for_each_in_order(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address, retry=QUICK) as client:
        gateway.deliveries.refuse_next = [overloaded(), overloaded()]
        outcomes = await client.send_batch([payment("k0"), payment("k1", app="another"), payment("k2")])
        large = await client.send_batch([payment() for _ in range(1_500)])
    first, wrong, last = outcomes
    assert isinstance(first, Accepted)
    assert isinstance(wrong, InvalidArgument)
    assert wrong.idempotency_key == "k1"
    assert isinstance(last, Accepted)
    assert last.id == gateway.deliveries.accepted["k2"][0]
    assert all(isinstance(one, Accepted) for one in large)


async def test_a_batch_that_reaches_nobody_is_an_error_for_each(gateway: SmallGateway) -> None:
    await gateway.stop()
    async with Walletpush(gateway.address, retry=Retry(deadline_s=0.1)) as client:
        outcomes = await client.send_batch([payment("k1"), payment("k2")])
    assert [(type(one), getattr(one, "idempotency_key", "")) for one in outcomes] == [
        (Unavailable, "k1"),
        (Unavailable, "k2"),
    ]
