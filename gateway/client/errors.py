"""What the client raises, and how it reads a gRPC status.

WalletpushError
+-- Refused              sent again as it is, it would be refused again
|   +-- InvalidArgument  fields are wrong
|   +-- Conflict         the idempotency key was used with another body
|   +-- NotFound         no notification of this tenant has this id
|   +-- Denied           the key or certificate is unknown, or may not do this
+-- Overloaded           the gateway sheds load
+-- Unavailable          the gateway cannot be reached, is draining or cannot write
+-- Failed               the gateway has a fault
+-- FlowControlFull      more is under way from here than the client's limits allow
+-- Closed               the client was closed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import NamedTuple, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


class FieldViolation(NamedTuple):
    """A field at fault, by its path in the request, and why."""

    field: str
    why: str


class WalletpushError(Exception):
    """Something the gateway or the way to it did not do."""

    idempotency_key: str = ""
    """The key of the notification concerned; send again with it and nothing is sent twice."""


class Refused(WalletpushError):
    """Sent again as it is, it would be refused again."""


class InvalidArgument(Refused):
    """Fields are wrong; `violations` names them."""

    def __init__(self, message: str, violations: tuple[FieldViolation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class Conflict(Refused):
    """The idempotency key was used with another body, for `notification_id`."""

    def __init__(self, message: str, notification_id: str = "") -> None:
        super().__init__(message)
        self.notification_id = notification_id


class NotFound(Refused):
    """No notification of this tenant has this id."""


class Denied(Refused):
    """The key or certificate is unknown to the gateway, or may not do this."""


class Transient(WalletpushError):
    """It may work later; the client retried until its deadline. retry_after_s: 0 unless the gateway named a wait."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Transient):
    """The gateway sheds load."""


class Unavailable(Transient):
    """The gateway cannot be reached, is draining or cannot write; what was sent may have been accepted."""


class Failed(WalletpushError):
    """The gateway has a fault."""


class FlowControlFull(WalletpushError):
    """More is under way from here than the client's limits allow, and they say to refuse."""


class Closed(WalletpushError):
    """The client was closed before the gateway answered; what was sent may have been accepted."""


def from_status(status: status_pb2.Status) -> WalletpushError:
    """Read a google.rpc.Status, of one message of a batch or of a whole call."""
    found = _Details(status.details)
    message = status.message
    match status.code:
        case 3 | 11:
            return InvalidArgument(message, found.violations)
        case 6:
            return Conflict(message, found.metadata.get("notification_id", ""))
        case 5:
            return NotFound(message)
        case 7 | 16:
            return Denied(message)
        case 8:
            return Overloaded(message, found.retry_after_s)
        # CANCELLED and DEADLINE_EXCEEDED come from the way, not from the gateway: nobody knows what was accepted.
        case 1 | 4 | 10 | 14:
            return Unavailable(message, found.retry_after_s)
    return Failed(message)


def about(failure: WalletpushError, key: str) -> WalletpushError:
    """Return a copy for one notification: an exception raised at several places collects the traceback of all."""
    one = copy(failure)
    one.idempotency_key = key
    return one


def from_call(error: grpc.aio.AioRpcError) -> WalletpushError:
    """Read how a call ended."""
    trailers = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in trailers:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    return from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


class _Details:
    """The google.rpc details of a status, those that are understood here."""

    def __init__(self, packed: Iterable[AnyMessage]) -> None:
        self.violations: tuple[FieldViolation, ...] = ()
        self.metadata: Mapping[str, str] = {}
        self.retry_after_s = 0.0
        for one in packed:
            self._take(one)

    def _take(self, packed: AnyMessage) -> None:
        bad, retry, info = details.BadRequest(), details.RetryInfo(), details.ErrorInfo()
        if packed.Unpack(bad):
            self.violations = tuple(FieldViolation(one.field, one.description) for one in bad.field_violations)
        elif packed.Unpack(retry):
            self.retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        elif packed.Unpack(info):
            self.metadata = info.metadata
