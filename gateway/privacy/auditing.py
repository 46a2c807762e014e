"""Writes a line of the audit log for each administrative call, or refuses the call; others are not touched."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from core.audit import AuditLine, AuditLog
from core.errors import Failure, PushError
from core.hashing import SipHash
from core.privacy import subject_hash
from gateway.callers import LOCAL, Caller, current_caller
from gateway.interceptors import Context, Continuation, Handler
from gateway.logs import get_logger
from gateway.pipeline.clock import Clock
from gateway.privacy.actions import AUDITED, Action, Moment, name_of
from gateway.scopes import Scopes
from gateway.status import Abortable, abort, code_of
from protos.walletpush.v1 import user_pb2

MAX_DETAIL_BYTES = 256
_MAX_APP_BYTES = 64
# In place of a user's id in a detail.
NAMED = "[user]"
# Who speaks through a worker's own socket: whoever the gateway's user is on this host.
HOST = replace(LOCAL, name="host")


class Auditor:
    """Makes lines and has them written. secret: the gateway's own."""

    def __init__(self, log: AuditLog, secret: SipHash, scopes: Scopes, clock: Clock) -> None:
        self._log = log
        self._secret = secret
        self._scopes = scopes
        self._clock = clock
        self._logger = get_logger("audit")

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    def may(self, caller: Caller, action: Action, app: str) -> bool:
        """Tell whether the method will hear this caller at all; otherwise it refuses, and nothing was seen or done."""
        return action.permission in caller.permissions and self.knows(caller, app)

    def knows(self, caller: Caller, app: str) -> bool:
        """Tell whether an app is configured and the caller's."""
        return caller.may_use(app) and bool(self._scopes.providers_of(app))

    async def write(self, caller: Caller, name: str, app: str, users: Iterable[str], detail: str) -> None:
        """Write a line for each user, or one without any; durable on return. Raises Unavailable or Overloaded."""
        now_unix_ms, app = self._clock.unix_ms(), cut(app, _MAX_APP_BYTES)
        hashes = [subject_hash(self._secret, app, user_id) if user_id else "" for user_id in users] or [""]
        told = cut(detail, MAX_DETAIL_BYTES)
        await self._log.append([AuditLine(now_unix_ms, app, caller.name, name, one, told) for one in hashes])

    async def add(self, caller: Caller, name: str, app: str, users: Iterable[str], detail: str) -> None:
        """Write how something ended whose beginning is written; where that cannot be, the log of events tells."""
        try:
            await self.write(caller, name, app, users, detail)
        except Failure as failure:
            self._logger.warning("audit_end_lost", action=name, why=str(failure))


class AuditInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Stands inside of what identifies callers. whose: who calls, asked within the call."""

    def __init__(self, auditor: Auditor, whose: Callable[[], Caller] = current_caller.get) -> None:
        self._auditor = auditor
        self._whose = whose

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return a method's handler, wrapped if it is an administrative one."""
        handler = await continuation(handler_call_details)
        action = AUDITED.get(handler_call_details.method)
        if handler is None or action is None:
            return handler
        return self._wrapped(handler, action, name_of(handler_call_details.method))

    def _wrapped(self, handler: Handler, action: Action, name: str) -> Handler:
        kind = next(k for k in ("unary_unary", "unary_stream", "stream_stream") if getattr(handler, k) is not None)
        behaviour = getattr(handler, kind)
        if action.moment is Moment.IMPORT:
            around: Callable[..., object] = _Import(self._auditor, self._whose, action, name, behaviour).call
        elif inspect.isasyncgenfunction(behaviour):
            around = self._stream(action, name, behaviour)
        else:
            around = self._unary(action, name, behaviour)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return cast(Handler, make(around, handler.request_deserializer, handler.response_serializer))

    def _unary(
        self, action: Action, name: str, behaviour: Callable[..., Awaitable[Message]]
    ) -> Callable[..., Awaitable[Message]]:
        async def call(request: Message, context: Context) -> Message:
            before = action.moment is Moment.BEFORE and await self._begun(action, name, request, context)
            try:
                answer = await behaviour(request, context)
            except PushError as error:
                if before:
                    await self._refused(action, name, request, error)
                raise
            if action.moment is Moment.AFTER:
                await self._told(action, name, request, answer, context)
            return answer

        return call

    def _stream(
        self, action: Action, name: str, behaviour: Callable[..., AsyncGenerator[Message, None]]
    ) -> Callable[..., AsyncGenerator[Message, None]]:
        async def call(request: Message, context: Context) -> AsyncGenerator[Message, None]:
            before = await self._begun(action, name, request, context)
            try:
                async with aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        yield answer
            except PushError as error:
                if before:
                    await self._refused(action, name, request, error)
                raise

        return call

    async def _begun(self, action: Action, name: str, request: Message, context: Context) -> bool:
        """Write the line of a call that the method will hear; tell whether it will."""
        app, caller = _text(request, action.app), self._whose()
        if not self._auditor.may(caller, action, app):
            return False
        await self._write(context, caller, name, app, _users(request, action), _detail(request, action))
        return True

    async def _told(self, action: Action, name: str, request: Message, answer: Message, context: Context) -> None:
        users = [_text(answer, action.answered)] if action.answered else _users(request, action)
        await self._write(
            context, self._whose(), name, _text(request, action.app), users, _detail(request, action)
        )

    async def _refused(self, action: Action, name: str, request: Message, error: PushError) -> None:
        users, app = _users(request, action), _text(request, action.app)
        await self._auditor.add(self._whose(), name, app, users, f"refused: {code_of(error).name}")

    async def _write(
        self, context: Context, caller: Caller, name: str, app: str, users: Sequence[str], detail: str
    ) -> None:
        try:
            await self._auditor.write(caller, name, app, users, detail)
        except Failure as failure:
            await abort(cast(Abortable, context), failure)


