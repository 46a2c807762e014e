"""Each answer of FCM against Google's page."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fcm.table import BY_CODE, BY_STATUS, MAX_RETRY_AFTER_MS, Remedy, read_answer, retry_after_ms
from core.reaction import Outcome, OutcomeKind

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
NOW_MS = 1_750_000_000_000

BY_CODE_EXPECTED = {
    "INVALID_ARGUMENT": (400, OutcomeKind.REJECTED),
    "THIRD_PARTY_AUTH_ERROR": (401, OutcomeKind.REJECTED),
    "APNS_AUTH_ERROR": (401, OutcomeKind.REJECTED),
    "SENDER_ID_MISMATCH": (403, OutcomeKind.DEVICE_GONE),
    "UNREGISTERED": (404, OutcomeKind.DEVICE_GONE),
    "QUOTA_EXCEEDED": (429, OutcomeKind.ROUTE_THROTTLED),
    "RESOURCE_EXHAUSTED": (429, OutcomeKind.ROUTE_THROTTLED),
    "INTERNAL": (500, OutcomeKind.PROVIDER_FAULT),
    "UNSPECIFIED_ERROR": (500, OutcomeKind.PROVIDER_FAULT),
    "UNAVAILABLE": (503, OutcomeKind.PROVIDER_FAULT),
}
BY_STATUS_EXPECTED = {
    400: OutcomeKind.REJECTED,
    401: OutcomeKind.CREDENTIAL_EXPIRED,
    403: OutcomeKind.MISCONFIGURED,
    404: OutcomeKind.MISCONFIGURED,
    429: OutcomeKind.ROUTE_THROTTLED,
    503: OutcomeKind.PROVIDER_FAULT,
}


def body(code: str = "", status: str = "", details: tuple[object, ...] = ()) -> bytes:
    found = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    return orjson.dumps({"error": {"code": 1, "status": status, "message": "m", "details": [*found, *details]}})


def read(status: int, answer: bytes, headers: dict[bytes, bytes] | None = None) -> Outcome:
    return read_answer(status, answer, headers or {}, NOW_MS).outcome


def test_the_tables_have_these_rows_and_no_others() -> None:
    assert BY_CODE.keys() == BY_CODE_EXPECTED.keys()
    assert BY_STATUS.keys() == BY_STATUS_EXPECTED.keys()


@pytest.mark.parametrize(("code", "expected"), BY_CODE_EXPECTED.items())
def test_the_fcm_error_code_decides(code: str, expected: tuple[int, OutcomeKind]) -> None:
    status, kind = expected
    outcome = read(status, body(code))
    assert (outcome.kind, outcome.status, outcome.reason) == (kind, status, code)


def test_the_code_wins_over_the_http_status() -> None:
    assert read(400, body("UNREGISTERED")).kind is OutcomeKind.DEVICE_GONE
    assert read(403, body("QUOTA_EXCEEDED")).kind is OutcomeKind.ROUTE_THROTTLED


@pytest.mark.parametrize(("status", "kind"), BY_STATUS_EXPECTED.items())
def test_without_a_code_the_status_decides(status: int, kind: OutcomeKind) -> None:
    assert read(status, body(status="SOMETHING")).kind is kind
    assert read(status, b"<html>").kind is kind


def test_404_without_a_code_is_the_project_and_never_the_token() -> None:
    assert read(404, body(status="NOT_FOUND")).kind is OutcomeKind.MISCONFIGURED


def test_only_an_unexplained_401_asks_for_a_new_access_token() -> None:
    assert read_answer(401, body(), {}, NOW_MS).remedy is Remedy.REFRESH_TOKEN
    assert read_answer(401, body("THIRD_PARTY_AUTH_ERROR"), {}, NOW_MS).remedy is Remedy.NONE
    assert read(401, body("THIRD_PARTY_AUTH_ERROR")).alert


def test_unavailable_may_have_been_delivered() -> None:
    assert read(503, body("UNAVAILABLE")).possibly_delivered
    assert not read(500, body("INTERNAL")).possibly_delivered


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (418, OutcomeKind.REJECTED), (429, OutcomeKind.ROUTE_THROTTLED), (500, OutcomeKind.PROVIDER_FAULT),
        (503, OutcomeKind.PROVIDER_FAULT), (404, OutcomeKind.REJECTED), (302, OutcomeKind.PROVIDER_FAULT),
    ],
)  # fmt: skip
def test_unknown_codes_are_judged_by_their_status(status: int, kind: OutcomeKind) -> None:
    assert read(status, body("NEW_IN_OUR_DAY")).kind is kind


@pytest.mark.parametrize("status", [500, 502, 504])
def test_faults_wait_ten_seconds_at_least(status: int) -> None:
    assert read(status, b"").retry_after_ms == 10_000


def test_quota_without_a_time_waits_a_minute() -> None:
    assert read(429, body("QUOTA_EXCEEDED")).retry_after_ms == 60_000


@pytest.mark.parametrize(("status", "code"), [(429, "QUOTA_EXCEEDED"), (503, "UNAVAILABLE"), (500, "INTERNAL")])
def test_retry_after_is_kept(status: int, code: str) -> None:
    assert read(status, body(code), {b"retry-after": b"90"}).retry_after_ms == 90_000


def test_retry_after_does_not_make_a_refusal_retryable() -> None:
    outcome = read(400, body("INVALID_ARGUMENT"), {b"retry-after": b"90"})
    assert (outcome.kind, outcome.retry_after_ms) == (OutcomeKind.REJECTED, 0)


def test_a_quota_of_the_device_does_not_pause_the_route() -> None:
    quota = {"@type": QUOTA_FAILURE, "violations": [{"subject": "device:abc", "description": "x"}]}
    assert read(429, body("QUOTA_EXCEEDED", details=(quota,))).kind is OutcomeKind.DEVICE_THROTTLED
    project = {"@type": QUOTA_FAILURE, "violations": [{"subject": "project:p"}, 7]}
    assert read(429, body("QUOTA_EXCEEDED", details=(project,))).kind is OutcomeKind.ROUTE_THROTTLED


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        (b"", 0), (b"0", 0), (b"7", 7_000), (b" 30 ", 30_000), (b"999999999999", MAX_RETRY_AFTER_MS), (b"-1", 0),
        (b"soon", 0), (b"\xff", 0), (b"1.5", 0), (b"Sun, 15 Jun 2025 15:07:40 GMT", 60_000),
        (b"Sun, 15 Jun 2025 15:06:39 GMT", 0), (b"Sun, 15 Jun 2025 15:07:40 -0000", 60_000),
        (b"Sun, 15 Jun 2099 15:07:40 GMT", MAX_RETRY_AFTER_MS),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: bytes, wait_ms: int) -> None:
    assert retry_after_ms(value, NOW_MS) == wait_ms


@given(st.integers(100, 599), st.binary(max_size=200), st.binary(max_size=40))
def test_no_answer_makes_it_fail(status: int, answer: bytes, retry_after: bytes) -> None:
    assert len(read(status, answer, {b"retry-after": retry_after}).reason) <= 64


@pytest.mark.parametrize(
    "answer",
    [b"[]", b'{"error":[]}', b'{"error":{"details":{}}}', b'{"error":{"details":[7,{"@type":5}]}}', b"null"],
)
def test_strange_shapes_are_judged_by_status(answer: bytes) -> None:
    assert read(503, answer).kind is OutcomeKind.PROVIDER_FAULT
