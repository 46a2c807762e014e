"""Keeps an ImportUsers stream open and sends again what it did not acknowledge: storing twice changes nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from gateway.client.channel import Metadata
from gateway.client.errors import Failed, Transient, Unavailable, WalletpushError, from_call, from_status
from gateway.client.options import Retry
from gateway.client.retrying import pause_s
from protos.walletpush.v1 import user_pb2 as pb

# So many chunks are sent ahead of their acknowledgement.
_AHEAD = 4
# Below the size of a request that gateways take unless set lower.
_MAX_BYTES = 8 << 20
# gRPC's stubs are generic over requests and answers.
Method: TypeAlias = "grpc.aio.StreamStreamMultiCallable[Any, Any]"
Call: TypeAlias = "grpc.aio.StreamStreamCall[Any, Any]"


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is. acknowledged: users from the beginning that are stored or refused.

    failures: those of the last chunk that were refused, by their place in the import, from 0.
    """

    acknowledged: int
    stored: int
    failed: int
    failures: tuple[tuple[int, WalletpushError], ...] = ()


class Importer:
    """One import; `run` once."""

    def __init__(self, method: Method, metadata: Metadata, retry: Retry) -> None:
        self._method = method
        self._metadata = metadata
        self._retry = retry
        self._sent: deque[pb.ImportUsersRequest] = deque()
        self._progress = ImportProgress(0, 0, 0)

    async def run(
        self, users: Iterable[pb.User] | AsyncIterable[pb.User], chunk: int
    ) -> AsyncIterator[ImportProgress]:
        """Send all users; give the progress after each acknowledgement."""
        chunks = _chunks(users, chunk)
        loop = asyncio.get_running_loop()
        failures, deadline_s = 0, loop.time() + self._retry.deadline_s
        while True:
            # Typed as if requests had to come from an iterator; without one they are written.
            call = self._method(metadata=self._metadata)  # type: ignore[call-arg]
            failure: WalletpushError | None = None
            try:
                async for progress in self._session(call, chunks):
                    failures, deadline_s = 0, loop.time() + self._retry.deadline_s
                    yield progress
            except grpc.aio.AioRpcError as error:
                failure = from_call(error)
            except TimeoutError:
                failure = Unavailable(f"no acknowledgement for {self._retry.stall_s} s")
            finally:
                call.cancel()
            if failure is None:
                return
            failures += 1
            wait_s = pause_s(self._retry, failures, getattr(failure, "retry_after_s", 0.0))
            if not isinstance(failure, Transient) or loop.time() + wait_s >= deadline_s:
                raise failure
            await asyncio.sleep(wait_s)

    async def _session(
        self, call: Call, chunks: AsyncIterator[pb.ImportUsersRequest]
    ) -> AsyncIterator[ImportProgress]:
        """Send what was not acknowledged, then what comes, until there is no more."""
        for unacknowledged in list(self._sent):
            await _write(call, unacknowledged)
        while True:
            while len(self._sent) < _AHEAD and (request := await _next(chunks)):
                self._sent.append(request)
                await _write(call, request)
            if not self._sent:
                await call.done_writing()
            async with asyncio.timeout(self._retry.stall_s):
                answer = await call.read()
            if isinstance(answer, pb.ImportUsersResponse) and self._sent:
                yield self._acknowledged(self._sent.popleft(), answer)
            elif self._sent:
                raise Failed("the gateway ended an import before it acknowledged all of it")
            else:
                return

    def _acknowledged(self, request: pb.ImportUsersRequest, answer: pb.ImportUsersResponse) -> ImportProgress:
        was, size, bad = self._progress, len(request.users), len(answer.failures)
        failures = tuple((was.acknowledged + one.index, from_status(one.error)) for one in answer.failures)
        self._progress = ImportProgress(
            was.acknowledged + size, was.stored + size - bad, was.failed + bad, failures
        )
        return self._progress


async def _next(chunks: AsyncIterator[pb.ImportUsersRequest]) -> pb.ImportUsersRequest | None:
    async for request in chunks:
        return request
    return None


async def _write(call: Call, request: pb.ImportUsersRequest) -> None:
    # A call that has ended says so here as well; reading tells why.
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(request)


async def _chunks(
    users: Iterable[pb.User] | AsyncIterable[pb.User], chunk: int
) -> AsyncIterator[pb.ImportUsersRequest]:
    request, size = pb.ImportUsersRequest(), 0
    async for user in _each(users):
        if len(request.users) >= chunk or (request.users and size + user.ByteSize() > _MAX_BYTES):
            yield request
            request, size = pb.ImportUsersRequest(), 0
        request.users.append(user)
        size += user.ByteSize()
    if request.users:
        yield request


async def _each(users: Iterable[pb.User] | AsyncIterable[pb.User]) -> AsyncIterator[pb.User]:
    if isinstance(users, AsyncIterable):
        async for user in users:
            yield user
        return
    for user in users:
        yield user
