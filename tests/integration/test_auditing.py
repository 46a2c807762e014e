"""Administrative calls over a real gRPC server: each is written down before anybody sees or does anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from core.audit import AuditLine, Link
from core.errors import InvalidRequest, Unavailable
from core.hashing import SipHash
from core.privacy import subject_hash
from gateway.callers import CallerBook, new_key
from gateway.interceptors import CallInterceptor
from gateway.metrics import Metrics
from gateway.pipeline.clock import SystemClock
from gateway.privacy.auditing import HOST, AuditInterceptor, Auditor, cut
from gateway.scopes import Scopes
from gateway.settings.components import CallerSettings
from protos.walletpush.internal.v1 import worker_pb2, worker_pb2_grpc
from protos.walletpush.v1 import privacy_pb2, privacy_pb2_grpc, template_pb2, template_pb2_grpc, user_pb2, user_pb2_grpc

SECRET = SipHash(bytes(16))
KEY, KEY_HASH = new_key()
CARE = CallerSettings(
    name="care", apps=("wallet", "second"), key_sha256=(KEY_HASH,), may_manage_users=True, may_manage_privacy=True
)
AS_CARE = (("authorization", f"Bearer {KEY}"),)
TIMEOUT_S = 10.0


class Memory:
    """core.audit.AuditLog in memory, which can break."""

    def __init__(self) -> None:
        self.written: list[AuditLine] = []
        self.broken = False

    async def append(self, lines: Sequence[AuditLine]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise Unavailable("audit: the disk is full")
        self.written += lines

    async def lines(self, app: str, subject_hash: str, before: int, limit: int) -> list[Link]:
        raise NotImplementedError

    def told(self) -> list[tuple[str, str, str, str, str]]:
        return [(one.app, one.actor, one.action, one.subject_hash, one.detail) for one in self.written]


class Users(user_pb2_grpc.UserServiceServicer):
    """Notes whether the audit line of a call stood when it was run."""

    def __init__(self, log: Memory) -> None:
        self.log = log
        self.seen: list[int] = []

    async def GetUser(self, request: Any, context: object) -> user_pb2.GetUserResponse:  # noqa: N802
        self.seen.append(len(self.log.written))
        if request.user_id == "nobody":
            raise InvalidRequest("user_id", "is not known")
        return user_pb2.GetUserResponse(user=user_pb2.User(app=request.app, user_id="lin", phone="+491701234567"))

    async def DeleteUser(self, request: Any, context: object) -> user_pb2.DeleteUserResponse:  # noqa: N802
        self.seen.append(len(self.log.written))
        if request.user_id == "nobody":
            raise InvalidRequest("user_id", "is not known")
        return user_pb2.DeleteUserResponse(deleted=True)

    async def MergeUsers(self, request: Any, context: object) -> user_pb2.MergeUsersResponse:  # noqa: N802
        return user_pb2.MergeUsersResponse()

    async def ImportUsers(  # noqa: N802
        self, requests: AsyncIterator[Any], context: object
    ) -> AsyncIterator[user_pb2.ImportUsersResponse]:
        stored = 0
        async for request in requests:
            self.seen.append(len(self.log.written))
            stored += len(request.users)
            yield user_pb2.ImportUsersResponse(stored_count=stored, failed_count=1)


class Privacy(privacy_pb2_grpc.PrivacyServiceServicer):
    """Answers an export in parts."""

    async def ExportUser(  # noqa: N802
        self, request: Any, context: object
    ) -> AsyncIterator[privacy_pb2.ExportUserResponse]:
        if not request.user_id:
            raise InvalidRequest("user_id", "is required")
        for part in (b"{", b"}"):
            yield privacy_pb2.ExportUserResponse(chunk=part)

    async def EraseUser(self, request: Any, context: object) -> privacy_pb2.EraseUserResponse:  # noqa: N802
        raise InvalidRequest("reason", "names the user")


class Templates(template_pb2_grpc.TemplateServiceServicer):
    """Templates, which hold no personal data."""

    async def GetTemplate(self, request: Any, context: object) -> template_pb2.GetTemplateResponse:  # noqa: N802
        return template_pb2.GetTemplateResponse()


class Workers(worker_pb2_grpc.WorkerServiceServicer):
    """A worker's own socket."""

    async def Holds(self, request: Any, context: object) -> worker_pb2.HoldsResponse:  # noqa: N802
        return worker_pb2.HoldsResponse()


