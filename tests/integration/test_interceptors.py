"""Calls over a real gRPC server: who calls, what is counted, how errors are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from adapters.simulators.authority import CertificateAuthority
from core.errors import InvalidRequest, Overloaded
from gateway.callers import CallerBook, current_caller, new_key
from gateway.interceptors import CallInterceptor
from gateway.metrics import Metrics
from gateway.settings.components import CallerSettings
from gateway.status import DETAILS_KEY

KEY, KEY_HASH = new_key()
PAY = CallerSettings(name="pay", apps=("*",), key_sha256=(KEY_HASH,), client_name="pay.svc")
AS_PAY = (("authorization", f"Bearer {KEY}"),)
AS_IS: tuple[Any, Any] = (None, None)


class Service:
    """Handlers that answer with the caller's name, or fail as the request says."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.waiting = asyncio.Event()

    async def one(self, request: bytes, _context: object) -> bytes:
        if request == b"invalid":
            raise InvalidRequest("app", "is empty")
        if request == b"bug":
            raise KeyError("a secret of ours")
        if request == b"wait":
            self.waiting.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return current_caller.get().name.encode()

    async def many(self, request: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        try:
            async for part in request:
                if part == b"full":
                    raise Overloaded("pending", 250)
                yield part + b" from " + current_caller.get().name.encode()
        finally:
            self.ended.set()

    async def written(self, _request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        for _ in range(3):
            await context.write(current_caller.get().tenant.encode())

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        return grpc.method_handlers_generic_handler(
            "t.S",
            {
                "One": grpc.unary_unary_rpc_method_handler(self.one),
                "Many": grpc.stream_stream_rpc_method_handler(self.many),
                "Written": grpc.unary_stream_rpc_method_handler(self.written),
            },
        )


class Running:
    """A server with the interceptor and a channel to it."""

    def __init__(self, interceptor: CallInterceptor, service: Service, channel: grpc.aio.Channel) -> None:
        self.interceptor = interceptor
        self.service = service
        self.channel = channel

    async def one(self, request: bytes = b"", metadata: Any = None) -> bytes:
        answer: bytes = await self.channel.unary_unary("/t.S/One", *AS_IS)(request, metadata=metadata)
        return answer

    def counted(self, method: str, code: str) -> float:
        labels = {"method": method, "code": code}
        return self.interceptor.metrics.registry.get_sample_value("walletpush_rpcs_total", labels) or 0.0

    async def until_counted(self, method: str, code: str, n: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.counted(method, code) < n:  # noqa: ASYNC110  # the server counts after the client has its answer
                await asyncio.sleep(0.005)


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailers: Any = error.trailing_metadata()
    return status_pb2.Status.FromString(dict(trailers)[DETAILS_KEY])


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def starter(
            callers: tuple[CallerSettings, ...] = (PAY,),
            credentials: grpc.ServerCredentials | None = None,
            channel_credentials: grpc.ChannelCredentials | None = None,
        ) -> Running:
            interceptor = CallInterceptor(CallerBook(callers), Metrics())
            service = Service()
            server = grpc.aio.server(interceptors=[interceptor])
            server.add_generic_rpc_handlers([service.handlers()])
            health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
            if credentials and channel_credentials:
                port = server.add_secure_port("127.0.0.1:0", credentials)
                channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", channel_credentials)
            else:
                port = server.add_insecure_port("127.0.0.1:0")
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            await stack.enter_async_context(channel)
            return Running(interceptor, service, channel)

        yield starter


async def test_key_identifies_the_caller_of_a_unary_call(start: Start) -> None:
    running = await start()
    assert await running.one(metadata=AS_PAY) == b"pay"
    await running.until_counted("/t.S/One", "OK")


async def test_without_configured_callers_the_caller_is_local(start: Start) -> None:
    running = await start(())
    assert await running.one() == b"local"


async def test_concurrent_callers_are_not_mixed_up(start: Start) -> None:
    key, key_hash = new_key()
    running = await start((PAY, CallerSettings(name="loyalty", apps=("*",), key_sha256=(key_hash,))))
    as_loyalty = (("authorization", f"Bearer {key}"),)
    answers = await asyncio.gather(*(running.one(metadata=(AS_PAY, as_loyalty)[i % 2]) for i in range(100)))
    assert answers == [b"pay", b"loyalty"] * 50


@pytest.mark.parametrize("metadata", [None, (("authorization", "Bearer wrong"),), (("authorization", KEY),)])
async def test_unknown_caller_is_unauthenticated_and_counted(start: Start, metadata: Any) -> None:
    running = await start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.one(metadata=metadata)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert KEY not in str(raised.value)
    await running.until_counted("/t.S/One", "UNAUTHENTICATED")


async def test_unknown_caller_of_a_stream_is_unauthenticated(start: Start) -> None:
    running = await start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in running.channel.stream_stream("/t.S/Many", *AS_IS)(iter([b"x"])):
            pass
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_key(start: Start) -> None:
    running = await start()
    answer = await health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_streams_know_their_caller(start: Start) -> None:
    running = await start()
    call = running.channel.stream_stream("/t.S/Many", *AS_IS)(iter([b"a", b"b"]), metadata=AS_PAY)
    assert [answer async for answer in call] == [b"a from pay", b"b from pay"]
    written = running.channel.unary_stream("/t.S/Written", *AS_IS)(b"", metadata=AS_PAY)
    assert [answer async for answer in written] == [b"default"] * 3
    await running.until_counted("/t.S/Many", "OK")
    await running.until_counted("/t.S/Written", "OK")


async def test_refusal_is_told_with_its_field(start: Start) -> None:
    running = await start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.one(b"invalid", AS_PAY)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = status_of(raised.value)
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert bad.field_violations[0].field == "app"
    await running.until_counted("/t.S/One", "INVALID_ARGUMENT")


async def test_overload_in_a_stream_says_when_to_come_back(start: Start) -> None:
    running = await start()
    call = running.channel.stream_stream("/t.S/Many", *AS_IS)(iter([b"a", b"full"]), metadata=AS_PAY)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = status_of(raised.value)
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.nanos == 250_000_000


async def test_unforeseen_error_is_internal_and_tells_nothing(start: Start) -> None:
    running = await start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.one(b"bug", AS_PAY)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    await running.until_counted("/t.S/One", "INTERNAL")
    failures = running.interceptor.metrics.registry.get_sample_value("walletpush_task_failures_total", {"task": "rpc"})
    assert failures == 1


async def test_unknown_method_is_counted_as_other(start: Start) -> None:
    running = await start()
    for number in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await running.channel.unary_unary(f"/t.S/None{number}", *AS_IS)(b"", metadata=AS_PAY)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert running.counted("other", "UNIMPLEMENTED") == 3


async def test_cancelled_call_is_counted_and_no_longer_active(start: Start) -> None:
    running = await start()
    call = running.channel.unary_unary("/t.S/One", *AS_IS)(b"wait", metadata=AS_PAY)
    await asyncio.wait_for(running.service.waiting.wait(), 5)
    call.cancel()
    await running.until_counted("/t.S/One", "CANCELLED")
    assert running.interceptor.metrics.registry.get_sample_value("walletpush_rpcs_active") == 0


async def test_handler_of_a_stream_ends_when_its_client_leaves(start: Start) -> None:
    running = await start()
    call = running.channel.stream_stream("/t.S/Many", *AS_IS)(None, metadata=AS_PAY)
    await call.write(b"a")
    assert await call.read() == b"a from pay"
    call.cancel()
    await asyncio.wait_for(running.service.ended.wait(), 5)


async def test_new_callers_count_from_the_next_call(start: Start) -> None:
    running = await start()
    running.interceptor.set_callers(CallerBook([PAY.model_copy(update={"name": "renamed"})]))
    assert await running.one(metadata=AS_PAY) == b"renamed"


@pytest.mark.parametrize(("name", "known"), [("pay.svc", True), ("stranger.svc", False)])
async def test_certificate_identifies_the_caller(start: Start, tmp_path: Path, name: str, known: bool) -> None:
    authority = CertificateAuthority.create(tmp_path)
    server, client = authority.issue_server("server"), authority.issue_client(name)
    root = authority.certificate.read_bytes()
    running = await start(
        (PAY,),
        grpc.ssl_server_credentials([(server.key.read_bytes(), server.certificate.read_bytes())], root, True),
        grpc.ssl_channel_credentials(root, client.key.read_bytes(), client.certificate.read_bytes()),
    )
    if known:
        assert await running.one() == b"pay"
        return
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.one()
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
