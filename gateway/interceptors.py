"""What surrounds every call: who calls, how long it took, and how errors are told."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import AbortError, ServicerContext

from core.errors import InvalidRequest, PushError
from gateway.callers import CallerBook, current_caller
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.status import Abortable, abort, code_of
from gateway.tracing.port import CallTracer, current_call

# Probes of load balancers carry no key, and health says nothing that a refused connection would not.
OPEN_METHODS = ("/grpc.health.v1.Health/",)
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
CODE_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}
# What a TLS peer's verified certificate calls itself: https://grpc.github.io/grpc/core/md_doc_server_side_auth.html
NAME_PROPERTIES = ("x509_subject_alternative_name", "x509_common_name")

# gRPC's stubs are generic over requests and answers, which differ from method to method here.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = ServicerContext[Any, Any]
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Identifies the caller of each call into `current_caller`, counts it, and turns our errors into statuses.

    A method's handler is wrapped once and kept, so that a call costs the identification and its metrics.
    """

    def __init__(self, callers: CallerBook, metrics: Metrics, tracer: CallTracer | None = None) -> None:
        self.callers = callers
        self.metrics = metrics
        self.tracer = tracer
        self.logger = get_logger("interceptors")
        self._wrapped: dict[str, Handler] = {}

    def set_callers(self, callers: CallerBook) -> None:
        """Take new callers after a reload; calls under way keep theirs."""
        self.callers = callers

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return the method's wrapped handler; None, for UNIMPLEMENTED, when there is none."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler: Handler | None = await continuation(handler_call_details)
        if handler is None:
            self.metrics.rpc_started()
            self.metrics.rpc_ended("other", grpc.StatusCode.UNIMPLEMENTED.name, 0.0)
            return cast(Handler, None)
        wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        kind = next(kind for kind in KINDS if getattr(handler, kind) is not None)
        behaviour = getattr(handler, kind)
        around = _around_generator if inspect.isasyncgenfunction(behaviour) else _around_coroutine
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        read = _reader(handler.request_deserializer)
        wrapped = make(around(self, method, behaviour), read, handler.response_serializer)
        return cast(Handler, wrapped)


class _Unreadable:
    """Stands for a request whose bytes are not its message: gRPC would tell its own parser's error as UNKNOWN."""


_UNREADABLE = _Unreadable()


def _reader(deserialize: Callable[[bytes], object] | None) -> Callable[[bytes], object] | None:
    if deserialize is None:
        return None

    def read(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


def _readable(request: object) -> object:
    if request is _UNREADABLE:
        raise InvalidRequest("request", "the bytes are not a message of this method")
    return _each_readable(request) if isinstance(request, AsyncIterable) else request


async def _each_readable(requests: AsyncIterable[object]) -> AsyncIterator[object]:
    async for request in requests:
        yield _readable(request)


def _around_coroutine(
    interceptor: CallInterceptor, method: str, behaviour: Callable[..., Awaitable[object]]
) -> Callable[..., Awaitable[object]]:
    begin = _begin(interceptor)

    @functools.wraps(behaviour)
    async def call(request: object, context: Context) -> object:
        async with begin(interceptor, method, context) as around:
            around.identify()
            return await behaviour(_readable(request), context)

    return call


def _around_generator(
    interceptor: CallInterceptor, method: str, behaviour: Callable[..., AsyncGenerator[object, None]]
) -> Callable[..., AsyncGenerator[object, None]]:
    begin = _begin(interceptor)

    @functools.wraps(behaviour)
    async def call(request: object, context: Context) -> AsyncGenerator[object, None]:
        async with begin(interceptor, method, context) as around:
            around.identify()
            async with aclosing(behaviour(_readable(request), context)) as answers:
                async for answer in answers:
                    yield answer

    return call


class _Call:
    """One call from its first to its last moment."""

    __slots__ = ("_context", "_interceptor", "_method", "_started_s")

    def __init__(self, interceptor: CallInterceptor, method: str, context: Context) -> None:
        self._interceptor = interceptor
        self._method = method
        self._context = context
        self._started_s = 0.0

    async def __aenter__(self) -> Self:
        self._started_s = time.perf_counter()
        self._interceptor.metrics.rpc_started()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._interceptor.metrics.rpc_ended(self._method, self._code(error), time.perf_counter() - self._started_s)
        if isinstance(error, PushError):
            await abort(cast(Abortable, self._context), error)
        if isinstance(error, Exception) and not isinstance(error, AbortError):
            self._interceptor.logger.error("call_failed", method=self._method, exc_info=error)
            self._interceptor.metrics.task_failure("rpc")
            await self._context.abort(grpc.StatusCode.INTERNAL, "internal error")

    def identify(self) -> None:
        """Set `current_caller` for what runs in this call's task."""
        if self._method.startswith(OPEN_METHODS):
            return
        callers = self._interceptor.callers
        names = _client_names(self._context) if callers.knows_certificates else ()
        current_caller.set(callers.identify(_authorization(self._context), names))

    def _code(self, error: BaseException | None) -> str:
        if error is None or isinstance(error, AbortError):
            # None unless the handler set one, whatever the stubs say.
            code = cast("int | None", self._context.code())
            return CODE_NAMES.get(code or 0, "UNKNOWN")
        if isinstance(error, PushError):
            return code_of(error).name
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return grpc.StatusCode.CANCELLED.name
        return grpc.StatusCode.INTERNAL.name


class _TracedCall(_Call):
    """A call that its tracer hears of; what runs in its task finds its trace in `current_call`."""

    __slots__ = ("_traced",)

    async def __aenter__(self) -> Self:
        tracer = self._interceptor.tracer
        self._traced = None if tracer is None else tracer.call(self._method, self._context.invocation_metadata() or ())
        current_call.set(self._traced)
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._traced is not None:
            self._traced.end(self._code(error))
        await super().__aexit__(kind, error, trace)


def _begin(interceptor: CallInterceptor) -> type[_Call]:
    return _Call if interceptor.tracer is None else _TracedCall


def _authorization(context: Context) -> str | bytes | None:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            return value
    return None


def _client_names(context: Context) -> Iterator[str]:
    properties = context.auth_context()
    for name in NAME_PROPERTIES:
        for value in properties.get(name, ()):
            yield value.decode("utf-8", "replace")
