"""The small parts of the pipeline: admission, limits, flows, retries, what is under way, the queue, retirement."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import Overloaded, Unavailable
from core.fanout import Fanout
from core.mass_death import MassDeathSettings
from core.model import Environment, Provider, Target
from core.token_buckets import Rate
from gateway.metrics import Metrics
from gateway.pipeline.admission import Admission
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.limits import NO_LIMIT, RuleBook
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.retire import Retirement, Retirer
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.underway import Underway
from tests.unit.pipeline_fakes import FakeRegistry
from tests.unit.pipeline_stand import HASHER, stand
from tests.unit.virtual_time import LoopClock, in_virtual_time

FLOW = Flow(9, (), ())


def notification(segment: int = 1, index: int = 0, *, campaign: str = "", klass: int = 1) -> Notification:
    made = Notification("bank", "app", campaign, klass, 1, b"", 0, 0, 10**13, 1, 1, (), (), None)
    assign_place(made, bytes(16), segment, index)
    return made


def deliveries(count: int, klass: int = 1) -> list[Delivery]:
    made = notification(klass=klass)
    return [Delivery(made, f"{i:04x}", b"", None, i, 0, 1, 0, FLOW) for i in range(count)]


@given(
    klass=st.integers(0, 3), pending=st.integers(0, 2_000), wanted=st.integers(1, 10_000), shares=st.tuples(
        st.floats(0.01, 1.0), st.floats(0.01, 1.0)
    )
)  # fmt: skip
def test_admission_sheds_in_the_order_of_the_classes(
    klass: int, pending: int, wanted: int, shares: tuple[float, float]
) -> None:
    admission = Admission(1_000, min(shares), max(shares))
    admitted = [admits(admission, one, pending, wanted) for one in range(4)]
    # Whoever lets marketing in lets in everything before it.
    assert admitted == sorted(admitted, reverse=True)
    assert admitted[0] == (pending == 0 or pending + wanted <= 1_000)
    if pending == 0:
        assert all(admitted)
    assert admits(admission, klass, pending, wanted) <= admits(admission, klass, max(pending - 1, 0), wanted)


def admits(admission: Admission, klass: int, pending: int, wanted: int) -> bool:
    try:
        admission.check(klass, pending, wanted)
    except Overloaded:
        return False
    return True


def test_rules_keep_their_numbers_over_reloads() -> None:
    slow, fast, new = Rate(1, 1), Rate(100, 10), Rate(7, 7)
    first = RuleBook({"app": slow}, {("campaign", "sale"): fast})
    second = RuleBook({"app": new}, {("campaign", "sale"): fast, ("tenant", "bank"): slow}, first.rates)
    assert second.rates[: len(first.rates)] == first.rates
    assert second.rule_of("campaign", "sale") == first.rule_of("campaign", "sale")
    assert second.rule_of("tenant", "bank") == first.rule_of("app", "wallet")
    assert second.rates[second.rule_of("app", "wallet") - 1] == new
    assert RuleBook({}, {}, second.rates).rates == second.rates


def test_a_named_rate_replaces_the_general_one_and_no_rate_is_no_limit() -> None:
    rules = RuleBook({"tenant": Rate(1, 1)}, {("tenant", "bank"): Rate(2, 2)})
    assert rules.rule_of("tenant", "bank") != rules.rule_of("tenant", "other") != NO_LIMIT
    assert rules.rule_of("provider", "apns") == NO_LIMIT


@in_virtual_time
async def test_a_lane_is_made_once_and_anew_after_a_reload() -> None:
    async with stand() as pipeline:
        book = FlowBook(HASHER, RuleBook({}, {}), pipeline.routes)
        sale, other, plain = notification(campaign="sale"), notification(campaign="other"), notification()
        apns, fcm = Target(Provider.APNS, "ab"), Target(Provider.FCM, "ab")

        def flow(one: Notification, target: Target) -> Flow:
            lane = book.lane(one, target)
            assert lane is not None
            assert pipeline.routes[lane[0]].provider == target.provider
            return lane[1]

        assert flow(sale, apns) is flow(sale, apns)
        assert flow(sale, apns).key != flow(other, apns).key
        assert not flow(sale, fcm).limited
        assert book.lane(sale, apns._replace(environment=Environment.SANDBOX)) is None
        book.set_rules(RuleBook({"campaign": Rate(1, 1)}, {}))
        assert flow(sale, fcm).limited
        assert not flow(plain, fcm).limited


@in_virtual_time
async def test_retries_come_at_their_time_together_and_never_early() -> None:
    clock = LoopClock()
    seen: list[tuple[int, int]] = []
    wheel = RetryWheel(clock, lambda due: seen.extend((clock.monotonic_ns(), int(d.token, 16)) for d in due))
    begun, rng = clock.monotonic_ns(), random.Random(1)
    waits = [rng.randrange(0, 20_000) for _ in range(500)]
    for delivery, wait_ms in zip(deliveries(500), waits, strict=True):
        wheel.add(delivery, begun + wait_ms * 1_000_000)
    assert len(wheel) == 500
    await asyncio.sleep(21)
    assert len(wheel) == 0
    assert sorted(number for _, number in seen) == list(range(500))
    for at_ns, number in seen:
        assert 0 <= (at_ns - begun) / 1e6 - waits[number] <= 60


@in_virtual_time
async def test_an_earlier_retry_is_not_kept_waiting_by_a_later_one() -> None:
    clock = LoopClock()
    seen: list[str] = []
    wheel = RetryWheel(clock, lambda due: seen.extend(d.token for d in due))
    late, early = deliveries(2)
    wheel.add(late, clock.monotonic_ns() + 60_000_000_000)
    wheel.add(early, clock.monotonic_ns() + 1_000_000_000)
    await asyncio.sleep(2)
    assert seen == [early.token]
    await asyncio.sleep(60)
    assert seen == [early.token, late.token]


@in_virtual_time
async def test_a_retry_added_while_others_fall_due_is_not_forgotten() -> None:
    clock = LoopClock()
    (delivery,) = deliveries(1)
    rounds: list[int] = []

    def again(due: list[Delivery]) -> None:
        rounds.append(len(due))
        if len(rounds) < 5:
            wheel.add(delivery, clock.monotonic_ns())

    wheel = RetryWheel(clock, again)
    wheel.add(delivery, clock.monotonic_ns())
    await asyncio.sleep(1)
    assert rounds == [1] * 5


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 999)), unique=True, max_size=60), st.randoms())
def test_underway_finds_what_has_not_ended_and_forgets_whole_segments(
    places: list[tuple[int, int]], rng: random.Random
) -> None:
    underway = Underway()
    underway.add([notification(*place) for place in places])
    for segment, index in places:
        found = underway.find(segment, index)
        assert found is not None
        assert (found.segment, found.index) == (segment, index)
    assert underway.find(9, 0) is None
    rng.shuffle(places)
    for position, (segment, _) in enumerate(places):
        underway.closed(segment, 1)
        left = {one for one, _ in places[position + 1 :]}
        assert {one.segment for one in underway} == left


def test_what_is_given_back_beyond_a_batch_keeps_its_order() -> None:
    queue = DeliveryQueue(Fanout(5_000, 1_024, 0))
    waiting = deliveries(3_000)
    queue.push(waiting, 1)
    pulled: list[Delivery] = []
    while len(pulled) < 3_000:
        pulled += queue.pull(0, 1_024, 2, 3)
    assert pulled == waiting
    queue.give_back(pulled)
    again: list[Delivery] = []
    while len(again) < 3_000:
        again += queue.pull(0, 1_000, 3, 3)
    assert again == waiting
    queue.give_back([])
    queue.free(again)
    assert queue.in_use == 0


@in_virtual_time
async def test_a_closed_queue_lets_nobody_wait() -> None:
    queue = DeliveryQueue(Fanout(10, 10, 0))
    waiting = asyncio.ensure_future(queue.wait_for_room())
    await asyncio.sleep(1)
    assert not waiting.done()
    queue.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await queue.wait_for_room()


@in_virtual_time
async def test_the_sweep_comes_round_to_every_slot() -> None:
    queue = DeliveryQueue(Fanout(1_000, 100, 0))
    doomed, kept = deliveries(300), deliveries(300)
    queue.push(doomed, 1)
    queue.push(kept, 1)
    doomed[0].notification.cancelled = True
    ended: list[Delivery] = []
    for _ in range(5):
        ended += queue.sweep(150, 0)
    assert sorted(d.token for d in ended) == sorted(d.token for d in doomed)
    queue.free(ended)
    assert (queue.in_use, queue.waiting(0)) == (300, 300)


def dead(number: int) -> Retirement:
    return Retirement(Provider.APNS, f"{number:04x}", number)


def retirer_of(registry: FakeRegistry, settings: MassDeathSettings) -> Retirer:
    return Retirer(registry, settings, Metrics(["app"]), LoopClock())


@in_virtual_time
async def test_retirements_are_carried_out_per_app_and_kept_while_the_registry_is_away() -> None:
    registry = FakeRegistry()
    retirer = retirer_of(registry, MassDeathSettings())
    for app in ("app", "second"):
        retirer.add(app, dead(1), 0)
    registry.failing = True
    with pytest.raises(Unavailable):
        await retirer.flush()
    registry.failing = False
    retirer.add("app", dead(2), 0)
    await retirer.flush()
    await retirer.flush()
    assert sorted((app, token) for app, _, token, _ in registry.retired) == [
        ("app", "0001"), ("app", "0002"), ("second", "0001")
    ]  # fmt: skip


@in_virtual_time
async def test_a_wave_holds_one_app_and_not_the_other() -> None:
    registry = FakeRegistry()
    retirer = retirer_of(registry, MassDeathSettings(min_deaths=10, death_percent=50))
    retirer.saw_alive("second", 1_000, 0)
    for number in range(40):
        retirer.add("app", dead(number), 0)
        retirer.add("second", dead(number), 0)
    await retirer.flush()
    by_app = [app for app, *_ in registry.retired]
    assert (by_app.count("app"), by_app.count("second")) == (9, 40)


@in_virtual_time
async def test_what_a_guard_held_is_carried_out_when_it_is_told_to() -> None:
    registry = FakeRegistry()
    settings = MassDeathSettings(min_deaths=10, death_percent=50, hold_ms=60_000, after_hold="retire")
    clock = LoopClock()
    retirer = retirer_of(registry, settings)
    running = asyncio.ensure_future(retirer.run())
    for number in range(40):
        retirer.add("app", dead(number), clock.monotonic_ns())
    await asyncio.sleep(30)
    assert len(registry.retired) == 9
    await asyncio.sleep(600)
    assert len(registry.retired) == 40
    running.cancel()
