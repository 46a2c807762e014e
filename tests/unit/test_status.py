"""The table from errors to gRPC codes and their details."""

from __future__ import annotations

from typing import NoReturn

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core import errors
from gateway.callers import PermissionDenied, Unauthenticated
from gateway.status import DETAILS_KEY, MAX_MESSAGE, Trailers, abort, code_of, to_status

Code = grpc.StatusCode
CASES: list[tuple[errors.PushError, grpc.StatusCode, str]] = [
    (errors.InvalidRequest("app", "is empty"), Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    (errors.IdempotencyConflict("n1"), Code.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT"),
    (errors.UnknownNotification("n1"), Code.NOT_FOUND, "UNKNOWN_NOTIFICATION"),
    (errors.UnknownTemplate("t1"), Code.NOT_FOUND, "UNKNOWN_TEMPLATE"),
    (errors.UnknownUser("u1"), Code.NOT_FOUND, "UNKNOWN_USER"),
    (errors.UnknownErasure("u1"), Code.NOT_FOUND, "UNKNOWN_ERASURE"),
    (errors.ContentRefused("PayloadTooLarge", "5000 bytes"), Code.INVALID_ARGUMENT, "CONTENT_REFUSED"),
    (errors.Overloaded("pending", 1500), Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (errors.Unavailable("draining"), Code.UNAVAILABLE, "UNAVAILABLE"),
    (errors.CredentialFailure("no key"), Code.UNAVAILABLE, "PROVIDER_CREDENTIAL"),
    (errors.StoreFailure("version 9"), Code.INTERNAL, "STORE_FAILURE"),
    (Unauthenticated("no key"), Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    (PermissionDenied("pay", "send"), Code.PERMISSION_DENIED, "PERMISSION_DENIED"),
]


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize(("error", "code", "reason"), CASES, ids=lambda v: type(v).__name__)
def test_each_error_has_its_code_and_reason(error: errors.PushError, code: grpc.StatusCode, reason: str) -> None:
    status = to_status(error)
    assert (code_of(error), status.code) == (code, code.value[0])
    info = info_of(status)
    assert (info.reason, info.domain) == (reason, "walletpush")
    assert status.message == str(error)


def test_every_error_of_the_tree_has_a_case() -> None:
    def leaves(cls: type[errors.PushError]) -> set[type[errors.PushError]]:
        below = [c for c in cls.__subclasses__() if c.__module__ in ("core.errors", "gateway.callers")]
        return {leaf for c in below for leaf in leaves(c)} or {cls}

    assert leaves(errors.PushError) == {type(error) for error, _, _ in CASES}


def test_subclass_is_told_as_its_nearest_ancestor() -> None:
    class DiskFull(errors.Unavailable):
        """The disk is full."""

    assert code_of(DiskFull("no space")) is Code.UNAVAILABLE


def test_error_outside_the_table_is_internal() -> None:
    assert code_of(errors.PushError("x")) is Code.INTERNAL


def test_invalid_request_names_its_field() -> None:
    bad = error_details_pb2.BadRequest()
    assert to_status(errors.InvalidRequest("recipients[3].token", "is empty")).details[1].Unpack(bad)
    assert [(v.field, v.description) for v in bad.field_violations] == [("recipients[3].token", "is empty")]


def test_overload_says_when_to_come_back() -> None:
    status = to_status(errors.Overloaded("pending", 1500))
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)
    assert info_of(status).metadata["resource"] == "pending"


def test_conflict_names_the_first_notification() -> None:
    assert info_of(to_status(errors.IdempotencyConflict("n1"))).metadata["notification_id"] == "n1"


def test_long_messages_are_cut() -> None:
    assert len(to_status(errors.InvalidRequest("f", "x" * 100_000)).message) == MAX_MESSAGE


class _AbortedError(Exception):
    pass


class _Context:
    def __init__(self) -> None:
        self.calls: list[tuple[grpc.StatusCode, str, Trailers]] = []

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Trailers) -> NoReturn:
        self.calls.append((code, details, trailing_metadata))
        raise _AbortedError


async def test_abort_sends_the_status_beside_the_code() -> None:
    context = _Context()
    error = errors.Overloaded("pending", 20)
    with pytest.raises(_AbortedError):
        await abort(context, error)
    [(code, message, trailers)] = context.calls
    assert (code, message) == (Code.RESOURCE_EXHAUSTED, str(error))
    assert status_pb2.Status.FromString(dict(trailers)[DETAILS_KEY]) == to_status(error)
