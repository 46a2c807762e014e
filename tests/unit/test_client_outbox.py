"""The outbox of the client: when a chunk is cut, and how many are in flight before the next one waits."""

from __future__ import annotations

import asyncio

from gateway.client import Batching, Content, FlowControl, Notification, Retry, Unavailable
from gateway.client.outbox import Chunk, Outbox
from protos.walletpush.v1 import delivery_pb2 as pb

_NO_LINGER = Batching(max_in_flight=2, max_latency_ms=0.0)


def outbox(batching: Batching = _NO_LINGER) -> Outbox:
    return Outbox(batching, FlowControl(), Retry())


def send(box: Outbox, *keys: str) -> list[asyncio.Task[object]]:
    def notification(key: str) -> Notification:
        return Notification(idempotency_key=key, app="a", content=Content(title=key))

    return [asyncio.ensure_future(box.send(notification(key))) for key in keys]


async def cut(box: Outbox) -> Chunk:
    async with asyncio.timeout(5):
        await box.wait_due()
    return box.cut()


def keys(chunk: Chunk) -> list[str]:
    return [entry.key for entry in chunk]


def settle(box: Outbox, chunk: Chunk) -> None:
    box.settle(chunk, [pb.SendResult(notification_id="id")] * len(chunk))


async def is_due(box: Outbox) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.005)
    try:
        async with asyncio.timeout(0):
            await box.wait_due()
    except TimeoutError:
        return False
    return True


async def test_with_enough_in_flight_what_comes_waits_for_an_answer_and_leaves_together() -> None:
    box = outbox()
    sent = send(box, "a")
    first = await cut(box)
    sent += send(box, "b")
    second = await cut(box)
    sent += send(box, "c", "d", "e")
    assert not await is_due(box)
    settle(box, first)
    third = await cut(box)
    assert (keys(first), keys(second), keys(third)) == (["a"], ["b"], ["c", "d", "e"])
    settle(box, second)
    settle(box, third)
    await asyncio.gather(*sent)


async def test_a_full_chunk_leaves_however_many_are_in_flight() -> None:
    box = outbox(Batching(max_in_flight=1, max_latency_ms=0.0, max_messages=2))
    sent = send(box, "a")
    first = await cut(box)
    sent += send(box, "b")
    assert not await is_due(box)
    sent += send(box, "c")
    second = await cut(box)
    assert keys(second) == ["b", "c"]
    settle(box, first)
    settle(box, second)
    await asyncio.gather(*sent)


async def test_what_a_broken_stream_gives_back_is_due_again() -> None:
    box = outbox(Batching(max_in_flight=1, max_latency_ms=0.0))
    sent = send(box, "a")
    first = await cut(box)
    sent += send(box, "b")
    assert not await is_due(box)
    box.put_back([first], Unavailable("gone"))
    again = await cut(box)
    assert keys(again) == ["a", "b"]
    settle(box, again)
    await asyncio.gather(*sent)
