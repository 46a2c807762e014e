"""The FCM channel against a server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from adapters.credentials import ServiceAccount
from adapters.fcm.channel import FcmChannel, FcmSettings
from adapters.fcm.oauth import AccessToken, AccessTokens
from core.content.message import Content
from core.delivery import Delivery, Notification
from core.errors import ContentRefused
from core.model import Provider
from core.reaction import DELIVERED, OutcomeKind
from tests.unit.notices import NOW_MS, delivery, notice
from tests.unit.wire_pool import Pools, RecordingSink, headers_of

NAME = b'{\n  "name": "projects/p/messages/0:1500415314455276%31bd1c9631bd1c96"\n}\n'


class FixedTokens(AccessTokens):
    """Tokens that the test hands out; refused() says yes until `patience` is used up."""

    def __init__(self) -> None:
        self.account = ServiceAccount("a@p.iam", "p", "k", "https://x", "pem")
        self.given: AccessToken | None = AccessToken(b"Bearer one", 0)
        self.patience = 1
        self.refusals = 0
        self.listeners: list[Callable[[], None]] = []

    @property
    def current(self) -> AccessToken | None:
        return self.given

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        self.listeners.remove(listener)

    def refused(self, token: AccessToken) -> bool:
        self.refusals += 1
        if self.refusals > self.patience:
            return False
        self.given = None
        return True


class Rig:
    def __init__(self, settings: FcmSettings | None = None) -> None:
        self.sink = RecordingSink()
        self.pools = Pools()
        self.tokens = FixedTokens()
        self.channel = FcmChannel(
            3, "app", settings or FcmSettings(), self.sink, self.pools, lambda: NOW_MS / 1000, self.tokens
        )

    def deliveries(self, count: int = 1, notification: Notification | None = None) -> list[Delivery]:
        note = notification or notice()
        rendered = self.channel.render(note)
        return [delivery(note, rendered, f"token:{number}", Provider.FCM) for number in range(count)]

    def kind_after(self, status: int, code: str = "", extra: tuple[bytes, ...] = ()) -> OutcomeKind:
        """Send one, answer so, return what became of it."""
        assert self.channel.submit(self.deliveries(), NOW_MS) == 1
        details = [{"@type": "x/google.firebase.fcm.v1.FcmError", "errorCode": code}] if code else []
        self.pools.now.answer_all(status, orjson.dumps({"error": {"details": details}}), extra)
        return self.sink.outcomes[-1].kind


def test_request_has_path_headers_and_the_devices_token() -> None:
    rig = Rig()
    rig.channel.submit(rig.deliveries(3), NOW_MS)
    requests = rig.pools.now.answer_all(200, NAME)
    assert {request.path for request in requests} == {b"/v1/projects/p/messages:send"}
    assert headers_of(requests[0]) == {b"content-type": b"application/json", b"authorization": b"Bearer one"}
    assert [orjson.loads(request.body)["message"]["token"] for request in requests] == ["token:0", "token:1", "token:2"]


def test_settings_may_name_another_project() -> None:
    rig = Rig(FcmSettings(project_id="other"))
    rig.channel.submit(rig.deliveries(), NOW_MS)
    assert rig.pools.now.requests()[0].path == b"/v1/projects/other/messages:send"


def test_success_keeps_fcms_name_for_the_message() -> None:
    rig = Rig()
    [each] = rig.deliveries()
    rig.channel.submit([each], NOW_MS)
    rig.pools.now.answer_all(200, NAME)
    assert each.provider_message_id == "0:1500415314455276%31bd1c9631bd1c96"
    assert rig.sink.outcomes[0] is DELIVERED


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"name":7}'])
def test_success_without_a_name_is_still_one(answer: bytes) -> None:
    rig = Rig()
    [each] = rig.deliveries()
    rig.channel.submit([each], NOW_MS)
    rig.pools.now.answer_all(200, answer)
    assert (each.provider_message_id, rig.sink.outcomes[0]) == (None, DELIVERED)


def test_partial_failure_never_resends_the_whole_list() -> None:
    rig = Rig()
    rig.channel.submit(rig.deliveries(4), NOW_MS)
    for number, request in enumerate(rig.pools.now.requests()):
        request.respond(404 if number == 2 else 200, None, b"{}")
    rig.pools.now.flush()
    failed = [
        each.token
        for each, outcome in zip(rig.sink.deliveries, rig.sink.outcomes, strict=True)
        if outcome is not DELIVERED
    ]
    assert failed == ["token:2"]
    assert rig.pools.now.requests() == []


def test_retry_has_a_shorter_time_to_live() -> None:
    rig = Rig()
    deliveries = rig.deliveries()
    bodies = []
    for passed_ms in (0, 60_000):
        rig.channel.submit(deliveries, NOW_MS + passed_ms)
        bodies += [orjson.loads(request.body)["message"] for request in rig.pools.now.answer_all(503)]
    assert [body["android"]["ttl"] for body in bodies] == ["3600s", "3540s"]
    assert bodies[0]["android"]["notification"]["tag"] == bodies[1]["android"]["notification"]["tag"]


def test_nothing_is_taken_without_an_access_token() -> None:
    rig = Rig()
    rig.tokens.given = None
    assert rig.channel.capacity == 0
    assert rig.channel.submit(rig.deliveries(), NOW_MS) == 0


def test_unexplained_401_asks_for_one_new_token_and_holds_if_that_is_refused() -> None:
    rig = Rig()
    assert rig.kind_after(401) is OutcomeKind.CREDENTIAL_EXPIRED
    assert rig.channel.capacity == 0
    rig.tokens.given = AccessToken(b"Bearer two", 0)
    assert rig.kind_after(401) is OutcomeKind.CREDENTIAL_REJECTED


def test_401_for_an_older_token_is_simply_sent_again() -> None:
    rig = Rig()
    rig.channel.submit(rig.deliveries(), NOW_MS)
    rig.tokens.given = AccessToken(b"Bearer two", 0)
    rig.channel.submit(rig.deliveries(), NOW_MS)
    old, new = rig.pools.now.requests()
    old.respond(401, None, b"")
    new.respond(200, None, NAME)
    rig.pools.now.flush()
    assert {outcome.kind for outcome in rig.sink.outcomes} == {OutcomeKind.CREDENTIAL_EXPIRED, OutcomeKind.DELIVERED}
    assert rig.tokens.refusals == 0


def test_retry_after_reaches_the_outcome() -> None:
    rig = Rig()
    assert rig.kind_after(429, "QUOTA_EXCEEDED", (b"retry-after", b"120")) is OutcomeKind.ROUTE_THROTTLED
    assert rig.sink.outcomes[-1].retry_after_ms == 120_000
    assert rig.kind_after(429, "QUOTA_EXCEEDED") is OutcomeKind.ROUTE_THROTTLED
    assert rig.sink.outcomes[-1].retry_after_ms == 60_000


def test_lost_connection_is_unknown() -> None:
    rig = Rig()
    rig.channel.submit(rig.deliveries(), NOW_MS)
    rig.pools.now.requests()
    rig.pools.now.lose()
    assert rig.sink.outcomes[0].kind is OutcomeKind.UNKNOWN


async def test_a_token_that_could_break_the_json_is_rejected_alone() -> None:
    rig = Rig()
    deliveries = rig.deliveries(2)
    note = deliveries[0].notification
    deliveries.insert(1, delivery(note, rig.channel.render(note), '","topic":"all', Provider.FCM))
    assert rig.channel.submit(deliveries, NOW_MS) == 3
    rig.pools.now.answer_all(200, NAME)
    await asyncio.sleep(0)
    kinds = {each.token: outcome.kind for each, outcome in zip(rig.sink.deliveries, rig.sink.outcomes, strict=True)}
    assert kinds == {
        "token:0": OutcomeKind.DELIVERED, "token:1": OutcomeKind.DELIVERED, '","topic":"all': OutcomeKind.REJECTED,
    }  # fmt: skip


async def test_a_new_token_is_capacity_while_the_channel_is_open() -> None:
    rig = Rig()
    await rig.channel.start()
    rig.tokens.listeners[0]()
    assert rig.sink.capacity_calls == 1
    await rig.channel.close(1.0)
    assert rig.tokens.listeners == []
    assert rig.pools.now.drained_s == 1.0


def test_collapse_key_is_the_callers_own_only() -> None:
    rig = Rig()
    rig.channel.submit(rig.deliveries(1, notice(collapse_id=b"balance")), NOW_MS)
    rig.channel.submit(rig.deliveries(1, notice()), NOW_MS)
    given, made = (orjson.loads(request.body)["message"]["android"] for request in rig.pools.now.requests())
    assert given["collapse_key"] == given["notification"]["tag"] == "balance"
    assert "collapse_key" not in made
    assert made["notification"]["tag"]


def test_too_large_is_refused_before() -> None:
    with pytest.raises(ContentRefused) as caught:
        Rig().channel.render(notice(Content(body="x" * 5_000)))
    assert caught.value.reason == "PayloadTooLarge"
