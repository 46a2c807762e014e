"""The simulated FCM and its token endpoint answer each fault of a sender in Google's form."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.simulators.bearer_tokens import BearerTokens
from adapters.simulators.credentials import PROJECT_ID
from adapters.simulators.simulation import Simulation
from adapters.simulators.token_book import TokenEntry
from tests.fixtures_simulators import FCM_TOKEN, FcmCaller, simulated

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

RICH = {
    "token": FCM_TOKEN,
    "notification": {"title": "Paid", "body": "12.50 at the baker", "image": "https://example.com/a.png"},
    "data": {"deep_link": "wallet://payment/1"},
    "android": {
        "collapse_key": "payment",
        "priority": "HIGH",
        "ttl": "3.5s",
        "directBootOk": True,
        "notification": {
            "channel_id": "payments",
            "tag": "p1",
            "color": "#a0b1c2",
            "notification_count": 3,
            "notificationPriority": "PRIORITY_MAX",
            "vibrate_timings": ["0.5s"],
            "light_settings": {"color": {"red": 1, "green": 0.5, "blue": 0}, "light_on_duration": "1s"},
        },
        "fcm_options": {"analytics_label": "spring-1"},
    },
    "apns": {"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1, "alert": {"title": "x"}}}},
    "webpush": {"headers": {"TTL": "60"}, "notification": {"title": "x"}, "fcm_options": {"link": "https://a.b/"}},
    "fcm_options": {"analytics_label": "spring-1"},
}


@pytest_asyncio.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with simulated() as running:
        yield running


@pytest_asyncio.fixture
async def fcm(simulation: Simulation) -> AsyncIterator[FcmCaller]:
    async with FcmCaller(simulation) as caller:
        yield caller


def _error(answer: httpx.Response) -> tuple[int, str, str]:
    """Return HTTP status, google.rpc status and FcmError's code, "" if there is none."""
    error = answer.json()["error"]
    codes = [each["errorCode"] for each in error.get("details", ()) if each["@type"] == FCM_ERROR]
    return cast("int", error["code"]), error["status"], codes[0] if codes else ""


def _fields(answer: httpx.Response) -> list[str]:
    details = answer.json()["error"].get("details", ())
    return [each["field"] for part in details if part["@type"] == BAD_REQUEST for each in part["fieldViolations"]]


@pytest.mark.parametrize(
    "message",
    [
        {"token": FCM_TOKEN},
        {"topic": "news"},
        {"condition": "'a' in topics && 'b' in topics"},
        {"token": FCM_TOKEN, "android": None},
        RICH,
    ],
)
async def test_good_message_is_named(fcm: FcmCaller, message: dict[str, object]) -> None:
    first, second = await fcm.send(message), await fcm.send(message)
    assert first.status_code == second.status_code == 200
    assert first.json()["name"].startswith(f"projects/{PROJECT_ID}/messages/")
    assert first.json() != second.json()


async def test_dry_run_validates_and_sends_nothing(simulation: Simulation, fcm: FcmCaller) -> None:
    good, bad = await fcm.send(validate_only=True), await fcm.send({"token": ""}, validate_only=True)
    assert (good.status_code, _error(bad)[0]) == (200, 400)
    assert simulation.ledger("fcm").summary()["by_reason"] == {"200 validated": 1, "400 INVALID_ARGUMENT": 1}
    assert simulation.ledger("fcm").summary()["distinct"] == 0


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "message"),
        ({"token": FCM_TOKEN, "topic": "news"}, "message"),
        ({"token": "not a token"}, "message.token"),
        ({"token": 7}, "message.token"),
        ({"topic": "no spaces please"}, "message.topic"),
        ({"token": FCM_TOKEN, "data": {"n": 1}}, "message.data[n]"),
        ({"token": FCM_TOKEN, "data": ["a"]}, "message.data"),
        ({"token": FCM_TOKEN, "data": {"from": "x"}}, "message.data[from]"),
        ({"token": FCM_TOKEN, "data": {"message_type": "x"}}, "message.data[message_type]"),
        ({"token": FCM_TOKEN, "data": {"google.x": "x"}}, "message.data[google.x]"),
        ({"token": FCM_TOKEN, "android": {"data": {"gcm.x": "x"}}}, "message.android.data[gcm.x]"),
        ({"token": FCM_TOKEN, "android": {"ttl": "60"}}, "message.android.ttl"),
        ({"token": FCM_TOKEN, "android": {"ttl": 60}}, "message.android.ttl"),
        ({"token": FCM_TOKEN, "android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"token": FCM_TOKEN, "android": {"priority": "urgent"}}, "message.android.priority"),
        ({"token": FCM_TOKEN, "android": {"direct_boot_ok": "yes"}}, "message.android.direct_boot_ok"),
        (
            {"token": FCM_TOKEN, "android": {"notification": {"color": "red"}}},
            "message.android.notification.color",
        ),
        (
            {"token": FCM_TOKEN, "android": {"notification": {"notification_count": True}}},
            "message.android.notification.notification_count",
        ),
        (
            {"token": FCM_TOKEN, "android": {"notification": {"vibrate_timings": ["1s", 2]}}},
            "message.android.notification.vibrate_timings[1]",
        ),
        ({"token": FCM_TOKEN, "apns": {"headers": {"apns-priority": 10}}}, "message.apns.headers[apns-priority]"),
        ({"token": FCM_TOKEN, "apns": {"payload": "x"}}, "message.apns.payload"),
        ({"token": FCM_TOKEN, "webpush": {"fcm_options": {"link": "http://a.b"}}}, "message.webpush.fcm_options.link"),
        ({"token": FCM_TOKEN, "fcm_options": {"analytics_label": "a b"}}, "message.fcm_options.analytics_label"),
        ({"token": FCM_TOKEN, "data": {"a": "x" * 4096}}, "message"),
        ({"token": FCM_TOKEN, "notification": {"title": 5}}, "message.notification.title"),
    ],
)
async def test_wrong_field_is_named(fcm: FcmCaller, message: dict[str, object], field: str) -> None:
    answer = await fcm.send(message)
    assert _error(answer) == (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert _fields(answer) == [field]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"token": FCM_TOKEN, "to": "x"}, "message"),
        ({"token": FCM_TOKEN, "android": {"tag": "x"}}, "message.android"),
    ],
)
async def test_unknown_field_never_reaches_fcm(fcm: FcmCaller, message: dict[str, object], field: str) -> None:
    answer = await fcm.send(message)
    assert _error(answer) == (400, "INVALID_ARGUMENT", "")
    assert _fields(answer) == [field]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message":', b"\xff"])
