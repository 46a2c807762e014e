"""UserService: who the users of an app are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import InvalidRequest, Overloaded, Refusal, UnknownUser
from core.people import User, UserChange, UserStore
from gateway.callers import current_caller
from gateway.convert import Scope
from gateway.convert_users import from_user, to_change
from gateway.fields import required
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.scopes import Scopes, require_app
from gateway.status import to_status
from protos.walletpush.v1 import user_pb2 as pb
from protos.walletpush.v1.user_pb2_grpc import UserServiceServicer

MAX_CHUNK = 1_000
# So many chunks of one import are converted before the next is read.
_CHUNKS_AHEAD = 2
# Converting a user takes some 15 us; nobody waits longer than for so many.
_STRIDE = 50
# How often an import waits for room in the store's queue before it gives up.
_PATIENCE = 100


class ImportStore(UserStore, Protocol):
    """Keeps users, and stores of many what can be stored."""

    async def upsert_each(self, changes: Sequence[UserChange], now_unix_ms: int) -> list[bool | Refusal]:
        """Store in one commit what can be; return for each whether it was new, or why it was refused."""


class CountMoves(Protocol):
    """The frequency counters, as far as they follow their user."""

    def move(self, app: str, from_user_id: str, into_user_id: str, now_unix_ms: int) -> None:
        """Count for one user what was counted for another."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as converted: what is wrong with which of its users, and the changes of the others."""

    failures: dict[int, Refusal]
    places: list[int]
    changes: list[UserChange]


Chunks = asyncio.Queue[Chunk | None]


class UserServicer(UserServiceServicer):
    """Checks the caller and the request's fields; what is stored is the store's to say."""

    def __init__(self, store: ImportStore, counts: CountMoves, scopes: Scopes, clock: Clock) -> None:
        self._store = store
        self._counts = counts
        self._scopes = scopes
        self._clock = clock

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    async def UpsertUser(self, request: pb.UpsertUserRequest, context: Context) -> pb.UpsertUserResponse:  # noqa: N802
        """Create or change a user."""
        now_unix_ms = self._clock.unix_ms()
        change = to_change("user", request.user, request.update_mask, self._scope(), now_unix_ms)
        try:
            (created,) = await self._store.upsert([change], now_unix_ms)
        except InvalidRequest as refusal:
            raise told_of(refusal, "user") from None
        stored = await self._known(change.user.app, change.user.user_id)
        return pb.UpsertUserResponse(user=from_user(stored), created=created)

    async def ImportUsers(  # noqa: N802
        self, requests: AsyncIterator[pb.ImportUsersRequest], context: Context
    ) -> AsyncIterator[pb.ImportUsersResponse]:
        """Store chunks in their order, while the next are converted, and acknowledge each."""
        chunks: Chunks = asyncio.Queue(_CHUNKS_AHEAD)
        # Not a TaskGroup: its scope must not span a yield.
        reader = asyncio.ensure_future(self._read(requests, self._scope(), chunks))
        stored = failed = 0
        try:
            while (chunk := await chunks.get()) is not None:
                failures = chunk.failures | await self._stored(chunk)
                failed += len(failures)
                stored += len(chunk.places) + len(chunk.failures) - len(failures)
                yield pb.ImportUsersResponse(
                    stored_count=stored, failed_count=failed,
                    failures=[pb.ImportFailure(index=n, error=to_status(failures[n])) for n in sorted(failures)],
                )  # fmt: skip
            await reader
        finally:
            reader.cancel()
            while not chunks.empty():
                chunks.get_nowait()
            # Awaited, so that its error is not left for the loop to complain about.
            await asyncio.gather(reader, return_exceptions=True)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:  # noqa: N802
        """Return a user."""
        app = require_app(self._scope(), "app", request.app)
        if request.WhichOneof("key") == "external_id":
            system = required("external_id.system", request.external_id.system, 128)
            found = await self._store.find(app, system, required("external_id.id", request.external_id.id, 128))
        else:
            found = await self._store.get(app, required("user_id", request.user_id, 128))
        if found is None:
            raise UnknownUser("no user of the app has this id")
        return pb.GetUserResponse(user=from_user(found))

    async def MergeUsers(self, request: pb.MergeUsersRequest, context: Context) -> pb.MergeUsersResponse:  # noqa: N802
        """Make two users one."""
        app = require_app(self._scope(), "app", request.app)
        gone = required("from_user_id", request.from_user_id, 128)
        stays = required("into_user_id", request.into_user_id, 128)
        if gone == stays:
            raise InvalidRequest("into_user_id", "is the user that goes")
        now_unix_ms = self._clock.unix_ms()
        moved = await self._store.merge(app, gone, stays, now_unix_ms)
        self._counts.move(app, gone, stays, now_unix_ms)
        return pb.MergeUsersResponse(user=from_user(await self._known(app, stays)), moved_device_count=moved)

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:  # noqa: N802
        """Remove a user."""
        app = require_app(self._scope(), "app", request.app)
        deleted = await self._store.delete(app, required("user_id", request.user_id, 128))
        return pb.DeleteUserResponse(deleted=deleted)

    async def _known(self, app: str, user_id: str) -> User:
        found = await self._store.get(app, user_id)
        if found is None:
            raise UnknownUser("the user was deleted meanwhile")
        return found

    async def _read(self, requests: AsyncIterator[pb.ImportUsersRequest], scope: Scope, chunks: Chunks) -> None:
        try:
            async for request in requests:
                if not 1 <= len(request.users) <= MAX_CHUNK:
                    raise InvalidRequest("users", f"1 to {MAX_CHUNK:,} in one request, not {len(request.users):,}")
                await chunks.put(await self._converted(request.users, scope))
        finally:
            await chunks.put(None)

    async def _converted(self, users: Sequence[pb.User], scope: Scope) -> Chunk:
        chunk = Chunk({}, [], [])
        for place, told in enumerate(users):
            if place % _STRIDE == 0:
                await asyncio.sleep(0)
            try:
                chunk.changes.append(to_change(f"users[{place}]", told, None, scope, self._clock.unix_ms()))
                chunk.places.append(place)
            except InvalidRequest as refusal:
                chunk.failures[place] = refusal
        return chunk

    async def _stored(self, chunk: Chunk) -> dict[int, Refusal]:
        """Store a chunk, waiting for room in the store's queue; return what it refused."""
        patience = _PATIENCE
        while True:
            try:
                results = await self._store.upsert_each(chunk.changes, self._clock.unix_ms())
                break
            except Overloaded as full:
                if not patience:
                    raise
                patience -= 1
                await asyncio.sleep(full.retry_after_ms / 1_000)
        return {
            place: told_of(result, f"users[{place}]")
            for place, result in zip(chunk.places, results, strict=True) if isinstance(result, Refusal)
        }  # fmt: skip

    def _scope(self) -> Scope:
        caller = current_caller.get()
        caller.require("manage_users")
        return self._scopes.of(caller)


def told_of(refusal: Refusal, path: str) -> Refusal:
    """Return a store's refusal with the caller's path in place of changes[n].user."""
    if isinstance(refusal, InvalidRequest):
        return InvalidRequest(path + refusal.field.partition(".user")[2], refusal.why)
    return refusal