class _Import:
    """An import of users: a line for each app before its first users, and one with the counts at the end."""

    def __init__(
        self, auditor: Auditor, whose: Callable[[], Caller], action: Action, name: str,
        behaviour: Callable[..., AsyncGenerator[user_pb2.ImportUsersResponse, None]],
    ) -> None:  # fmt: skip
        self._auditor = auditor
        self._whose = whose
        self._action = action
        self._name = name
        self._behaviour = behaviour

    async def call(
        self, requests: AsyncIterable[user_pb2.ImportUsersRequest], context: Context
    ) -> AsyncGenerator[user_pb2.ImportUsersResponse, None]:
        """Pass requests and answers on."""
        sent: Counter[str] = Counter()
        last = user_pb2.ImportUsersResponse()
        try:
            async with aclosing(self._behaviour(self._watched(requests, sent), context)) as answers:
                async for answer in answers:
                    last = answer
                    yield answer
        finally:
            for app, count in sent.items():
                told = f"{count} sent; of the import {last.stored_count} stored, {last.failed_count} not taken"
                await self._auditor.add(self._whose(), self._name, app, (), told)

    async def _watched(
        self, requests: AsyncIterable[user_pb2.ImportUsersRequest], sent: Counter[str]
    ) -> AsyncIterator[user_pb2.ImportUsersRequest]:
        caller = self._whose()
        async for request in requests:
            apps = Counter(user.app for user in request.users)
            for app in [app for app in apps if self._auditor.knows(caller, app)]:
                if app not in sent:
                    await self._auditor.write(caller, self._name, app, (), "begun")
                sent[app] += apps[app]
            yield request


def cut(text: str, max_bytes: int) -> str:
    """Return as many whole characters as fit."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _at(message: Message, path: str) -> Any:
    found: Any = message
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _text(message: Message, path: str) -> str:
    return str(_at(message, path))


def _users(request: Message, action: Action) -> list[str]:
    found: list[str] = []
    for path in action.users:
        value = _at(request, path)
        found += [value] if isinstance(value, str) else list(value)
    return found


def _detail(request: Message, action: Action) -> str:
    users = [user_id for user_id in _users(request, action) if user_id]
    return " ".join(told for path in action.detail if (told := _unnamed(_shown(request, path), users)))


def _unnamed(text: str, users: Iterable[str]) -> str:
    """Return a detail without those it is about: the log outlives their erasure, also where the method refuses."""
    for user_id in sorted(users, key=len, reverse=True):
        text = text.replace(user_id, NAMED)
    return text


def _shown(request: Message, path: str) -> str:
    """Return a text as it is, an enum by its name, and of a list how many it has."""
    value = _at(request, path)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        field = request.DESCRIPTOR.fields_by_name[path]
        return field.enum_type.values_by_number[value].name if field.enum_type else str(value)
    return f"{len(value)} {path}" if value else ""
