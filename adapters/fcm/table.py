"""Every answer of FCM's HTTP v1 interface and what it means: the FcmError code first, the HTTP status second.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum

import orjson

from core.reaction import DELIVERED, Outcome, OutcomeKind

# https://firebase.google.com/docs/cloud-messaging/scale-fcm: a 429 without Retry-After waits a minute; the ten
# seconds after a server fault come from the same guidance as clients transcribe it, and are ours to change.
QUOTA_WAIT_MS = 60_000
FAULT_WAIT_MS = 10_000
# What was lost with its connection, or reset, says little of FCM: a payment need not wait for that as for a fault.
LOST_WAIT_MS = 1_000
# A Retry-After of days would be a mistake of the server, or of a proxy before it.
MAX_RETRY_AFTER_MS = 3_600_000


class Remedy(Enum):
    """What the channel must do beside what becomes of the delivery."""

    NONE = "none"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    outcome: Outcome
    remedy: Remedy = Remedy.NONE


def _row(
    kind: OutcomeKind, status: int, reason: str, remedy: Remedy = Remedy.NONE, *,
    retry_after_ms: int = 0, possibly_delivered: bool = False, alert: bool = False,
) -> Row:  # fmt: skip
    outcome = Outcome(kind, status, reason, retry_after_ms, possibly_delivered=possibly_delivered, alert=alert)
    return Row(outcome, remedy)


_BY_CODE_ROWS = [
    _row(OutcomeKind.REJECTED, 400, "INVALID_ARGUMENT"),
    # The APNs or web push credential kept in Firebase is wrong. Only those devices suffer: opening the route's breaker
    # would stop the Android devices of the same project with them.
    _row(OutcomeKind.REJECTED, 401, "THIRD_PARTY_AUTH_ERROR", alert=True),
    # The spelling of older interfaces for the same fault.
    _row(OutcomeKind.REJECTED, 401, "APNS_AUTH_ERROR", alert=True),
    _row(OutcomeKind.DEVICE_GONE, 403, "SENDER_ID_MISMATCH", alert=True),
    _row(OutcomeKind.DEVICE_GONE, 404, "UNREGISTERED"),
    _row(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", retry_after_ms=QUOTA_WAIT_MS),
    _row(OutcomeKind.ROUTE_THROTTLED, 429, "RESOURCE_EXHAUSTED", retry_after_ms=QUOTA_WAIT_MS),
    _row(OutcomeKind.PROVIDER_FAULT, 500, "INTERNAL", retry_after_ms=FAULT_WAIT_MS),
    _row(OutcomeKind.PROVIDER_FAULT, 500, "UNSPECIFIED_ERROR", retry_after_ms=FAULT_WAIT_MS),
    # https://github.com/firebase/firebase-admin-node/issues/1248: such messages have arrived nevertheless.
    _row(OutcomeKind.PROVIDER_FAULT, 503, "UNAVAILABLE", retry_after_ms=FAULT_WAIT_MS, possibly_delivered=True),
]
_BY_STATUS_ROWS = [
    _row(OutcomeKind.REJECTED, 400, "INVALID_ARGUMENT"),
    _row(OutcomeKind.CREDENTIAL_EXPIRED, 401, "UNAUTHENTICATED", Remedy.REFRESH_TOKEN),
    _row(OutcomeKind.MISCONFIGURED, 403, "PERMISSION_DENIED"),
    # Without an FcmError the project is not found, not the token.
    _row(OutcomeKind.MISCONFIGURED, 404, "NOT_FOUND"),
    _row(OutcomeKind.ROUTE_THROTTLED, 429, "RESOURCE_EXHAUSTED", retry_after_ms=QUOTA_WAIT_MS),
    _row(OutcomeKind.PROVIDER_FAULT, 503, "UNAVAILABLE", retry_after_ms=FAULT_WAIT_MS, possibly_delivered=True),
]

BY_CODE: dict[str, Row] = {row.outcome.reason: row for row in _BY_CODE_ROWS}
BY_STATUS: dict[int, Row] = {row.outcome.status: row for row in _BY_STATUS_ROWS}

ACCEPTED = Row(DELIVERED)
UNKNOWN = Row(Outcome(OutcomeKind.UNKNOWN, 0, "ConnectionLost", LOST_WAIT_MS))
TIMED_OUT = Row(Outcome(OutcomeKind.UNKNOWN, 0, "Timeout", FAULT_WAIT_MS))
NOT_SENT = Row(Outcome(OutcomeKind.NOT_SENT, 0, "NotSent"))

_DEVICE_QUOTA = ("device", "token", "registration")


def read_answer(status: int, body: bytes, headers: Mapping[bytes, bytes], now_unix_ms: int) -> Row:
    """Turn a refusal into its row; Retry-After, where given, takes the place of the row's own wait.

    headers: lower-case names. A quota that the answer names as the device's slows that device, not the route.
    """
    error = _error_of(body)
    row = _find(status, error)
    outcome = replace(row.outcome, status=status)
    if outcome.kind is OutcomeKind.ROUTE_THROTTLED and _is_device_quota(error):
        outcome = replace(outcome, kind=OutcomeKind.DEVICE_THROTTLED)
    wait_ms = retry_after_ms(headers.get(b"retry-after", b""), now_unix_ms)
    if wait_ms and outcome.retry_after_ms:
        outcome = replace(outcome, retry_after_ms=wait_ms)
    return row if outcome == row.outcome else replace(row, outcome=outcome)


def retry_after_ms(value: bytes, now_unix_ms: int) -> int:
    """Read a Retry-After of seconds or of an HTTP date; 0 if absent, past or unreadable, at most an hour.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    text = value.strip()
    if text.isdigit():
        return min(int(text[:9]) * 1_000, MAX_RETRY_AFTER_MS)
    try:
        when = parsedate_to_datetime(text.decode("ascii"))
    except ValueError:
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0, min(int(when.timestamp() * 1_000) - now_unix_ms, MAX_RETRY_AFTER_MS))


def _find(status: int, error: Mapping[str, object]) -> Row:
    code = next(_fcm_codes(error), "")
    row = BY_CODE.get(code)
    if row is None and (not code or status >= 429):
        row = BY_STATUS.get(status)
    if row is not None:
        return row
    reason = code or str(error.get("status", ""))
    if 400 <= status < 500:
        return _row(OutcomeKind.REJECTED, status, reason[:64], alert=True)
    return _row(OutcomeKind.PROVIDER_FAULT, status, reason[:64], retry_after_ms=FAULT_WAIT_MS)


def _error_of(body: bytes) -> Mapping[str, object]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: Mapping[str, object], kind: str) -> Iterator[Mapping[str, object]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith(kind):
            yield detail


def _fcm_codes(error: Mapping[str, object]) -> Iterator[str]:
    for detail in _details(error, "google.firebase.fcm.v1.FcmError"):
        yield str(detail.get("errorCode", "UNSPECIFIED_ERROR"))


def _is_device_quota(error: Mapping[str, object]) -> bool:
    for failure in _details(error, "google.rpc.QuotaFailure"):
        violations = failure.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            subject = str(violation.get("subject", "")).lower() if isinstance(violation, dict) else ""
            if any(word in subject for word in _DEVICE_QUOTA):
                return True
    return False