async def test_body_that_is_no_json_object(fcm: FcmCaller, body: bytes) -> None:
    assert _error(await fcm.post(body)) == (400, "INVALID_ARGUMENT", "")


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("unregistered", (404, "NOT_FOUND", "UNREGISTERED")),
        ("wrong_topic", (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")),
        ("wrong_environment", (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        ("throttled", (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")),
    ],
)
async def test_known_device(
    simulation: Simulation, fcm: FcmCaller, state: str, error: tuple[int, str, str]
) -> None:
    simulation.books["fcm"].update({FCM_TOKEN: TokenEntry(state)})  # type: ignore[arg-type]
    assert _error(await fcm.send()) == error


async def test_project_that_does_not_exist_is_not_found_without_fcm_error(fcm: FcmCaller) -> None:
    assert _error(await fcm.send(project="elsewhere")) == (404, "NOT_FOUND", "")


async def test_wrong_path_is_not_found(fcm: FcmCaller) -> None:
    assert _error(await fcm.post(b"{}", path="/fcm/send")) == (404, "NOT_FOUND", "")


@pytest.mark.parametrize("bearer", [None, "nonsense", "ya29.1.99999999999999.ab.cdef"])
async def test_without_a_token_of_ours_nobody_is_authenticated(fcm: FcmCaller, bearer: str | None) -> None:
    fcm.bearer = bearer
    answer = await fcm.send()
    assert _error(answer) == (401, "UNAUTHENTICATED", "")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_revoked_token_is_refused_and_a_new_one_works(simulation: Simulation, fcm: FcmCaller) -> None:
    before = await fcm.send()
    simulation.bearers.revoke()
    revoked = await fcm.send()
    fcm.bearer = (await fcm.grant()).json()["access_token"]
    assert [each.status_code for each in (before, revoked, await fcm.send())] == [200, 401, 200]


def test_token_expires_at_its_time() -> None:
    now_s = [1_700_000_000.0]
    bearers = BearerTokens(b"secret", lambda: now_s[0])
    authorization = b"Bearer " + bearers.issue().encode()
    good = [bearers.is_good(authorization)]
    for later_s in (3598, 2):
        now_s[0] += later_s
        good.append(bearers.is_good(authorization))
    assert good == [True, True, False]


async def test_grant_says_how_long_it_lives(simulation: Simulation, fcm: FcmCaller) -> None:
    answer = (await fcm.grant()).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    assert simulation.oauth.issued == 2


def _foreign_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"aud": "https://elsewhere.example/token"}, "invalid_grant"),
        ({"iss": "somebody@else.example"}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}, "invalid_grant"),
        ({"iat": int(time.time()), "exp": int(time.time()) + 7200}, "invalid_grant"),
        ({"iat": int(time.time()) + 3000, "exp": int(time.time()) + 6000}, "invalid_grant"),
        ({"exp": "soon"}, "invalid_grant"),
        ({"key": _foreign_key()}, "invalid_grant"),
    ],
)
async def test_wrong_assertion(fcm: FcmCaller, wrong: dict[str, object], error: str) -> None:
    answer = await fcm.grant(**wrong)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_token_endpoint_can_be_unavailable(simulation: Simulation, fcm: FcmCaller) -> None:
    simulation.oauth.unavailable = True
    assert (await fcm.grant()).status_code == 503


async def test_message_is_recognised_when_sent_again_with_a_shorter_life(
    simulation: Simulation, fcm: FcmCaller
) -> None:
    for ttl in ("60s", "57.5s"):
        await fcm.send({"token": FCM_TOKEN, "android": {"ttl": ttl, "notification": {"tag": "t1"}}})
    await fcm.send({"token": FCM_TOKEN, "android": {"ttl": "60s", "notification": {"tag": "t2"}}})
    (duplicate,) = simulation.ledger("fcm").duplicates()
    assert (duplicate["tokens"], duplicate["collapse_ids"]) == ([FCM_TOKEN] * 2, ["t1", "t1"])


async def test_message_is_named_by_its_data_where_it_can_be(simulation: Simulation, fcm: FcmCaller) -> None:
    await fcm.send({"token": FCM_TOKEN, "data": {"notification_id": "n1"}})
    assert simulation.ledger("fcm").ids() == [f"n1/{FCM_TOKEN}"]
