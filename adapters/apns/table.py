"""Every answer of APNs and what it means, one row per (status, reason).

Source: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

import orjson

from core.reaction import DELIVERED, Outcome, OutcomeKind


class Remedy(Enum):
    """What the channel must do about the connection or the credential, beside what becomes of the delivery."""

    NONE = "none"
    RECONNECT = "reconnect"
    RENEW_TOKEN = "renew_token"  # noqa: S105
    KEEP_OLD_TOKEN = "keep_old_token"  # noqa: S105


class TopicTie(IntEnum):
    """How close a topic is to the app: another's, its own (with a suffix, or a wallet pass), its bundle id itself."""

    FOREIGN = 0
    OWN = 1
    PLAIN = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. tie: how close the topic must be to the app for the answer to condemn the app's token."""

    outcome: Outcome
    remedy: Remedy = Remedy.NONE
    tie: TopicTie = TopicTie.FOREIGN


_DELAY_AFTER_TOO_MANY_TOKENS_MS = 10_000
_DEVICE_PAUSE_MS = 2_000


def _row(
    kind: OutcomeKind, status: int, reason: str, remedy: Remedy = Remedy.NONE, *,
    alert: bool = False, retry_after_ms: int = 0, tie: TopicTie = TopicTie.FOREIGN,
) -> Row:  # fmt: skip
    return Row(Outcome(kind, status, reason, retry_after_ms, alert=alert), remedy, tie)


def _rejected(status: int, *reasons: str, alert: bool = False) -> list[Row]:
    return [_row(OutcomeKind.REJECTED, status, reason, alert=alert) for reason in reasons]


_ROWS = [
    # What a caller may have caused (its own topic, collapse key, raw payload, expiry).
    *_rejected(400, "BadCollapseId", "BadExpirationDate", "BadPriority", "BadTopic", "InvalidPushType"),
    *_rejected(400, "MissingTopic", "PayloadEmpty"),
    *_rejected(413, "PayloadTooLarge"),
    # What only the gateway or its configuration can have caused.
    *_rejected(400, "BadMessageId", "DuplicateHeaders", "MissingDeviceToken", "TopicDisallowed", alert=True),
    *_rejected(403, "Forbidden", alert=True),
    *_rejected(404, "BadPath", alert=True),
    *_rejected(405, "MethodNotAllowed", alert=True),
    _row(OutcomeKind.DEVICE_SUSPECT, 400, "BadDeviceToken"),
    _row(OutcomeKind.DEVICE_GONE, 400, "DeviceTokenNotForTopic", alert=True, tie=TopicTie.PLAIN),
    _row(OutcomeKind.DEVICE_GONE, 410, "Unregistered", tie=TopicTie.OWN),
    _row(OutcomeKind.DEVICE_GONE, 410, "ExpiredToken"),
    _row(OutcomeKind.NOT_SENT, 400, "IdleTimeout", Remedy.RECONNECT),
    _row(OutcomeKind.CREDENTIAL_REJECTED, 403, "BadCertificate"),
    _row(OutcomeKind.CREDENTIAL_REJECTED, 403, "BadCertificateEnvironment"),
    _row(OutcomeKind.CREDENTIAL_EXPIRED, 403, "ExpiredProviderToken", Remedy.RENEW_TOKEN),
    _row(OutcomeKind.CREDENTIAL_EXPIRED, 403, "InvalidProviderToken", Remedy.RENEW_TOKEN),
    _row(OutcomeKind.CREDENTIAL_EXPIRED, 403, "MissingProviderToken", Remedy.RENEW_TOKEN),
    _row(OutcomeKind.CREDENTIAL_EXPIRED, 403, "UnrelatedKeyIdInToken", Remedy.RENEW_TOKEN),
    # Apple's page has the first spelling, its servers have been seen to send the second.
    _row(OutcomeKind.MISCONFIGURED, 403, "BadEnvironmentKeyIdInToken"),
    _row(OutcomeKind.MISCONFIGURED, 403, "BadEnvironmentKeyInToken"),
    _row(OutcomeKind.DEVICE_THROTTLED, 429, "TooManyRequests", retry_after_ms=_DEVICE_PAUSE_MS),
    _row(
        OutcomeKind.ROUTE_THROTTLED, 429, "TooManyProviderTokenUpdates", Remedy.KEEP_OLD_TOKEN,
        alert=True, retry_after_ms=_DELAY_AFTER_TOO_MANY_TOKENS_MS,
    ),
    _row(OutcomeKind.PROVIDER_FAULT, 500, "InternalServerError"),
    _row(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable", Remedy.RECONNECT),
    _row(OutcomeKind.PROVIDER_FAULT, 503, "Shutdown", Remedy.RECONNECT),
]  # fmt: skip

ROWS: dict[tuple[int, str], Row] = {(row.outcome.status, row.outcome.reason): row for row in _ROWS}

_BY_STATUS: dict[int, tuple[OutcomeKind, bool]] = {
    403: (OutcomeKind.CREDENTIAL_REJECTED, True),
    410: (OutcomeKind.DEVICE_GONE, False),
    429: (OutcomeKind.DEVICE_THROTTLED, False),
}

ACCEPTED = Row(DELIVERED)
UNKNOWN = Row(Outcome(OutcomeKind.UNKNOWN, 0, "ConnectionLost"))
TIMED_OUT = Row(Outcome(OutcomeKind.UNKNOWN, 0, "Timeout"))
NOT_SENT = Row(Outcome(OutcomeKind.NOT_SENT, 0, "NotSent"))


def row_for(status: int, reason: str) -> Row:
    """Find the row of an answer; an unknown reason is judged by its status, and alerts where that means our own fault.

    reason: at most 64 characters of it are kept.
    """
    row = ROWS.get((status, reason))
    if row is not None:
        return row
    if status == 200:
        return ACCEPTED
    return _row_by_status(status, reason[:64])


def read_answer(status: int, body: bytes) -> Row:
    """Turn a refusal's status and body into its row; a body that is not Apple's JSON counts as one without a reason.

    410 bodies carry since when the token is dead, in milliseconds since the epoch.
    """
    reason, gone_since_unix_ms = _parse(body)
    row = row_for(status, reason)
    known = row.outcome
    if not gone_since_unix_ms or known.kind is not OutcomeKind.DEVICE_GONE:
        return row
    # dataclasses.replace would cost three times as much, and dead tokens come in waves.
    outcome = Outcome(known.kind, status, known.reason, 0, gone_since_unix_ms, alert=known.alert)
    return Row(outcome, row.remedy, row.tie)


def _row_by_status(status: int, reason: str) -> Row:
    if status in _BY_STATUS:
        kind, alert = _BY_STATUS[status]
    elif 400 <= status < 500:
        kind, alert = OutcomeKind.REJECTED, True
    else:
        kind, alert = OutcomeKind.PROVIDER_FAULT, False
    pause_ms = _DEVICE_PAUSE_MS if kind is OutcomeKind.DEVICE_THROTTLED else 0
    remedy = Remedy.RECONNECT if status == 503 else Remedy.NONE
    return _row(kind, status, reason, remedy, alert=alert, retry_after_ms=pause_ms)


def _parse(body: bytes) -> tuple[str, int]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", 0
    if not isinstance(answer, dict):
        return "", 0
    reason, timestamp = answer.get("reason"), answer.get("timestamp")
    return (
        reason if isinstance(reason, str) else "",
        timestamp if isinstance(timestamp, int) and timestamp > 0 else 0,
    )