class Stand:
    """A server with both interceptors, and what was written."""

    def __init__(self, log: Memory, users: Users, channel: grpc.aio.Channel) -> None:
        self.log = log
        self.served = users
        self.users = user_pb2_grpc.UserServiceStub(channel)  # type: ignore[no-untyped-call]
        self.privacy = privacy_pb2_grpc.PrivacyServiceStub(channel)  # type: ignore[no-untyped-call]
        self.templates = template_pb2_grpc.TemplateServiceStub(channel)  # type: ignore[no-untyped-call]
        self.workers = worker_pb2_grpc.WorkerServiceStub(channel)  # type: ignore[no-untyped-call]

    async def call(self, method: Any, request: object) -> Any:
        return await method(request, metadata=AS_CARE, timeout=TIMEOUT_S)


@asynccontextmanager
async def stand(caller: CallerSettings = CARE, *, host: bool = False) -> AsyncIterator[Stand]:
    log = Memory()
    auditor = Auditor(log, SECRET, Scopes({"wallet": frozenset({1}), "second": frozenset({2})}, SECRET), SystemClock())
    calls = CallInterceptor(CallerBook([caller]), Metrics())
    inner = AuditInterceptor(auditor, lambda: HOST) if host else AuditInterceptor(auditor)
    server = grpc.aio.server(interceptors=[inner] if host else [calls, inner])
    users = Users(log)
    user_pb2_grpc.add_UserServiceServicer_to_server(users, server)  # type: ignore[no-untyped-call]
    privacy_pb2_grpc.add_PrivacyServiceServicer_to_server(Privacy(), server)  # type: ignore[no-untyped-call]
    template_pb2_grpc.add_TemplateServiceServicer_to_server(Templates(), server)  # type: ignore[no-untyped-call]
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(Workers(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Stand(log, users, channel)
    finally:
        await server.stop(None)


def hash_of(user_id: str, app: str = "wallet") -> str:
    return subject_hash(SECRET, app, user_id)


def delete(user_id: str, app: str = "wallet") -> user_pb2.DeleteUserRequest:
    return user_pb2.DeleteUserRequest(app=app, user_id=user_id)


async def test_a_change_is_written_before_it_is_made_and_a_read_before_it_is_answered() -> None:
    async with stand() as running:
        await running.call(running.users.DeleteUser, delete("wei"))
        asked = user_pb2.GetUserRequest(app="wallet", external_id=user_pb2.ExternalId(system="crm", id="7"))
        await running.call(running.users.GetUser, asked)
        assert running.served.seen == [1, 1]
        assert running.log.told() == [
            ("wallet", "care", "UserService.DeleteUser", hash_of("wei"), ""),
            ("wallet", "care", "UserService.GetUser", hash_of("lin"), ""),
        ]


async def test_what_cannot_be_written_is_neither_done_nor_told() -> None:
    async with stand() as running:
        running.log.broken = True
        for method, request in (
            (running.users.DeleteUser, delete("wei")),
            (running.users.GetUser, user_pb2.GetUserRequest(app="wallet", user_id="lin")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await running.call(method, request)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "+491701234567" not in str(raised.value)
        export = running.privacy.ExportUser(
            privacy_pb2.ExportUserRequest(app="wallet", user_id="lin"), metadata=AS_CARE, timeout=TIMEOUT_S
        )
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await export.read()
        # Of the three only the read had begun, and nobody was told of it.
        assert running.served.seen == [0]


async def test_a_change_that_was_refused_says_so_behind_its_line() -> None:
    async with stand() as running:
        with pytest.raises(grpc.aio.AioRpcError):
            await running.call(running.users.DeleteUser, delete("nobody"))
        with pytest.raises(grpc.aio.AioRpcError):
            await running.call(running.users.GetUser, user_pb2.GetUserRequest(app="wallet", user_id="nobody"))
        export = running.privacy.ExportUser(
            privacy_pb2.ExportUserRequest(app="wallet"), metadata=AS_CARE, timeout=TIMEOUT_S
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await export.read()
        assert [line[2:] for line in running.log.told()] == [
            ("UserService.DeleteUser", hash_of("nobody"), ""),
            ("UserService.DeleteUser", hash_of("nobody"), "refused: INVALID_ARGUMENT"),
            ("PrivacyService.ExportUser", "", ""),
            ("PrivacyService.ExportUser", "", "refused: INVALID_ARGUMENT"),
        ]


async def test_a_reason_that_names_the_user_is_written_without_the_name() -> None:
    async with stand() as running:
        erase = privacy_pb2.EraseUserRequest(app="wallet", user_id="lin-0042", reason="lin-0042 wrote on Monday")
        with pytest.raises(grpc.aio.AioRpcError):
            await running.call(running.privacy.EraseUser, erase)
        assert [line[2:] for line in running.log.told()] == [
            ("PrivacyService.EraseUser", hash_of("lin-0042"), "[user] wrote on Monday"),
            ("PrivacyService.EraseUser", hash_of("lin-0042"), "refused: INVALID_ARGUMENT"),
        ]


async def test_a_merge_is_told_of_both_users_and_an_export_in_parts_comes_whole() -> None:
    async with stand() as running:
        merge = user_pb2.MergeUsersRequest(app="second", from_user_id="old", into_user_id="new")
        await running.call(running.users.MergeUsers, merge)
        request = privacy_pb2.ExportUserRequest(app="wallet", user_id="lin")
        parts = [one.chunk async for one in running.privacy.ExportUser(request, metadata=AS_CARE, timeout=TIMEOUT_S)]
        assert parts == [b"{", b"}"]
        assert [(line[0], line[2], line[3]) for line in running.log.told()] == [
            ("second", "UserService.MergeUsers", hash_of("old", "second")),
            ("second", "UserService.MergeUsers", hash_of("new", "second")),
            ("wallet", "PrivacyService.ExportUser", hash_of("lin")),
        ]


async def test_an_import_has_a_line_before_an_app_s_first_users_and_one_with_counts() -> None:
    async with stand() as running:
        chunks = [
            user_pb2.ImportUsersRequest(users=[user_pb2.User(app=app, user_id=f"u{n}") for n in range(count)])
            for app, count in (("wallet", 3), ("wallet", 2), ("second", 4), ("unknown", 1))
        ]
        answers = running.users.ImportUsers(iter(chunks), metadata=AS_CARE, timeout=TIMEOUT_S)
        assert [one.stored_count async for one in answers] == [3, 5, 9, 10]
        assert running.served.seen == [1, 1, 2, 2]
        assert [(line[0], line[3], line[4]) for line in running.log.told()] == [
            ("wallet", "", "begun"), ("second", "", "begun"),
            ("wallet", "", "5 sent; of the import 10 stored, 1 not taken"),
            ("second", "", "4 sent; of the import 10 stored, 1 not taken"),
        ]  # fmt: skip


async def test_an_import_that_cannot_be_written_stores_nobody() -> None:
    async with stand() as running:
        running.log.broken = True
        chunk = user_pb2.ImportUsersRequest(users=[user_pb2.User(app="wallet", user_id="u")])
        answers = running.users.ImportUsers(iter([chunk]), metadata=AS_CARE, timeout=TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await answers.read()
        assert running.served.seen == []


async def test_what_the_method_refuses_by_itself_leaves_no_line() -> None:
    strangers = CARE.model_copy(update={"may_manage_users": False})
    async with stand(strangers) as running:
        await running.call(running.users.DeleteUser, delete("wei"))
        assert running.log.told() == []
    async with stand() as running:
        for app in ("", "unknown", "x" * 1_000_000):
            await running.call(running.users.DeleteUser, delete("wei", app))
        assert running.log.told() == []


async def test_methods_without_personal_data_leave_no_line() -> None:
    async with stand() as running:
        await running.call(running.templates.GetTemplate, template_pb2.GetTemplateRequest(app="wallet"))
        assert running.log.told() == []


async def test_ending_a_hold_is_the_host_s_deed() -> None:
    async with stand(host=True) as running:
        await running.workers.Holds(worker_pb2.HoldsRequest(), timeout=TIMEOUT_S)
        release = worker_pb2.HoldsRequest(action=worker_pb2.HOLD_ACTION_RELEASE, app="wallet")
        await running.workers.Holds(release, timeout=TIMEOUT_S)
        assert running.log.told() == [("wallet", "host", "WorkerService.Holds", "", "HOLD_ACTION_RELEASE")]
        running.log.broken = True
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await running.workers.Holds(release, timeout=TIMEOUT_S)


def test_details_are_cut_between_characters() -> None:
    assert cut("星" * 100, 256) == "星" * 85
    assert cut("a" * 256, 256) == "a" * 256
