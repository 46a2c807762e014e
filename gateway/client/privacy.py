"""The client's privacy: what is held on a user, its end with a proof, and who looked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc

from gateway.client.channel import Metadata
from gateway.client.errors import from_call
from gateway.client.options import Retry
from gateway.client.retrying import retrying
from protos.walletpush.v1 import privacy_pb2 as pb
from protos.walletpush.v1.privacy_pb2_grpc import PrivacyServiceStub

# (method, request) -> answer, with the client's key, deadline and retries.
Call = Callable[[Callable[..., Any], object], Awaitable[Any]]
# An export reads through all journals, an erasure rewrites them: longer than other calls.
_PATIENCE = 20


class Privacy:
    """`client.privacy`; its methods raise the errors of `gateway.client.errors`."""

    def __init__(self, channel: grpc.aio.Channel, call: Call, metadata: Metadata, retry: Retry) -> None:
        self._stub = PrivacyServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = call
        self._metadata = metadata
        self._patient = replace(retry, deadline_s=retry.deadline_s * _PATIENCE)

    async def export(self, app: str, user_id: str) -> AsyncIterator[bytes]:
        """Give all that is held on a user, in parts that make one JSON object.

        Not tried again: a part that was given is not taken back.
        """
        request = pb.ExportUserRequest(app=app, user_id=user_id)
        timeout_s = self._patient.deadline_s
        try:
            async for part in self._stub.ExportUser(request, timeout=timeout_s, metadata=self._metadata):
                yield part.chunk
        except grpc.aio.AioRpcError as error:
            raise from_call(error) from error

    async def erase(self, app: str, user_id: str, reason: str) -> pb.Erasure:
        """Erase a user from every table, journal and cache; return the proof. reason: without personal data."""
        request = pb.EraseUserRequest(app=app, user_id=user_id, reason=reason)
        answer: pb.EraseUserResponse = await retrying(
            lambda left_s: self._stub.EraseUser(request, timeout=left_s, metadata=self._metadata), self._patient
        )
        return answer.erasure

    async def erasure(self, app: str, user_id: str) -> pb.Erasure:
        """Return the newest proof that a user was erased. Raises NotFound."""
        request = pb.GetErasureRequest(app=app, user_id=user_id)
        answer: pb.GetErasureResponse = await self._call(self._stub.GetErasure, request)
        return answer.erasure

    async def audit(self, app: str, user_id: str = "") -> AsyncIterator[pb.AuditRecord]:
        """Give who did what, newest first; of one user, or of all."""
        request = pb.ListAuditRecordsRequest(app=app, user_id=user_id)
        while True:
            answer: pb.ListAuditRecordsResponse = await self._call(self._stub.ListAuditRecords, request)
            for record in answer.records:
                yield record
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
