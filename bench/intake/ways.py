"""The ways of calling walletpush, each as a maker of calls that are prepared ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc

from bench.load import batches, payment
from bench.open_loop import Call
from bench.under_test import CHANNEL_OPTIONS, NotTaken
from gateway.client import Notification, Walletpush
from protos.walletpush.v1 import delivery_pb2 as pb

# Makes so many notifications of a run ready to be sent, in as many calls as it takes.
Calls = Callable[[int, str], list[Call]]
_SERVICE = "/walletpush.v1.DeliveryService/"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of calling. size: how many notifications a call carries. connect: over one channel to an address."""

    name: str
    title: str
    size: int
    connect: Callable[[str, int], AbstractAsyncContextManager[Calls]]


@asynccontextmanager
async def _unary(address: str, size: int) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        send = channel.unary_unary(_SERVICE + "Send", None, pb.SendResponse.FromString)

        async def call(request: bytes) -> Sequence[str]:
            answer = await send(request)
            if answer.status != pb.SEND_STATUS_ACCEPTED:
                raise NotTaken(str(answer))
            return (answer.notification_id,)

        await channel.channel_ready()
        yield lambda count, run: [
            partial(call, pb.SendRequest(notification=payment(number, run)).SerializeToString())
            for number in range(count)
        ]


@asynccontextmanager
async def _batch(address: str, size: int) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        send = channel.unary_unary(_SERVICE + "SendBatch", None, pb.SendBatchResponse.FromString)

        async def call(request: bytes) -> Sequence[str]:
            return _taken((await send(request)).results)

        await channel.channel_ready()
        yield lambda count, run: [partial(call, request) for request in batches(count, size, run)]


@asynccontextmanager
async def _stream(address: str, size: int) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        waiting: dict[int, asyncio.Future[Sequence[str]]] = {}

        async def written() -> AsyncIterator[bytes]:
            while True:
                yield await chunks.get()

        async def read() -> None:
            async for answer in stream(written()):
                waiting.pop(answer.sequence).set_result(_taken(answer.results))

        async def call(sequence: int, chunk: bytes) -> Sequence[str]:
            future: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
            waiting[sequence] = future
            chunks.put_nowait(chunk)
            return await future

        stream = channel.stream_stream(_SERVICE + "SendStream", None, pb.SendStreamResponse.FromString)
        numbers = iter(range(1 << 62))
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read())
            await channel.channel_ready()
            yield lambda count, run: [partial(call, *chunk) for chunk in _chunks(numbers, count, size, run)]
            reader.cancel()


@asynccontextmanager
async def _client(address: str, size: int) -> AsyncIterator[Calls]:
    async with Walletpush(address) as sender:

        async def call(notification: Notification) -> Sequence[str]:
            return ((await sender.send(notification)).id,)

        yield lambda count, run: [partial(call, payment(number, run)) for number in range(count)]


SEND = Way("send", "Send", 1, _unary)
CLIENT = Way("client", "Walletpush.send", 1, _client)
BATCHES = {size: Way(f"send_batch_{size}", f"SendBatch of {size}", size, _batch) for size in (10, 100, 500)}
STREAMS = {size: Way(f"send_stream_{size}", f"SendStream by {size}", size, _stream) for size in (1, 10, 100, 500)}


def _chunks(numbers: Iterator[int], count: int, size: int, run: str) -> Iterator[tuple[int, bytes]]:
    for start in range(0, count, size):
        notifications = [payment(number, run) for number in range(start, min(start + size, count))]
        sequence = next(numbers)
        yield sequence, pb.SendStreamRequest(sequence=sequence, notifications=notifications).SerializeToString()


def _taken(results: Sequence[pb.SendResult]) -> Sequence[str]:
    for result in results:
        if result.status != pb.SEND_STATUS_ACCEPTED:
            raise NotTaken(str(result))
    return [result.notification_id for result in results]
