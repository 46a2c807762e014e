"""Dispatch: who goes first, what holds a route back, and that nothing is forgotten behind it."""

from __future__ import annotations

import asyncio

from core.breaker import BreakerSettings, BreakerState
from core.model import NotificationState
from core.reaction import DELIVERED, Outcome, OutcomeKind
from core.token_buckets import Rate
from gateway.pipeline.limits import RuleBook
from tests.unit.pipeline_fakes import FakeChannel
from tests.unit.pipeline_stand import APNS, Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import VirtualLoop, in_virtual_time

FAULT = Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable")
NOT_SENT = Outcome(OutcomeKind.NOT_SENT, 0, "GoAway")
OVER_QUOTA = Outcome(OutcomeKind.ROUTE_THROTTLED, 429, "QUOTA_EXCEEDED", retry_after_ms=300_000)


def titles(channel: FakeChannel) -> list[str]:
    return [delivery.payload.decode() for batch in channel.batches for delivery in batch]


def state_of(pipeline: Stand) -> BreakerState:
    return pipeline.routes[APNS].breaker.state


@in_virtual_time
async def test_classes_go_in_order_whatever_came_first() -> None:
    async with stand() as pipeline:
        pipeline.apns.open(0)
        for klass in (4, 2, 3, 1):
            await pipeline.accept(message(f"class {klass}", "ab", klass=klass))
        await settle_down()
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(2)
        await settle_down()
        assert titles(pipeline.apns) == ["class 1", "class 2", "class 3", "class 4"]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_tenth_of_the_streams_is_kept_from_marketing() -> None:
    async with stand(StandOptions(streams=100)) as pipeline:
        await pipeline.accept(*(message(f"m{i}", "ab", klass=4) for i in range(200)))
        await settle_down()
        assert pipeline.apns.capacity == 10
        await pipeline.accept(*(message(f"p{i}", "ab") for i in range(10)))
        await settle_down(0.005)
        assert pipeline.apns.capacity == 0
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.answer()
        await settle_down(1.0)
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_route_at_its_reserve_does_not_spin() -> None:
    async with stand(StandOptions(streams=100)) as pipeline:
        await pipeline.accept(*(message(f"m{i}", "ab", klass=4) for i in range(200)))
        await settle_down()
        assert await turns_of(10.0) < 500


