"""The simulated APNs answers each fault of a sender with the status and reason that Apple documents."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.simulators.apns import ApnsRules, ApnsSimulator
from adapters.simulators.connection_state import ConnectionState
from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC
from adapters.simulators.ledger import Ledger
from adapters.simulators.provider_tokens import ProviderKey
from adapters.simulators.settings import SimulatorSettings
from adapters.simulators.simulation import Simulation
from adapters.simulators.token_book import TokenBook, TokenEntry
from tests.fixtures_simulators import (
    APNS_TOKEN,
    PAYLOAD,
    ApnsCaller,
    provider_token,
    simulated,
    simulator_directory,
)

TOPICS = frozenset((TOPIC, "pass.com.example.loyalty"))


@pytest_asyncio.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with simulated(SimulatorSettings(simulator_directory(), topics=TOPICS)) as running:
        yield running


@pytest_asyncio.fixture
async def apns(simulation: Simulation) -> AsyncIterator[ApnsCaller]:
    async with ApnsCaller(simulation) as caller:
        yield caller


async def test_good_push_is_accepted_under_its_own_id(apns: ApnsCaller) -> None:
    apns_id = str(uuid.uuid4())
    answer = await apns.push(apns_id=apns_id, apns_collapse_id="payment-1")
    assert (answer.status_code, answer.headers["apns-id"], answer.content) == (200, apns_id, b"")


async def test_push_without_id_is_given_one(apns: ApnsCaller) -> None:
    answer = await apns.push()
    assert uuid.UUID(answer.headers["apns-id"]).version == 4


async def test_sandbox_alone_gives_a_unique_id(simulation: Simulation, apns: ApnsCaller) -> None:
    async with ApnsCaller(simulation, sandbox=True) as sandbox:
        answers = [await apns.push(), await sandbox.push()]
    assert ["apns-unique-id" in answer.headers for answer in answers] == [False, True]


async def test_wallet_pass_push_of_an_empty_object_is_accepted(apns: ApnsCaller) -> None:
    answer = await apns.push(body=b"{}", apns_topic="pass.com.example.loyalty")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"apns_topic": None}, 400, "MissingTopic"),
        ({"apns_topic": "com.other.app"}, 400, "TopicDisallowed"),
        ({"apns_push_type": "shout"}, 400, "InvalidPushType"),
        ({"apns_push_type": "voip"}, 400, "TopicDisallowed"),
        ({"apns_push_type": "liveactivity"}, 400, "TopicDisallowed"),
        ({"apns_push_type": "background"}, 400, "BadPriority"),
        ({"apns_priority": "7"}, 400, "BadPriority"),
        ({"apns_expiration": "tomorrow"}, 400, "BadExpirationDate"),
        ({"apns_expiration": "-1"}, 400, "BadExpirationDate"),
        ({"apns_id": "not-a-uuid"}, 400, "BadMessageId"),
        ({"apns_id": "0b9a3a2e7a534b678a1c0c6a7e3d1f00"}, 400, "BadMessageId"),
        ({"apns_collapse_id": "x" * 65}, 400, "BadCollapseId"),
        ({"authorization": None}, 403, "MissingProviderToken"),
        ({"authorization": "basic abc"}, 403, "MissingProviderToken"),
        ({"authorization": "bearer a.b.c"}, 403, "InvalidProviderToken"),
    ],
)
async def test_wrong_header(apns: ApnsCaller, headers: dict[str, str | None], status: int, reason: str) -> None:
    answer = await apns.push(**headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


@pytest.mark.parametrize(
    ("push_type", "suffix", "priority"),
    [
        ("alert", "", "10"),
        ("background", "", "5"),
        ("location", ".location-query", "10"),
        ("voip", ".voip", "10"),
        ("complication", ".complication", "10"),
        ("fileprovider", ".pushkit.fileprovider", "10"),
        ("mdm", "", "10"),
        ("liveactivity", ".push-type.liveactivity", "5"),
        ("pushtotalk", ".voip-ptt", "10"),
        ("controls", ".push-type.controls", "10"),
        ("widgets", ".push-type.widgets", "1"),
    ],
)
async def test_each_push_type_has_its_topic(apns: ApnsCaller, push_type: str, suffix: str, priority: str) -> None:
    answer = await apns.push(apns_push_type=push_type, apns_topic=TOPIC + suffix, apns_priority=priority)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ("", 400, "MissingDeviceToken"),
        ("abc", 400, "BadDeviceToken"),
        ("xyz0", 400, "BadDeviceToken"),
        ("aa%20bb", 400, "BadDeviceToken"),
    ],
)
async def test_wrong_device_token(apns: ApnsCaller, token: str, status: int, reason: str) -> None:
    answer = await apns.push(token)
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


async def test_token_of_another_length_is_accepted(apns: ApnsCaller) -> None:
    assert (await apns.push("ab" * 50)).status_code == 200


@pytest.mark.parametrize(
    ("push", "status", "reason"),
    [
        ({"method": "GET"}, 405, "MethodNotAllowed"),
        ({"path": "/2/device/"}, 404, "BadPath"),
        ({"twice": "apns-topic"}, 400, "DuplicateHeaders"),
    ],
)
async def test_wrong_request_line_or_fields(apns: ApnsCaller, push: dict[str, str], status: int, reason: str) -> None:
    answer = await apns.push(**push)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


def _payload(size: int) -> bytes:
    return b'{"aps":{"alert":"' + b"x" * (size - 20) + b'"}}'


@pytest.mark.parametrize(
    ("push_type", "suffix", "body", "status", "reason"),
    [
        ("alert", "", b"", 400, "PayloadEmpty"),
        ("alert", "", b"[1]", 400, "PayloadEmpty"),
        ("alert", "", b'{"aps":', 400, "PayloadEmpty"),
        ("alert", "", _payload(4097), 413, "PayloadTooLarge"),
        ("voip", ".voip", _payload(5121), 413, "PayloadTooLarge"),
        ("alert", "", _payload(100_000), 413, "PayloadTooLarge"),
    ],
)
async def test_wrong_payload(
    apns: ApnsCaller, push_type: str, suffix: str, body: bytes, status: int, reason: str
) -> None:
    answer = await apns.push(body=body, apns_push_type=push_type, apns_topic=TOPIC + suffix)
    assert (answer.status_code, answer.json()) == (status, {"reason": reason})


async def test_payloads_of_the_full_size_are_accepted(apns: ApnsCaller) -> None:
    alert = await apns.push(body=_payload(4096))
    call = await apns.push(body=_payload(5120), apns_push_type="voip", apns_topic=f"{TOPIC}.voip")
    assert (len(_payload(4096)), alert.status_code, call.status_code) == (4096, 200, 200)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"age_s": 3605}, "ExpiredProviderToken"),
        ({"age_s": -600}, "InvalidProviderToken"),
        ({"team_id": "OTHERTEAM1"}, "InvalidProviderToken"),
        ({"key_id": "OTHERKEY01"}, "InvalidProviderToken"),
        ({"key_id": None}, "InvalidProviderToken"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "InvalidProviderToken"),
    ],
)
async def test_wrong_provider_token(
    simulation: Simulation, apns: ApnsCaller, wrong: dict[str, object], reason: str
) -> None:
    token = provider_token(simulation.credentials, **wrong)  # type: ignore[arg-type]
    answer = await apns.push(authorization=f"bearer {token}")
    assert (answer.status_code, answer.json()) == (403, {"reason": reason})


async def test_fifth_provider_token_within_20_minutes_is_too_many(simulation: Simulation, apns: ApnsCaller) -> None:
    tokens = [f"bearer {provider_token(simulation.credentials, age_s=age)}" for age in (50, 40, 30, 20, 10)]
    answers = [await apns.push(authorization=token) for token in tokens]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert answers[-1].json() == {"reason": "TooManyProviderTokenUpdates"}
    assert (await apns.push(authorization=tokens[0])).status_code == 200


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("unregistered", 410, "Unregistered"),
        ("expired", 410, "ExpiredToken"),
        ("wrong_environment", 400, "BadDeviceToken"),
        ("wrong_topic", 400, "DeviceTokenNotForTopic"),
        ("throttled", 429, "TooManyRequests"),
    ],
)
async def test_known_device(simulation: Simulation, apns: ApnsCaller, state: str, status: int, reason: str) -> None:
    simulation.books["apns"].update({APNS_TOKEN: TokenEntry(state, 1_700_000_000_123)})  # type: ignore[arg-type]
    answer = await apns.push(APNS_TOKEN.upper())
    expected: dict[str, object] = {"reason": reason}
    if status == 410:
        expected["timestamp"] = 1_700_000_000_123
    assert (answer.status_code, answer.json()) == (status, expected)


async def test_410_without_a_given_time_tells_the_present_in_ms(simulation: Simulation, apns: ApnsCaller) -> None:
    simulation.books["apns"].update({APNS_TOKEN: TokenEntry("unregistered")})
    answer = await apns.push()
    assert abs(answer.json()["timestamp"] - time.time() * 1000) < 5_000


async def test_certificate_pushes_without_provider_token_or_topic(simulation: Simulation) -> None:
    async with ApnsCaller(simulation, certificate=True) as apns:
        named, unnamed = await apns.push(), await apns.push(apns_topic=None)
        other = await apns.push(apns_topic="pass.com.example.loyalty")
        activity = await apns.push(apns_push_type="liveactivity", apns_topic=f"{TOPIC}.push-type.liveactivity")
    assert (named.status_code, unnamed.status_code) == (200, 200)
    assert other.json() == activity.json() == {"reason": "TopicDisallowed"}


class Clock:
    """Unix seconds that stand still until told."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Pure:
    """The judge without a network, for what needs several keys or another time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.private = {name: ec.generate_private_key(ec.SECP256R1()) for name in (KEY_ID, "SECOND0001", "FOREIGN001")}
        keys = {
            KEY_ID: ProviderKey(KEY_ID, TEAM_ID, self.private[KEY_ID].public_key(), frozenset((TOPIC,)), False),
            "SECOND0001": ProviderKey("SECOND0001", TEAM_ID, self.private["SECOND0001"].public_key(), None, True),
            "FOREIGN001": ProviderKey("FOREIGN001", "OTHERTEAM1", self.private["FOREIGN001"].public_key()),
        }
        rules = ApnsRules(keys=keys, device_pushes_per_s=2)
        self.judge = ApnsSimulator(rules, Ledger(), TokenBook(), self.clock)
        self.state = ConnectionState()

    def push(self, key_id: str = KEY_ID, team_id: str = TEAM_ID, topic: str = TOPIC) -> tuple[int, bytes]:
        age_s = int(time.time() - self.clock.now_s)
        token = provider_token(
            None, age_s=age_s, key_id=key_id, team_id=team_id, key=self.private[key_id]  # type: ignore[arg-type]
        )
        fields = [(b"authorization", b"bearer " + token.encode()), (b"apns-topic", topic.encode())]
        answer = self.judge.answer(self.state, b"POST", b"/3/device/aabb", fields, PAYLOAD)
        assert answer is not None
        return answer.status, answer.body


def test_connection_is_bound_to_its_first_key_and_team() -> None:
    pure = Pure()
    assert pure.push()[0] == 200
    assert pure.push("FOREIGN001", "OTHERTEAM1") == (403, b'{"reason":"Forbidden"}')


def test_second_key_of_the_team_is_unrelated_on_this_connection() -> None:
    pure = Pure()
    pure.judge = ApnsSimulator(
        ApnsRules(keys={name: ProviderKey(name, TEAM_ID, key.public_key()) for name, key in pure.private.items()}),
        Ledger(),
        TokenBook(),
        pure.clock,
    )
    assert pure.push()[0] == 200
    assert pure.push("SECOND0001") == (403, b'{"reason":"UnrelatedKeyIdInToken"}')
    pure.state = ConnectionState()
    assert pure.push("SECOND0001")[0] == 200


def test_key_of_the_other_environment_is_refused() -> None:
    assert Pure().push("SECOND0001") == (403, b'{"reason":"BadEnvironmentKeyIdInToken"}')


def test_key_scoped_to_topics_pushes_to_no_other() -> None:
    assert Pure().push(topic="com.example.other") == (400, b'{"reason":"TopicDisallowed"}')


def test_cached_provider_token_expires_after_an_hour() -> None:
    pure = Pure()
    token = provider_token(None, age_s=int(time.time() - pure.clock.now_s), key=pure.private[KEY_ID])  # type: ignore[arg-type]
    fields = [(b"authorization", b"bearer " + token.encode()), (b"apns-topic", TOPIC.encode())]
    statuses = []
    for later_s in (0, 3599, 3602):
        pure.clock.now_s = 1_700_000_000.0 + later_s
        answer = pure.judge.answer(pure.state, b"POST", b"/3/device/aabb", fields, PAYLOAD)
        statuses.append(answer.status if answer else 0)
    assert statuses == [200, 200, 403]


def test_provider_token_updates_are_counted_over_20_minutes() -> None:
    pure = Pure()
    statuses = []
    for _ in range(6):
        statuses.append(pure.push()[0])
        pure.clock.now_s += 1
    pure.clock.now_s += 20 * 60
    statuses.append(pure.push()[0])
    assert statuses == [200, 200, 200, 200, 429, 429, 200]


def test_device_is_throttled_for_the_second() -> None:
    pure = Pure()
    statuses = [pure.push()[0] for _ in range(3)]
    pure.clock.now_s += 1
    assert [*statuses, pure.push()[0]] == [200, 200, 429, 200]
