"""Follows receipts over disconnects: each new call goes on behind what was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from gateway.client.answers import Receipts
from gateway.client.channel import Metadata
from gateway.client.errors import Transient, Unavailable, WalletpushError, from_call
from gateway.client.options import Retry
from gateway.client.retrying import pause_s
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub

# The gateway says something every ten seconds, if only that it is there.
SILENCE_S = 30.0


class Follower:
    """One iteration of `watch_receipts`."""

    def __init__(
        self, stub: DeliveryServiceStub, metadata: Metadata, retry: Retry, request: pb.WatchReceiptsRequest
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._retry = retry
        self._request = request
        self._failures = 0
        self._heard_s = asyncio.get_running_loop().time()

    async def receipts(self) -> AsyncIterator[Receipts]:
        """Yield receipts until the gateway says that it told all, which it does only when asked to.

        Raises what is not transient, and Unavailable or Overloaded after the retry deadline without an answer.
        """
        while True:
            try:
                async for told in self._call():
                    if told.receipts:
                        yield told
                if self._request.until_caught_up:
                    return
                failure: WalletpushError = Unavailable("the gateway ended the stream")
            except grpc.aio.AioRpcError as error:
                failure = from_call(error)
            except TimeoutError:
                failure = Unavailable(f"not a word for {SILENCE_S} s")
            await self._pause(failure)

    async def _call(self) -> AsyncIterator[Receipts]:
        call = self._stub.WatchReceipts(self._request, metadata=self._metadata)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    answer = await call.read()
                if not isinstance(answer, pb.WatchReceiptsResponse):
                    return
                self._failures = 0
                self._heard_s = asyncio.get_running_loop().time()
                self._request.cursor = answer.cursor
                yield Receipts(answer.receipts, answer.cursor)
        finally:
            call.cancel()

    async def _pause(self, failure: WalletpushError) -> None:
        self._failures += 1
        silent_s = asyncio.get_running_loop().time() - self._heard_s
        if not isinstance(failure, Transient) or silent_s > self._retry.deadline_s:
            raise failure
        await asyncio.sleep(pause_s(self._retry, self._failures, failure.retry_after_s))
