"""The client's users: kept one by one, or imported by the million."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.client.channel import Metadata
from gateway.client.importing import Importer, ImportProgress
from gateway.client.options import Retry
from protos.walletpush.v1 import user_pb2 as pb
from protos.walletpush.v1.user_pb2_grpc import UserServiceStub

# (method, request) -> answer, with the client's key, deadline and retries.
Call = Callable[[Callable[..., Any], object], Awaitable[Any]]


class Users:
    """`client.users`; its methods raise the errors of `gateway.client.errors`."""

    def __init__(self, channel: grpc.aio.Channel, call: Call, metadata: Metadata, retry: Retry) -> None:
        self._stub = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = call
        self._metadata = metadata
        self._retry = retry

    async def upsert(self, user: pb.User, *fields: str) -> pb.User:
        """Create a user or change the named fields, without any those that are set; return the user as stored."""
        request = pb.UpsertUserRequest(user=user, update_mask=FieldMask(paths=fields))
        answer: pb.UpsertUserResponse = await self._call(self._stub.UpsertUser, request)
        return answer.user

    async def import_all(
        self, users: Iterable[pb.User] | AsyncIterable[pb.User], *, chunk: int = 1_000
    ) -> AsyncIterator[ImportProgress]:
        """Store any number of users, every field that is set; say after each chunk how far it is.

        Users are taken from the iterable only as fast as the gateway stores them. Over disconnects it goes on until
        nothing was stored for the retry deadline. Raises ValueError for a chunk above 1,000.
        """
        if not 1 <= chunk <= 1_000:
            raise ValueError(f"a chunk holds 1 to 1,000 users, not {chunk}")
        async for progress in Importer(self._stub.ImportUsers, self._metadata, self._retry).run(users, chunk):
            yield progress

    async def get(self, app: str, user_id: str) -> pb.User:
        """Return a user. Raises NotFound."""
        answer: pb.GetUserResponse = await self._call(self._stub.GetUser, pb.GetUserRequest(app=app, user_id=user_id))
        return answer.user

    async def find(self, app: str, system: str, external_id: str) -> pb.User:
        """Return the user with this id in another system. Raises NotFound."""
        request = pb.GetUserRequest(app=app, external_id=pb.ExternalId(system=system, id=external_id))
        answer: pb.GetUserResponse = await self._call(self._stub.GetUser, request)
        return answer.user

    async def merge(self, app: str, from_user_id: str, into_user_id: str) -> pb.User:
        """Make two users one; return the one that stays. Raises NotFound."""
        request = pb.MergeUsersRequest(app=app, from_user_id=from_user_id, into_user_id=into_user_id)
        answer: pb.MergeUsersResponse = await self._call(self._stub.MergeUsers, request)
        return answer.user

    async def delete(self, app: str, user_id: str) -> bool:
        """Remove a user with devices and preferences; tell whether there was one."""
        request = pb.DeleteUserRequest(app=app, user_id=user_id)
        answer: pb.DeleteUserResponse = await self._call(self._stub.DeleteUser, request)
        return answer.deleted
