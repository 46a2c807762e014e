"""The one table from our errors to gRPC codes, with google.rpc details that a machine can act on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from core.content.faults import Fault, TemplateRefused
from core.errors import (
    ContentRefused,
    CredentialFailure,
    IdempotencyConflict,
    InvalidRequest,
    Overloaded,
    PushError,
    StoreFailure,
    Unavailable,
    UnknownErasure,
    UnknownNotification,
    UnknownTemplate,
    UnknownUser,
)
from gateway.callers import PermissionDenied, Unauthenticated

DOMAIN = "walletpush"
# gRPC libraries look for google.rpc.Status here: https://grpc.io/docs/guides/error/#richer-error-model
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE = 1024
UNAVAILABLE_RETRY_MS = 1000
Trailers = tuple[tuple[str, bytes], ...]


class Abortable(Protocol):
    """The part of a grpc.aio context that ends a call."""

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Trailers) -> NoReturn:
        """End the call."""


@dataclass(frozen=True, slots=True)
class _Row:
    """How one error is told: its code, its word for machines, and what else a caller can use."""

    code: grpc.StatusCode
    reason: str
    advice: Callable[[PushError], list[Message]] = lambda _error: []
    metadata: Callable[[PushError], dict[str, str]] = lambda _error: {}


def code_of(error: PushError) -> grpc.StatusCode:
    """Return the gRPC code of an error."""
    return _row(error).code


def to_status(error: PushError) -> status_pb2.Status:
    """Return an error as google.rpc.Status, for one message of a batch or a whole call."""
    row = _row(error)
    info = details.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=row.metadata(error))
    status = status_pb2.Status(code=row.code.value[0], message=str(error)[:MAX_MESSAGE])
    for detail in (info, *row.advice(error)):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Abortable, error: PushError) -> NoReturn:
    """End a call with the error's code and details."""
    status = to_status(error)
    await context.abort(code_of(error), status.message, ((DETAILS_KEY, status.SerializeToString()),))


def _row(error: PushError) -> _Row:
    for cls in type(error).__mro__:
        row = _TABLE.get(cls)
        if row is not None:
            return row
    return _INTERNAL


def _violation(error: PushError) -> list[Message]:
    if not isinstance(error, InvalidRequest):
        return []
    faults = error.faults if isinstance(error, TemplateRefused) else (Fault(error.field, error.why),)
    violations = [
        details.BadRequest.FieldViolation(
            field=fault.field, description=f"line {fault.line}: {fault.why}" if fault.line else fault.why
        )
        for fault in faults
    ]
    return [details.BadRequest(field_violations=violations)]


def _content_violation(error: PushError) -> list[Message]:
    if not isinstance(error, ContentRefused):
        return []
    violation = details.BadRequest.FieldViolation(field="content", description=error.why, reason=error.reason)
    return [details.BadRequest(field_violations=[violation])]


def _retry_after(error: PushError) -> list[Message]:
    after_ms = error.retry_after_ms if isinstance(error, Overloaded) else UNAVAILABLE_RETRY_MS
    delay = Duration(seconds=after_ms // 1000, nanos=after_ms % 1000 * 1_000_000)
    return [details.RetryInfo(retry_delay=delay)]


def _named(attribute: str) -> Callable[[PushError], dict[str, str]]:
    return lambda error: {attribute: str(getattr(error, attribute))}


_INTERNAL = _Row(grpc.StatusCode.INTERNAL, "INTERNAL")
_TABLE: dict[type, _Row] = {
    InvalidRequest: _Row(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", _violation),
    ContentRefused: _Row(grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_REFUSED", _content_violation, _named("reason")),
    IdempotencyConflict: _Row(
        grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT", metadata=_named("notification_id")
    ),
    UnknownNotification: _Row(grpc.StatusCode.NOT_FOUND, "UNKNOWN_NOTIFICATION"),
    UnknownTemplate: _Row(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TEMPLATE"),
    UnknownUser: _Row(grpc.StatusCode.NOT_FOUND, "UNKNOWN_USER"),
    UnknownErasure: _Row(grpc.StatusCode.NOT_FOUND, "UNKNOWN_ERASURE"),
    Unauthenticated: _Row(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    PermissionDenied: _Row(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", metadata=_named("permission")),
    Overloaded: _Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", _retry_after, _named("resource")),
    Unavailable: _Row(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", _retry_after),
    CredentialFailure: _Row(grpc.StatusCode.UNAVAILABLE, "PROVIDER_CREDENTIAL", _retry_after),
    StoreFailure: _Row(grpc.StatusCode.INTERNAL, "STORE_FAILURE"),
}
