"""Each answer of APNs against Apple's page."""

from __future__ import annotations

import orjson
import pytest

from adapters.apns.table import ROWS, Remedy, TopicTie, read_answer, row_for
from core.reaction import DELIVERED, OutcomeKind

# Every (status, reason) of Apple's page, and the second spelling that its servers use, beside what is made of it.
EXPECTED = {
    (400, "BadCollapseId"): OutcomeKind.REJECTED,
    (400, "BadDeviceToken"): OutcomeKind.DEVICE_SUSPECT,
    (400, "BadExpirationDate"): OutcomeKind.REJECTED,
    (400, "BadMessageId"): OutcomeKind.REJECTED,
    (400, "BadPriority"): OutcomeKind.REJECTED,
    (400, "BadTopic"): OutcomeKind.REJECTED,
    (400, "DeviceTokenNotForTopic"): OutcomeKind.DEVICE_GONE,
    (400, "DuplicateHeaders"): OutcomeKind.REJECTED,
    (400, "IdleTimeout"): OutcomeKind.NOT_SENT,
    (400, "InvalidPushType"): OutcomeKind.REJECTED,
    (400, "MissingDeviceToken"): OutcomeKind.REJECTED,
    (400, "MissingTopic"): OutcomeKind.REJECTED,
    (400, "PayloadEmpty"): OutcomeKind.REJECTED,
    (400, "TopicDisallowed"): OutcomeKind.REJECTED,
    (403, "BadCertificate"): OutcomeKind.CREDENTIAL_REJECTED,
    (403, "BadCertificateEnvironment"): OutcomeKind.CREDENTIAL_REJECTED,
    (403, "BadEnvironmentKeyIdInToken"): OutcomeKind.MISCONFIGURED,
    (403, "BadEnvironmentKeyInToken"): OutcomeKind.MISCONFIGURED,
    (403, "ExpiredProviderToken"): OutcomeKind.CREDENTIAL_EXPIRED,
    (403, "Forbidden"): OutcomeKind.REJECTED,
    (403, "InvalidProviderToken"): OutcomeKind.CREDENTIAL_EXPIRED,
    (403, "MissingProviderToken"): OutcomeKind.CREDENTIAL_EXPIRED,
    (403, "UnrelatedKeyIdInToken"): OutcomeKind.CREDENTIAL_EXPIRED,
    (404, "BadPath"): OutcomeKind.REJECTED,
    (405, "MethodNotAllowed"): OutcomeKind.REJECTED,
    (410, "ExpiredToken"): OutcomeKind.DEVICE_GONE,
    (410, "Unregistered"): OutcomeKind.DEVICE_GONE,
    (413, "PayloadTooLarge"): OutcomeKind.REJECTED,
    (429, "TooManyProviderTokenUpdates"): OutcomeKind.ROUTE_THROTTLED,
    (429, "TooManyRequests"): OutcomeKind.DEVICE_THROTTLED,
    (500, "InternalServerError"): OutcomeKind.PROVIDER_FAULT,
    (503, "ServiceUnavailable"): OutcomeKind.PROVIDER_FAULT,
    (503, "Shutdown"): OutcomeKind.PROVIDER_FAULT,
}


def body(reason: str, **more: object) -> bytes:
    return orjson.dumps({"reason": reason, **more})


def test_the_table_has_apples_rows_and_no_others() -> None:
    assert ROWS.keys() == EXPECTED.keys()


@pytest.mark.parametrize(("answer", "kind"), EXPECTED.items(), ids=lambda each: str(each))
def test_each_reason_means_what_apples_page_says(answer: tuple[int, str], kind: OutcomeKind) -> None:
    status, reason = answer
    row = read_answer(status, body(reason))
    assert (row.outcome.kind, row.outcome.status, row.outcome.reason) == (kind, status, reason)


def test_equal_answers_share_one_outcome() -> None:
    assert read_answer(429, body("TooManyRequests")) is read_answer(429, body("TooManyRequests"))
    assert row_for(200, "").outcome is DELIVERED


def test_410_tells_since_when_the_token_is_dead() -> None:
    assert read_answer(410, body("Unregistered", timestamp=1_700_000_000_123)).outcome.gone_since_unix_ms == (
        1_700_000_000_123
    )
    assert read_answer(410, body("ExpiredToken")).outcome.gone_since_unix_ms == 0


@pytest.mark.parametrize("timestamp", [-5, "soon", None, 1.5, [1]])
def test_a_timestamp_that_is_none_is_ignored(timestamp: object) -> None:
    assert read_answer(410, body("Unregistered", timestamp=timestamp)).outcome.gone_since_unix_ms == 0


@pytest.mark.parametrize(
    ("status", "kind", "alert"),
    [
        (400, OutcomeKind.REJECTED, True),
        (403, OutcomeKind.CREDENTIAL_REJECTED, True),
        (404, OutcomeKind.REJECTED, True),
        (410, OutcomeKind.DEVICE_GONE, False),
        (418, OutcomeKind.REJECTED, True),
        (429, OutcomeKind.DEVICE_THROTTLED, False),
        (500, OutcomeKind.PROVIDER_FAULT, False),
        (502, OutcomeKind.PROVIDER_FAULT, False),
        (302, OutcomeKind.PROVIDER_FAULT, False),
    ],
)
def test_unknown_reasons_are_judged_by_their_status(status: int, kind: OutcomeKind, *, alert: bool) -> None:
    outcome = read_answer(status, body("NewInOurDay")).outcome
    assert (outcome.kind, outcome.reason, outcome.alert) == (kind, "NewInOurDay", alert)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"reason":7}', b'"x"', b"\xff"])
def test_bodies_that_are_not_apples_are_judged_by_status(answer: bytes) -> None:
    outcome = read_answer(503, answer).outcome
    assert (outcome.kind, outcome.reason) == (OutcomeKind.PROVIDER_FAULT, "")


def test_reasons_are_bounded() -> None:
    assert len(read_answer(400, body("x" * 500)).outcome.reason) == 64


def test_remedies() -> None:
    renewing = {reason for (_, reason), row in ROWS.items() if row.remedy is Remedy.RENEW_TOKEN}
    reconnecting = {reason for (_, reason), row in ROWS.items() if row.remedy is Remedy.RECONNECT}
    assert renewing == {
        "ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken", "UnrelatedKeyIdInToken",
    }  # fmt: skip
    assert reconnecting == {"IdleTimeout", "ServiceUnavailable", "Shutdown"}
    assert row_for(429, "TooManyProviderTokenUpdates").remedy is Remedy.KEEP_OLD_TOKEN
    assert row_for(400, "DeviceTokenNotForTopic").tie is TopicTie.PLAIN
