"""Settling: each kind of answer has its consequence, and everything accepted leaves one receipt per delivery."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from core.breaker import BreakerState
from core.mass_death import MassDeathSettings
from core.model import DeliveryState, NotificationState, Provider
from core.reaction import DELIVERED, Outcome, OutcomeKind
from gateway.metrics import Stage
from tests.unit.pipeline_fakes import REFUSED
from tests.unit.pipeline_stand import APNS, HASHER, Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import START_UNIX_MS, in_virtual_time

FAULT = Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable")
UNKNOWN = Outcome(OutcomeKind.UNKNOWN, 0, "ConnectionLost")
NOT_SENT = Outcome(OutcomeKind.NOT_SENT, 0, "GoAway")
GONE = Outcome(OutcomeKind.DEVICE_GONE, 410, "Unregistered", gone_since_unix_ms=123)
NO_CREDENTIAL = Outcome(OutcomeKind.CREDENTIAL_REJECTED, 403, "InvalidProviderToken", alert=True)


async def one_in_flight(pipeline: Stand, *tokens: str) -> str:
    (notification_id,) = await pipeline.accept(message("k", *(tokens or ("ab",))))
    await settle_down(0.001)
    assert pipeline.apns.in_flight
    return notification_id


@in_virtual_time
async def test_a_delivered_receipt_tells_everything_but_the_token() -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline, "ab")
        pipeline.apns.in_flight[0].provider_message_id = "apns-id"
        pipeline.apns.answer()
        (receipt,) = await pipeline.receipts()
        assert (receipt.state, receipt.status, receipt.reason) == (DeliveryState.DELIVERED, 200, "")
        assert receipt.attempts == 1
        assert receipt.provider == Provider.APNS
        assert receipt.device_key == HASHER.derive("devices").hash64("ab")
        assert receipt.provider_message_id == "apns-id"
        assert receipt.tenant_tag == pipeline.scopes.tenant_tag("bank")
        assert receipt.app_tag == pipeline.scopes.app_tag("app")
        assert receipt.at_unix_ms >= START_UNIX_MS
        await pipeline.assert_at_rest()


@pytest.mark.parametrize("kind", [OutcomeKind.REJECTED, OutcomeKind.DEVICE_SUSPECT, OutcomeKind.MISCONFIGURED])
@in_virtual_time
async def test_a_refusal_ends_as_failed_and_keeps_the_device(kind: OutcomeKind) -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline)
        pipeline.apns.answer(Outcome(kind, 400, "BadTopic"))
        await settle_down(0.2)
        assert await pipeline.reasons() == ["BadTopic"]
        assert await pipeline.states() == [NotificationState.FAILED]
        assert pipeline.registry.retired == []
        await pipeline.assert_at_rest()


@pytest.mark.parametrize("outcome", [
    FAULT, UNKNOWN, NOT_SENT,
    Outcome(OutcomeKind.DEVICE_THROTTLED, 429, "TooManyRequests"),
    Outcome(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", retry_after_ms=1_000),
    Outcome(OutcomeKind.CREDENTIAL_EXPIRED, 403, "ExpiredProviderToken"),
])  # fmt: skip
@in_virtual_time
async def test_what_may_pass_is_tried_again(outcome: Outcome) -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline)
        pipeline.apns.answer(outcome)
        assert await pipeline.receipts() == []
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(10.0)
        (receipt,) = await pipeline.receipts()
        assert (receipt.state, receipt.attempts) == (DeliveryState.DELIVERED, 2)
        assert receipt.possibly_delivered == (outcome.kind is OutcomeKind.UNKNOWN)
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_retries_end_at_the_last_attempt_with_the_last_reason() -> None:
    async with stand(StandOptions(max_attempts=4)) as pipeline:
        pipeline.apns.answers_by_itself = FAULT
        await pipeline.accept(message("k", "ab"))
        await settle_down(600.0)
        (receipt,) = await pipeline.receipts()
        assert (receipt.attempts, receipt.reason, receipt.status) == (4, "ServiceUnavailable", 503)
        assert await pipeline.states() == [NotificationState.FAILED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_attempts_the_provider_never_saw_give_nothing_up() -> None:
    async with stand(StandOptions(max_attempts=4)) as pipeline:
        pipeline.apns.answers_by_itself = NOT_SENT
        await pipeline.accept(message("k", "ab"))
        await settle_down(60.0)
        assert await pipeline.receipts() == []
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(60.0)
        assert await pipeline.states() == [NotificationState.DELIVERED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_retry_after_expiry_is_not_waited_for() -> None:
    async with stand() as pipeline:
        short = message("k", "ab")
        short.ttl.FromSeconds(30)
        await pipeline.accept(short)
        await settle_down(0.001)
        pipeline.apns.answer(Outcome(OutcomeKind.DEVICE_THROTTLED, 429, "TooManyRequests", retry_after_ms=60_000))
        (receipt,) = await pipeline.receipts()
        assert (receipt.state, receipt.reason) == (DeliveryState.EXPIRED, "TooManyRequests")
        assert await pipeline.states() == [NotificationState.EXPIRED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_rejected_credential_holds_everything_until_it_works_again() -> None:
    async with stand(StandOptions(max_attempts=2)) as pipeline:
        pipeline.apns.answers_by_itself = NO_CREDENTIAL
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(100)))
        await settle_down(300.0)
        assert await pipeline.receipts() == []
        assert pipeline.routes[APNS].breaker.state is not BreakerState.CLOSED
        assert pipeline.queue.in_use == 100
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(120.0)
        assert len(await pipeline.receipts()) == 100
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_more_held_answers_than_a_batch_find_their_places_again() -> None:
    async with stand(StandOptions(streams=5_000)) as pipeline:
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(4_000))))
        await settle_down(0.05)
        assert len(pipeline.apns.in_flight) == 4_000
        pipeline.apns.answer(NO_CREDENTIAL)
        assert pipeline.queue.waiting(APNS) == 4_000
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(120.0)
        assert len(await pipeline.receipts()) == 4_000
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_dead_token_is_retired_as_of_the_time_the_provider_told() -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline, "ab")
        pipeline.apns.answer(GONE)
        await settle_down(0.2)
        assert pipeline.registry.retired == [("app", Provider.APNS, "ab", 123)]
        counted = pipeline.metrics.registry.get_sample_value
        assert counted("walletpush_devices_retired_total", {"provider": "apns", "app": "app"}) == 1
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_every_stage_of_the_way_is_timed() -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline, "ab")
        await settle_down(1.0)
        pipeline.apns.answer()
        counted = pipeline.metrics.registry.get_sample_value
        stages = {stage: counted("walletpush_stage_seconds_count", {"stage": stage}) for stage in get_args(Stage)}
        assert stages == dict.fromkeys(("intake", "journal", "plan", "queue"), 1)
        waited_s = counted("walletpush_provider_seconds_sum", {"provider": "apns", "app": "app"})
        assert waited_s is not None
        assert waited_s > 1


@in_virtual_time
async def test_without_a_time_a_token_is_dead_as_of_the_request() -> None:
    async with stand() as pipeline:
        await one_in_flight(pipeline, "ab")
        sent_unix_ms = pipeline.clock.unix_ms()
        await settle_down(20.0)
        pipeline.apns.answer(Outcome(OutcomeKind.DEVICE_GONE, 410, "ExpiredToken"))
        await settle_down(0.2)
        ((_, _, _, gone_since_unix_ms),) = pipeline.registry.retired
        assert abs(gone_since_unix_ms - sent_unix_ms) <= 5


@in_virtual_time
async def test_a_wave_of_dead_tokens_is_held_and_loses_no_receipt() -> None:
    mass_death = MassDeathSettings(min_deaths=20, death_percent=20)
    async with stand(StandOptions(mass_death=mass_death)) as pipeline:
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(200))))
        await settle_down(0.05)
        pipeline.apns.answer(GONE)
        await settle_down(0.5)
        assert len(pipeline.registry.retired) < 20
        assert await pipeline.reasons() == ["Unregistered"] * 200
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_registry_that_is_away_gets_the_dead_tokens_later() -> None:
    async with stand() as pipeline:
        pipeline.registry.failing = True
        await one_in_flight(pipeline, "ab", "cd")
        pipeline.apns.answer(GONE)
        await settle_down(10.0)
        assert pipeline.registry.retired == []
        pipeline.registry.failing = False
        await settle_down(2.0)
        assert sorted(token for _, _, token, _ in pipeline.registry.retired) == ["ab", "cd"]


@in_virtual_time
async def test_a_cancelled_notification_ends_at_its_next_attempt() -> None:
    async with stand() as pipeline:
        notification_id = await one_in_flight(pipeline, "ab")
        pipeline.apns.answer(FAULT)
        pipeline.find(notification_id).cancelled = True
        await settle_down(5.0)
        assert len(pipeline.apns.batches) == 1
        assert await pipeline.states() == [NotificationState.CANCELLED]
        await pipeline.assert_at_rest()


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_whatever_happens_everything_accepted_ends_once(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = [
        DELIVERED, DELIVERED, DELIVERED, FAULT, UNKNOWN, NOT_SENT, GONE, NO_CREDENTIAL,
        Outcome(OutcomeKind.REJECTED, 400, "BadTopic"), Outcome(OutcomeKind.DEVICE_SUSPECT, 400, "BadDeviceToken"),
        Outcome(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", retry_after_ms=2_000),
        Outcome(OutcomeKind.DEVICE_THROTTLED, 429, "TooManyRequests"),
        Outcome(OutcomeKind.CREDENTIAL_EXPIRED, 403, "ExpiredProviderToken"),
    ]  # fmt: skip
    expected = 0
    async with stand(StandOptions(capacity=1_000, admitted=50_000, streams=60, batch_size=32)) as pipeline:
        ids: list[str] = []
        for step in range(60):
            for i in range(rng.randint(0, 4)):
                tokens = {f"{rng.randrange(4_096):04x}" for _ in range(rng.randint(1, 30))}
                title = REFUSED if rng.random() < 0.05 else ""
                sent = message(f"{step}-{i}", *tokens, klass=rng.randint(1, 4), title=title)
                sent.ttl.FromSeconds(rng.choice([1, 10, 3_600]))
                if rng.random() < 0.1:
                    sent.send_at.FromMilliseconds(pipeline.clock.unix_ms() + rng.randint(1, 5_000))
                ids += await pipeline.accept(sent)
                expected += len(tokens)
            await settle_down(rng.random())
            chosen = [d for d in pipeline.apns.in_flight if rng.random() < 0.8]
            pipeline.apns.answer_each(chosen, [rng.choice(outcomes) for _ in chosen])
            pipeline.apns.open(rng.choice([0, 1, 60, 200]))
            for notification in pipeline.underway:
                if rng.random() < 0.01 and notification.open_deliveries > notification.in_flight:
                    notification.cancelled = True
        pipeline.apns.answer()
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(200)
        await settle_down(3_700.0)
        await pipeline.assert_at_rest()
        receipts = await pipeline.receipts()
        assert len(receipts) == expected
        assert len({(one.notification_id, one.device_key) for one in receipts}) == expected
