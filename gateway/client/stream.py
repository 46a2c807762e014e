"""Keeps a SendStream open while there is something to send, and sends again what a broken one did not acknowledge."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, TypeAlias

import grpc

from gateway.client.channel import Metadata
from gateway.client.errors import Failed, Unavailable, WalletpushError, from_call
from gateway.client.options import Retry
from gateway.client.outbox import Chunk, Outbox
from gateway.client.retrying import pause_s
from gateway.client.wire import chunk, traces
from protos.walletpush.v1 import delivery_pb2 as pb

_METHOD = "/" + pb.DESCRIPTOR.services_by_name["DeliveryService"].full_name + "/SendStream"
# gRPC's stubs are generic over requests and answers.
Call: TypeAlias = "grpc.aio.StreamStreamCall[Any, Any]"


class Stream:
    """Runs until it is cancelled; one call at a time."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, outbox: Outbox, retry: Retry) -> None:
        self._open = channel.stream_stream(_METHOD, None, pb.SendStreamResponse.FromString)
        self._metadata = metadata
        self._outbox = outbox
        self._retry = retry
        self._unacknowledged: deque[tuple[int, Chunk]] = deque()
        self._acknowledged = 0

    async def run(self) -> None:
        """Send whatever the outbox gives, for ever."""
        failures = 0
        while True:
            await self._outbox.wait_due()
            before = self._acknowledged
            failure = await self._session()
            failures = 1 if self._acknowledged > before else failures + 1
            self._outbox.put_back([entries for _, entries in self._unacknowledged], failure)
            self._unacknowledged.clear()
            await asyncio.sleep(pause_s(self._retry, failures))

    async def _session(self) -> WalletpushError:
        """Open a call, use it until it ends, return why it did."""
        # Typed as if requests had to come from an iterator; without one they are written.
        call = self._open(metadata=self._metadata)  # type: ignore[call-arg]
        try:
            async with asyncio.timeout(None) as stall, asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(call, stall))
                failure = await self._read(call, stall)
                writer.cancel()
                return failure
        except TimeoutError:
            return Unavailable(f"no acknowledgement for {self._retry.stall_s} s")
        finally:
            call.cancel()

    async def _write(self, call: Call, stall: asyncio.Timeout) -> None:
        sequence = 0
        # A call that has ended says so here as well; the reader knows why it did.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await self._outbox.wait_due()
                entries = self._outbox.cut()
                if not entries:
                    continue
                sequence += 1
                self._unacknowledged.append((sequence, entries))
                if len(self._unacknowledged) == 1:
                    self._watch(stall)
                elements = [entry.element for entry in entries]
                await call.write(chunk(sequence, [*elements, traces(entry.trace for entry in entries)]))

    async def _read(self, call: Call, stall: asyncio.Timeout) -> WalletpushError:
        try:
            while isinstance(answer := await call.read(), pb.SendStreamResponse):
                if not self._settle(answer):
                    return Failed(f"an acknowledgement that fits no chunk: {answer.sequence}")
                self._watch(stall)
        except grpc.aio.AioRpcError as error:
            failure = from_call(error)
            # A fault of one message would be told in its result: this one is the stream's, and another may do.
            return Unavailable(str(failure)) if isinstance(failure, Failed) else failure
        return Unavailable("the gateway ended the stream")

    def _settle(self, answer: pb.SendStreamResponse) -> bool:
        if not self._unacknowledged:
            return False
        sequence, entries = self._unacknowledged[0]
        if answer.sequence != sequence or len(answer.results) != len(entries):
            return False
        self._unacknowledged.popleft()
        self._acknowledged += 1
        self._outbox.settle(entries, answer.results)
        return True

    def _watch(self, stall: asyncio.Timeout) -> None:
        until_s = asyncio.get_running_loop().time() + self._retry.stall_s if self._unacknowledged else None
        # It may have run out in this very turn of the loop.
        with suppress(RuntimeError):
            stall.reschedule(until_s)