async def turns_of(seconds: float) -> int:
    """Return how often the loop turns while nothing happens; the sweep alone takes a few turns a second."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    before = loop.jumping.turns
    await asyncio.sleep(seconds)
    return loop.jumping.turns - before


@in_virtual_time
async def test_nothing_is_lost_while_there_is_no_capacity() -> None:
    async with stand() as pipeline:
        pipeline.apns.open(0)
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(500)))
        await settle_down(60.0)
        assert pipeline.apns.batches == []
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(50)
        await settle_down()
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_batches_are_no_larger_than_configured() -> None:
    async with stand(StandOptions(batch_size=64)) as pipeline:
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(300)))
        await settle_down()
        assert [len(batch) for batch in pipeline.apns.batches] == [64, 64, 64, 64, 44]


@in_virtual_time
async def test_a_breaker_opens_probes_and_closes() -> None:
    async with stand(StandOptions(breaker=BreakerSettings(min_answers=10, probes=3))) as pipeline:
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(20)))
        await settle_down()
        pipeline.apns.answer(FAULT)
        assert state_of(pipeline) is BreakerState.OPEN
        sent = len(titles(pipeline.apns))
        await settle_down(0.3)
        assert len(titles(pipeline.apns)) == sent
        await settle_down(1.5)
        assert state_of(pipeline) is BreakerState.HALF_OPEN
        assert len(pipeline.apns.in_flight) == 3
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.answer()
        assert state_of(pipeline) is BreakerState.CLOSED
        await settle_down(5.0)
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_route_that_waits_for_its_probes_does_not_spin() -> None:
    async with stand(StandOptions(breaker=BreakerSettings(min_answers=10, probes=3))) as pipeline:
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(20)))
        await settle_down()
        pipeline.apns.answer(FAULT)
        await settle_down(1.6)
        assert len(pipeline.apns.in_flight) == 3
        assert await turns_of(10.0) < 500


@in_virtual_time
async def test_probes_that_ended_unsent_are_not_waited_for() -> None:
    async with stand(StandOptions(breaker=BreakerSettings(min_answers=10, probes=3))) as pipeline:
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(20)))
        await settle_down()
        pipeline.apns.answer(FAULT)
        doomed = await pipeline.accept(*(message(f"d{i}", "ab", klass=1) for i in range(3)))
        opens_ns = pipeline.routes[APNS].breaker.open_until_ns
        await settle_down((opens_ns - pipeline.clock.monotonic_ns()) / 1e9 - 0.001)
        # Security goes first, so these are the probes; and they are cancelled before any sweep can see it.
        for notification_id in doomed:
            pipeline.find(notification_id).cancelled = True
        await settle_down(0.05)
        assert state_of(pipeline) is BreakerState.HALF_OPEN
        assert await pipeline.reasons() == ["CANCELLED"] * 3
        await settle_down(1.0)
        assert len(pipeline.apns.in_flight) == 3


@in_virtual_time
async def test_probes_that_were_not_sent_are_sent_again() -> None:
    async with stand(StandOptions(breaker=BreakerSettings(min_answers=10, probes=3))) as pipeline:
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(20)))
        await settle_down()
        pipeline.apns.answer(FAULT)
        await settle_down(1.6)
        pipeline.apns.answer(NOT_SENT)
        assert state_of(pipeline) is BreakerState.HALF_OPEN
        await settle_down(2.0)
        assert len(pipeline.apns.in_flight) == 3
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.answer()
        await settle_down(5.0)
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_quota_holds_what_it_refused_for_its_retry_after_and_the_rest_for_a_moment() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", "ab"))
        await settle_down()
        pipeline.apns.answer(OVER_QUOTA)
        pipeline.apns.answers_by_itself = DELIVERED
        await pipeline.accept(message("m", "ab", klass=1))
        await settle_down(0.2)
        assert titles(pipeline.apns) == ["k"]
        await settle_down(0.2)
        assert titles(pipeline.apns) == ["k", "m"]
        await settle_down(299.0)
        assert titles(pipeline.apns) == ["k", "m"]
        await settle_down(2.0)
        assert titles(pipeline.apns) == ["k", "m", "k"]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_provider_that_refuses_everything_is_asked_less_and_less_until_it_takes_one() -> None:
    async with stand(StandOptions(streams=50)) as pipeline:
        pipeline.apns.answers_by_itself = OVER_QUOTA
        await pipeline.accept(*(message(f"k{number}", "ab") for number in range(500)))
        await settle_down(30.0)
        asked = len(titles(pipeline.apns))
        assert 50 < asked < 250
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(33.0)
        assert len(titles(pipeline.apns)) == 500
        await settle_down(600.0)
        assert len(await pipeline.receipts()) == 500
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_an_early_timer_loses_no_wake_up() -> None:
    async with stand() as pipeline:
        route = pipeline.routes[APNS]
        route.throttle.record(0, 1, 5_000, pipeline.clock.monotonic_ns())
        await pipeline.accept(message("k", "ab"))
        await settle_down()
        assert route.timer is not None
        # As uvloop may: the callback runs before the time.
        route.timer.cancel()
        pipeline.dispatcher._on_time(route)
        await settle_down(6.0)
        assert titles(pipeline.apns) == ["k"]


@in_virtual_time
async def test_a_rate_spreads_deliveries_and_holds_no_other_flow_up() -> None:
    rules = RuleBook({}, {("campaign", "sale"): Rate(10, 5)})
    async with stand(StandOptions(rules=rules)) as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        sale = [message(f"s{i}", "ab", klass=4) for i in range(50)]
        for one in sale:
            one.campaign_id = "sale"
        await pipeline.accept(*sale)
        await pipeline.accept(message("other", "ab", klass=4))
        await settle_down(0.05)
        assert "other" in titles(pipeline.apns)
        assert len(titles(pipeline.apns)) <= 7
        await settle_down(2.0)
        assert 20 <= len(titles(pipeline.apns)) <= 30
        await settle_down(4.0)
        assert len(titles(pipeline.apns)) == 51
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_what_expires_in_a_lane_ends_without_being_sent() -> None:
    async with stand() as pipeline:
        pipeline.apns.open(0)
        short = message("short", "ab")
        short.ttl.FromSeconds(2)
        await pipeline.accept(short, message("long", "ab"))
        await settle_down(3.0)
        assert await pipeline.reasons() == ["EXPIRED"]
        assert await pipeline.states() == [NotificationState.EXPIRED]
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(10)
        await settle_down()
        assert titles(pipeline.apns) == ["long"]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_what_expired_before_the_sweep_saw_it_is_not_sent_either() -> None:
    async with stand() as pipeline:
        pipeline.apns.open(0)
        short = message("short", "ab")
        short.ttl.FromSeconds(1)
        await pipeline.accept(short)
        pipeline.dispatcher._stopped, before = True, pipeline.dispatcher._stopped
        await settle_down(2.0)
        pipeline.dispatcher._stopped = before
        pipeline.apns.open(10)
        await settle_down()
        assert titles(pipeline.apns) == []
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_what_is_cancelled_in_a_lane_ends_at_the_next_sweep() -> None:
    async with stand() as pipeline:
        pipeline.apns.open(0)
        ids = await pipeline.accept(message("k", "ab", "cd"), message("m", "ab"))
        await settle_down()
        pipeline.find(ids[0]).cancelled = True
        await settle_down(0.3)
        assert await pipeline.reasons() == ["CANCELLED"] * 2
        assert await pipeline.states() == [NotificationState.CANCELLED]
        pipeline.apns.open(10)
        await settle_down()
        assert titles(pipeline.apns) == ["m"]


@in_virtual_time
async def test_a_stopped_dispatcher_sends_nothing_more() -> None:
    async with stand() as pipeline:
        pipeline.dispatcher.stop()
        await pipeline.accept(message("k", "ab"))
        await settle_down(1.0)
        assert pipeline.apns.batches == []
        assert await pipeline.states() == []


@in_virtual_time
async def test_a_channel_that_takes_less_than_it_said_gets_the_rest_later() -> None:
    class Hesitant(FakeChannel):
        @property
        def capacity(self) -> int:
            return super().capacity + (40 if self.in_flight else 0)

    async with stand(StandOptions(streams=10)) as pipeline:
        replace(pipeline, Hesitant(APNS, pipeline, 10))
        await pipeline.accept(*(message(f"k{i}", "ab") for i in range(30)))
        await asyncio.sleep(0)
        for _ in range(10):
            pipeline.apns.answer()
            await asyncio.sleep(0.001)
        assert titles(pipeline.apns) == [f"k{i}" for i in range(30)]
        await pipeline.assert_at_rest()


def replace(pipeline: Stand, channel: FakeChannel) -> None:
    pipeline.routes[APNS].channel = pipeline.apns = channel
