"""The APNs channel against a server in memory."""

from __future__ import annotations

import asyncio
import random

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.apns.channel import ApnsChannel, ApnsSettings
from adapters.apns.provider_token import GRID_S, SLOT_S, ProviderTokens
from adapters.apns.push_types import PushTypeRule
from adapters.credentials import ApnsKey
from core.content.message import ApnsOptions, Content
from core.delivery import Delivery, Notification
from core.errors import ContentRefused
from core.model import Environment, PushType
from core.reaction import DELIVERED, Backoff, OutcomeKind, Step, react
from tests.unit.notices import NOW_MS, delivery, notice
from tests.unit.wire_pool import Pools, RecordingSink, headers_of

KEY = ApnsKey("ABC123DEFG", "DEF123GHIJ", ec.generate_private_key(ec.SECP256R1()))
BUNDLE = "com.example.wallet"
PASS = "pass.com.example.card"
REFUSED_STREAM = 7


def reason(text: str) -> bytes:
    return orjson.dumps({"reason": text})


class Rig:
    """A channel, its pools and its sink, at a time of the test's choice."""

    def __init__(self, settings: ApnsSettings | None = None, *, certificate: bool = False) -> None:
        self.now_ms = ProviderTokens(KEY).at(NOW_MS // 1000).issued_unix_s * 1000 + SLOT_S * 1000
        self.sink = RecordingSink()
        self.pools = Pools()
        self.tokens = None if certificate else ProviderTokens(KEY)
        self.channel = ApnsChannel(
            1, "app", settings or ApnsSettings(BUNDLE), self.sink, self.pools, lambda: self.now_ms / 1000, self.tokens
        )

    def deliveries(self, count: int = 1, notification: Notification | None = None) -> list[Delivery]:
        note = notification or notice()
        rendered = self.channel.render(note)
        return [delivery(note, rendered, f"{number:064x}") for number in range(count)]

    def submit(self, deliveries: list[Delivery]) -> int:
        return self.channel.submit(deliveries, self.now_ms)

    def answer(self, deliveries: list[Delivery], status: int, body: bytes = b"") -> list[dict[bytes, bytes]]:
        """Send, answer all the same way; return the requests' headers."""
        assert self.submit(deliveries) == len(deliveries)
        return [headers_of(request) for request in self.pools.now.answer_all(status, body)]

    def kind_after(self, deliveries: list[Delivery], status: int, body: bytes = b"") -> OutcomeKind:
        self.answer(deliveries, status, body)
        return self.sink.outcomes[-1].kind


def test_request_has_all_headers() -> None:
    rig = Rig()
    [each] = rig.deliveries()
    [headers] = rig.answer([each], 200)
    assert each.provider_message_id is not None
    assert rig.tokens is not None
    assert headers == {
        b"apns-topic": BUNDLE.encode(),
        b"apns-push-type": b"alert",
        b"apns-priority": b"10",
        b"authorization": rig.tokens.at(rig.now_ms // 1000).authorization,
        b"apns-id": each.provider_message_id.encode(),
        b"apns-expiration": b"%d" % (each.notification.expires_unix_ms // 1000),
        b"apns-collapse-id": each.notification.collapse_id,
    }


def test_success_is_the_shared_outcome_in_one_batch() -> None:
    rig = Rig()
    rig.answer(rig.deliveries(100), 200)
    assert rig.sink.batches == 1
    assert all(outcome is DELIVERED for outcome in rig.sink.outcomes)


def test_one_apns_id_per_token() -> None:
    rig = Rig()
    requests = rig.answer(rig.deliveries(200), 200)
    assert len({headers[b"apns-id"] for headers in requests}) == 200


def test_path_names_the_token() -> None:
    rig = Rig()
    rig.submit(rig.deliveries(2))
    assert [request.path for request in rig.pools.now.requests()] == [
        b"/3/device/" + b"0" * 64, b"/3/device/" + b"0" * 63 + b"1",
    ]  # fmt: skip


def test_partial_failure_is_told_apart_and_never_resends_the_whole_list() -> None:
    rig = Rig()
    deliveries = rig.deliveries(10)
    rig.submit(deliveries)
    for number, request in enumerate(rig.pools.now.requests()):
        request.respond(*((410, None, reason("Unregistered")) if number % 3 == 0 else (200, None, b"")))
    rig.pools.now.flush()
    steps = {
        each.token: react(outcome, 1, 3_600_000, Backoff(), random.Random(1)).step
        for each, outcome in zip(rig.sink.deliveries, rig.sink.outcomes, strict=True)
    }
    assert list(steps.values()).count(Step.CLOSE_FAILED) == 4
    assert Step.RETRY not in steps.values()
    assert rig.pools.now.requests() == []


def test_retry_sends_the_same_request_again() -> None:
    rig = Rig()
    deliveries = rig.deliveries(3)
    first = rig.answer(deliveries, 500, reason("InternalServerError"))
    exchanges = [each.exchange for each in deliveries]
    second = rig.answer(deliveries, 200)
    assert first == second
    assert None not in exchanges
    assert [each.exchange for each in deliveries] == [None] * 3


def test_id_is_the_same_after_a_restart() -> None:
    [before] = Rig().answer(Rig().deliveries(), 200)
    [after] = Rig().answer(Rig().deliveries(), 200)
    assert before[b"apns-id"] == after[b"apns-id"]
    assert before[b"apns-collapse-id"] == after[b"apns-collapse-id"]


def test_only_what_fits_is_taken() -> None:
    rig = Rig()
    rig.pools.now.limit = 4
    assert rig.channel.capacity == 4
    assert rig.submit(rig.deliveries(10)) == 4


def test_a_pool_that_takes_less_than_it_offered_leaves_the_rest_to_the_caller() -> None:
    rig = Rig()
    rig.pools.now.client.lose()
    rig.pools.now.limit = 0
    deliveries = rig.deliveries(3)
    assert rig.submit(deliveries) == 0
    assert [each.exchange for each in deliveries] == [None] * 3


async def test_a_token_that_no_path_can_carry_is_rejected_alone() -> None:
    rig = Rig()
    deliveries = rig.deliveries(3)
    note = deliveries[0].notification
    deliveries[1] = delivery(note, rig.channel.render(note), "ab\r\ncd")
    assert rig.submit(deliveries) == 3
    rig.pools.now.answer_all(200)
    await asyncio.sleep(0)
    outcomes = {each.token: outcome.kind for each, outcome in zip(rig.sink.deliveries, rig.sink.outcomes, strict=True)}
    assert sorted(outcomes.values()) == [OutcomeKind.DELIVERED, OutcomeKind.DELIVERED, OutcomeKind.REJECTED]
    assert outcomes["ab\r\ncd"] is OutcomeKind.REJECTED


def test_lost_connection_is_unknown_and_a_refused_stream_is_not_sent() -> None:
    rig = Rig()
    deliveries = rig.deliveries(2)
    rig.submit(deliveries)
    rig.pools.now.requests()[1].reset(REFUSED_STREAM)
    rig.pools.now.flush()
    rig.pools.now.lose()
    kinds = {each.token: outcome.kind for each, outcome in zip(rig.sink.deliveries, rig.sink.outcomes, strict=True)}
    assert kinds == {deliveries[0].token: OutcomeKind.UNKNOWN, deliveries[1].token: OutcomeKind.NOT_SENT}


def test_expired_token_is_renewed_on_a_new_connection_with_the_same_apns_id() -> None:
    rig = Rig()
    rig.answer(rig.deliveries(), 200)
    rig.now_ms += GRID_S * 1000
    deliveries = rig.deliveries(5)
    first = rig.answer(deliveries, 403, reason("ExpiredProviderToken"))
    assert {outcome.kind for outcome in rig.sink.outcomes[1:]} == {OutcomeKind.CREDENTIAL_EXPIRED}
    assert rig.pools.now.retired == ["ExpiredProviderToken"] * 5
    second = rig.answer(deliveries, 200)
    assert [headers[b"apns-id"] for headers in first] == [headers[b"apns-id"] for headers in second]
    assert first[0][b"authorization"] != second[0][b"authorization"]
    assert rig.tokens is not None
    assert rig.tokens.minted == 2


@pytest.mark.parametrize("word", ["ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken"])
def test_a_credential_that_stays_wrong_is_rejected_after_one_resend(word: str) -> None:
    rig = Rig()
    deliveries = rig.deliveries(3)
    assert rig.kind_after(deliveries, 403, reason(word)) is OutcomeKind.CREDENTIAL_EXPIRED
    assert rig.kind_after(deliveries, 403, reason(word)) is OutcomeKind.CREDENTIAL_REJECTED
    assert rig.tokens is not None
    assert rig.tokens.minted == 1


def test_too_many_token_updates_keeps_the_older_token() -> None:
    rig = Rig()
    rig.now_ms -= 1_000
    [old] = rig.answer(rig.deliveries(), 200)
    rig.now_ms += 1_000
    assert rig.kind_after(rig.deliveries(), 429, reason("TooManyProviderTokenUpdates")) is OutcomeKind.ROUTE_THROTTLED
    [headers] = rig.answer(rig.deliveries(), 200)
    assert headers[b"authorization"] == old[b"authorization"]


def test_channels_with_one_key_share_one_token() -> None:
    rig = Rig()
    other_pools = Pools()
    other = ApnsChannel(
        2, "app", ApnsSettings(BUNDLE, Environment.SANDBOX), rig.sink, other_pools, lambda: 0, rig.tokens
    )
    [here] = rig.answer(rig.deliveries(), 200)
    note = notice()
    other.submit([delivery(note, other.render(note), "aa")], rig.now_ms)
    [there] = other_pools.now.answer_all(200)
    assert here[b"authorization"] == headers_of(there)[b"authorization"]
    assert rig.tokens is not None
    assert rig.tokens.minted == 1


async def test_key_rotation_opens_new_connections_and_drains_the_old() -> None:
    rig = Rig()
    await rig.channel.start()
    old = rig.pools.now
    rig.submit(rig.deliveries())
    await rig.channel.rotate(ProviderTokens(ApnsKey("NEWKEY0001", "DEF123GHIJ", KEY.private_key)))
    await asyncio.sleep(0)
    assert (len(rig.pools.made), rig.pools.now.started, old.drained_s) == (2, True, 30.0)
    [headers] = rig.answer(rig.deliveries(), 200)
    old.answer_all(200)
    assert len(rig.sink.outcomes) == 2
    assert rig.tokens is not None
    assert headers[b"authorization"] != rig.tokens.at(rig.now_ms // 1000).authorization


@pytest.mark.parametrize("word", ["ServiceUnavailable", "Shutdown"])
def test_unavailable_service_gets_a_new_connection(word: str) -> None:
    rig = Rig()
    assert rig.kind_after(rig.deliveries(), 503, reason(word)) is OutcomeKind.PROVIDER_FAULT
    assert rig.pools.now.retired == [word]


def test_a_connection_that_keeps_failing_is_replaced_and_a_success_clears_it() -> None:
    rig = Rig()
    rig.answer(rig.deliveries(4), 500, reason("InternalServerError"))
    rig.answer(rig.deliveries(1), 200)
    rig.answer(rig.deliveries(4), 500, reason("InternalServerError"))
    assert rig.pools.now.retired == []
    rig.answer(rig.deliveries(1), 500, reason("InternalServerError"))
    assert rig.pools.now.retired == ["InternalServerError"]


def test_bad_device_token_is_dropped_only_where_the_environment_is_certain() -> None:
    assert Rig().kind_after(Rig().deliveries(), 400, reason("BadDeviceToken")) is OutcomeKind.DEVICE_SUSPECT
    rig = Rig(ApnsSettings(BUNDLE, environment_certain=True))
    assert rig.kind_after(rig.deliveries(), 400, reason("BadDeviceToken")) is OutcomeKind.DEVICE_GONE


@pytest.mark.parametrize("word", ["DeviceTokenNotForTopic", "Unregistered"])
def test_another_apps_topic_condemns_no_token_of_this_app(word: str) -> None:
    rig = Rig()
    foreign = notice(Content(title="x", apns=ApnsOptions(topic="com.example.other")))
    status = 410 if word == "Unregistered" else 400
    assert rig.kind_after(rig.deliveries(1, foreign), status, reason(word)) is OutcomeKind.REJECTED
    assert rig.kind_after(rig.deliveries(), status, reason(word)) is OutcomeKind.DEVICE_GONE


@pytest.mark.parametrize(
    ("push_type", "topic", "priority"),
    [
        (PushType.ALERT, BUNDLE, b"10"),
        (PushType.BACKGROUND, BUNDLE, b"5"),
        (PushType.LOCATION, f"{BUNDLE}.location-query", b"10"),
        (PushType.VOIP, f"{BUNDLE}.voip", b"10"),
        (PushType.COMPLICATION, f"{BUNDLE}.complication", b"10"),
        (PushType.FILEPROVIDER, f"{BUNDLE}.pushkit.fileprovider", b"10"),
        (PushType.PUSHTOTALK, f"{BUNDLE}.voip-ptt", b"10"),
        (PushType.CONTROLS, f"{BUNDLE}.push-type.controls", b"10"),
        (PushType.WIDGETS, f"{BUNDLE}.push-type.widgets", b"10"),
    ],
)
def test_topic_and_priority_follow_the_push_type(push_type: PushType, topic: str, priority: bytes) -> None:
    rig = Rig()
    [headers] = rig.answer(rig.deliveries(1, notice(push_type=push_type)), 200)
    assert headers[b"apns-topic"] == topic.encode()
    assert headers[b"apns-priority"] == priority
    assert headers[b"apns-push-type"] == push_type.name.lower().encode()


def test_wallet_pass_goes_to_its_own_topic_and_collapses_per_pass_type() -> None:
    rig = Rig()
    update = notice(Content(pass_type_id=PASS))
    [each] = rig.deliveries(1, update)
    [headers] = rig.answer([each], 200)
    assert each.payload == b"{}"
    assert headers[b"apns-topic"] == headers[b"apns-collapse-id"] == PASS.encode()
    assert (headers[b"apns-push-type"], headers[b"apns-priority"]) == (b"background", b"5")


def test_a_push_type_newer_than_the_table_can_be_configured() -> None:
    rig = Rig(ApnsSettings(BUNDLE, extra_push_types={77: PushTypeRule(b"hologram", ".holo")}))
    [headers] = rig.answer(rig.deliveries(1, notice(push_type=77)), 200)
    assert (headers[b"apns-push-type"], headers[b"apns-topic"]) == (b"hologram", f"{BUNDLE}.holo".encode())


@pytest.mark.parametrize(
    ("note", "word"),
    [
        (notice(push_type=77), "InvalidPushType"),
        (notice(push_type=PushType.MDM), "MissingTopic"),
        (notice(Content(apns=ApnsOptions(priority=10)), push_type=PushType.BACKGROUND), "BadPriority"),
        (notice(Content(apns=ApnsOptions(priority=7))), "BadPriority"),
        (notice(Content(apns=ApnsOptions(topic="a b"))), "BadTopic"),
        (notice(Content(apns=ApnsOptions(topic="x" * 256))), "BadTopic"),
        (notice(Content(body="x" * 5_000)), "PayloadTooLarge"),
        (notice(Content(body="x" * 5_200), push_type=PushType.VOIP), "PayloadTooLarge"),
    ],
)
def test_what_apns_would_refuse_is_refused_before(note: Notification, word: str) -> None:
    with pytest.raises(ContentRefused) as caught:
        Rig().channel.render(note)
    assert caught.value.reason == word


def test_voip_may_be_larger() -> None:
    assert len(Rig().channel.render(notice(Content(body="x" * 5_000), push_type=PushType.VOIP))[0]) > 4_096


def test_pass_update_in_the_sandbox_is_refused() -> None:
    rig = Rig(ApnsSettings(BUNDLE, Environment.SANDBOX))
    with pytest.raises(ContentRefused, match="production"):
        rig.channel.render(notice(Content(pass_type_id=PASS)))


def test_certificate_sends_no_token_and_may_not_send_live_activities() -> None:
    rig = Rig(certificate=True)
    [headers] = rig.answer(rig.deliveries(), 200)
    assert b"authorization" not in headers
    with pytest.raises(ContentRefused, match="signing key"):
        rig.channel.render(notice(push_type=PushType.LIVEACTIVITY))


def test_certificate_that_is_refused_is_a_rejected_credential() -> None:
    rig = Rig(certificate=True)
    assert rig.kind_after(rig.deliveries(), 403, reason("BadCertificate")) is OutcomeKind.CREDENTIAL_REJECTED
    assert rig.kind_after(rig.deliveries(), 403, reason("ExpiredProviderToken")) is OutcomeKind.CREDENTIAL_REJECTED


def test_capacity_is_passed_on_with_the_route() -> None:
    rig = Rig()
    rig.pools.now.on_capacity()
    assert rig.sink.capacity_calls == 1


async def test_closed_channel_takes_nothing() -> None:
    rig = Rig()
    await rig.channel.close(1.0)
    assert rig.channel.capacity == 0
    assert rig.submit(rig.deliveries()) == 0
    assert rig.pools.now.drained_s == 1.0


def test_shapes_are_bounded() -> None:
    rig = Rig(ApnsSettings(BUNDLE, max_shapes=8))
    for number in range(100):
        rig.channel.render(notice(Content(title="x", apns=ApnsOptions(topic=f"com.example.t{number}"))))
    assert len(rig.channel._shapes._shapes) <= 8


def test_content_must_still_be_there() -> None:
    note = notice()
    note.content = None
    with pytest.raises(ValueError, match="content"):
        Rig().channel.render(note)
