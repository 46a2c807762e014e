"""What waits in a lane is decided anew where something changed: nothing is sent against the user's newest word."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import NotificationState
from core.policy.caps import CapRule, Window
from core.policy.gates import Policy
from core.policy.people import QuietWindow
from core.reaction import DELIVERED, Outcome, OutcomeKind
from gateway.pipeline.tally import Tally
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.gated_stand import GatedStand, gated_stand, token_of
from tests.unit.pipeline_stand import StandOptions, message, settle_down
from tests.unit.policy_stand import app_rules
from tests.unit.virtual_time import START_UNIX_MS, VirtualLoop, in_virtual_time

MARKETING, SERVICE = pb.NOTIFICATION_CLASS_MARKETING, pb.NOTIFICATION_CLASS_SERVICE
TRANSACTIONAL, SECURITY = pb.NOTIFICATION_CLASS_TRANSACTIONAL, pb.NOTIFICATION_CLASS_SECURITY
CLOSED = StandOptions(streams=0)
CAPPED = app_rules(quiet_windows=(), caps=(CapRule("week", 1),))
HOUR_S = 3_600


async def waiting(held: GatedStand, *users: str, klass: int = MARKETING, key: str = "k") -> None:
    """Have a notification planned, and wait behind a route without streams."""
    await held.pipeline.accept(message(key, klass=klass, users=users))
    await settle_down()
    assert not held.pipeline.apns.batches


async def let_through(held: GatedStand) -> None:
    held.pipeline.apns.answers_by_itself = DELIVERED
    held.pipeline.apns.open(100)
    await settle_down()


def sent(held: GatedStand) -> list[str]:
    return [delivery.token for batch in held.pipeline.apns.batches for delivery in batch]


@in_virtual_time
async def test_a_consent_that_is_withdrawn_holds_back_what_waits_and_its_count() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        held.people.add("bob")
        await waiting(held, "ana", "bob")
        assert held.counted("ana") == [True]
        held.people.change("ana", choices={("promotion", 1): False})
        await let_through(held)
        assert sent(held) == [token_of("bob")]
        assert sorted(await held.pipeline.reasons()) == ["", "USER_CATEGORY_CHANNEL"]
        assert (held.counted("ana"), held.counted("bob")) == ([], [False])
        assert await held.pipeline.states() == [NotificationState.PARTIALLY_DELIVERED]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_a_fault_of_ours_ends_what_waited_with_a_receipt_and_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana")
        held.people.change("ana", tier="gold")

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Policy, "decide_each", fail)
        await let_through(held)
        assert sent(held) == []
        assert await held.pipeline.reasons() == ["INTERNAL"]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_an_erased_user_hears_nothing_of_what_waited() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana")
        del held.people.users["ana"], held.people.devices["ana"]
        held.people.touch("ana")
        await let_through(held)
        assert sent(held) == []
        assert await held.pipeline.reasons() == ["NO_CONSENT"]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_a_change_that_matters_nothing_lets_it_pass_and_counts_once() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana")
        held.people.change("ana", locale="zh-CN")
        await let_through(held)
        assert sent(held) == [token_of("ana")]
        assert held.counted("ana") == [False]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_what_waits_unchanged_is_not_read_again() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana")
        read = held.people.statements
        await let_through(held)
        assert (sent(held), held.people.statements) == ([token_of("ana")], read)


@pytest.mark.parametrize("klass", [TRANSACTIONAL, SECURITY])
@in_virtual_time
async def test_urgent_ones_are_never_looked_at_again(klass: int) -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        held.pipeline.registry.devices["app", "ana"] = [held.people.devices["ana"][0].target]
        await waiting(held, "ana", klass=klass)
        held.people.change("ana", choices={("promotion", 1): False, ("statement", 1): False})
        await let_through(held)
        assert sent(held) == [token_of("ana")]


@in_virtual_time
async def test_a_service_notice_is_held_back_once_it_is_switched_off() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana", klass=SERVICE)
        held.people.change("ana", choices={("upkeep", 1): False})
        await let_through(held)
        assert (sent(held), await held.pipeline.reasons()) == ([], ["USER_CATEGORY_CHANNEL"])


@in_virtual_time
async def test_quiet_hours_that_began_meanwhile_send_it_back_to_wait_for_the_morning() -> None:
    # It is a quarter past three in the afternoon when the test begins.
    async with gated_stand(app_rules(quiet_windows=(QuietWindow(16 * 60, 20 * 60),)), CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana")
        await settle_down(HOUR_S)
        await let_through(held)
        assert (sent(held), len(held.deferrals), held.pipeline.queue.in_use) == ([], 1, 0)
        await settle_down(4 * HOUR_S)
        assert sent(held) == [token_of("ana")]
        assert await held.pipeline.reasons() == [""]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_what_waits_again_can_be_cancelled() -> None:
    async with gated_stand(app_rules(quiet_windows=(QuietWindow(16 * 60, 20 * 60),)), CLOSED) as held:
        held.people.add("ana")
        (notification_id,) = await held.pipeline.accept(message("k", klass=MARKETING, users=["ana"]))
        await settle_down(HOUR_S)
        await let_through(held)
        notification = held.pipeline.find(notification_id)
        notification.cancelled = True
        held.gates.cancel(notification)
        assert await held.pipeline.states() == [NotificationState.CANCELLED]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_a_retry_after_the_withdrawal_is_not_made() -> None:
    async with gated_stand(CAPPED) as held:
        held.people.add("ana")
        await held.pipeline.accept(message("k", klass=MARKETING, users=["ana"]))
        await settle_down()
        held.people.change("ana", choices={("promotion", 1): False})
        held.pipeline.apns.answer(Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable"))
        await settle_down(120)
        assert len(sent(held)) == 1
        assert await held.pipeline.reasons() == ["USER_CATEGORY_CHANNEL"]
        assert held.counted("ana") == []


@in_virtual_time
async def test_reservations_that_would_have_expired_are_made_anew_so_that_no_cap_is_overshot() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana", key="first")
        # The first one's reservation is forgotten after an hour, and the second one takes its place.
        await settle_down(1.5 * HOUR_S)
        await waiting(held, "ana", key="second")
        await let_through(held)
        assert len(sent(held)) == 1
        assert sorted(await held.pipeline.reasons()) == ["", "FREQUENCY_CAP"]
        assert held.counted("ana") == [False]


@in_virtual_time
async def test_too_many_lowers_the_cap_for_what_waits_already() -> None:
    weekly = app_rules(quiet_windows=(), caps=(CapRule("week", 3, adaptive=True),))
    async with gated_stand(weekly, CLOSED) as held:
        held.people.add("ana")
        await waiting(held, "ana", key="first")
        await waiting(held, "ana", key="second")
        held.people.change("ana", too_many=True)
        await let_through(held)
        assert len(sent(held)) == 1
        assert sorted(await held.pipeline.reasons()) == ["", "FREQUENCY_CAP"]


@in_virtual_time
async def test_a_token_that_changed_hands_goes_by_its_new_owners_word() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        held.people.add("ana")
        held.people.add("bob", choices={})
        await held.pipeline.accept(message("k", token_of("ana"), klass=MARKETING))
        await settle_down()
        held.people.devices["bob"], held.people.devices["ana"] = held.people.devices["ana"], []
        held.people.touch("ana")
        await let_through(held)
        assert (sent(held), await held.pipeline.reasons()) == ([], ["NO_CONSENT"])


@in_virtual_time
async def test_changes_without_end_do_not_keep_it_from_leaving() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        users = [f"user-{number}" for number in range(300)]
        for user in users:
            held.people.add(user)
        await waiting(held, *users)
        held.pipeline.apns.answers_by_itself = DELIVERED
        held.pipeline.apns.open(10)
        for _ in range(100):
            for user in users:
                held.people.touch(user)
            await settle_down(0.01)
        assert sorted(sent(held)) == sorted(token_of(user) for user in users)
        await held.pipeline.assert_at_rest()


RULES = (
    CapRule("minute", 1, 60), CapRule("ten minutes", 2, 600), CapRule("hour", 1, HOUR_S),
    CapRule("calendar hour", 1, window=Window.HOUR),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(["accept", "open", "close"]), st.sampled_from([1, 20, 45, 100, 700, 2_000])),
    min_size=3, max_size=10,
)  # fmt: skip


def overshoots(rule: CapRule, sent_ms: list[int]) -> bool:
    """Tell whether any window holds more than the rule allows, by when messages went on the wire."""
    if rule.window is Window.HOUR:
        hours = [at_ms // (HOUR_S * 1_000) for at_ms in sent_ms]
        return any(hours.count(hour) > rule.limit for hour in hours)
    later = sent_ms[rule.limit :]
    return any(after - before < rule.period_s * 1_000 for before, after in zip(sent_ms, later, strict=False))


@settings(max_examples=15, deadline=None)
@given(rule=st.sampled_from(RULES), steps=STEPS)
def test_however_long_messages_wait_no_window_ever_gets_more_than_its_cap(
    rule: CapRule, steps: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        async with gated_stand(app_rules(quiet_windows=(), caps=(rule,)), CLOSED) as held:
            held.people.add("ana")
            channel = held.pipeline.apns
            channel.answers_by_itself = DELIVERED
            for number, (what, wait_s) in enumerate(steps):
                if what == "accept":
                    await held.pipeline.accept(message(str(number), klass=MARKETING, users=["ana"]))
                else:
                    channel.open(100 if what == "open" else 0)
                await settle_down(wait_s)
            channel.open(100)
            await settle_down(5)
            deliveries = [one for batch in channel.batches for one in batch]
            assert not overshoots(rule, [START_UNIX_MS + one.submitted_ns // 1_000_000 for one in deliveries])
            await held.pipeline.assert_at_rest()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


@in_virtual_time
async def test_a_night_that_began_holds_back_what_waits_for_a_device_of_nobody() -> None:
    night = app_rules(quiet_windows=(QuietWindow(16 * 60, 20 * 60),), time_zone="UTC")
    async with gated_stand(night, CLOSED) as held:
        await held.pipeline.accept(message("k", token_of("stranger"), klass=SERVICE))
        await settle_down(HOUR_S)
        await let_through(held)
        assert (sent(held), len(held.deferrals), held.pipeline.queue.in_use) == ([], 1, 0)
        await settle_down(4 * HOUR_S)
        assert sent(held) == [token_of("stranger")]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_a_clock_that_is_set_back_does_not_keep_a_decision_in_force() -> None:
    async with gated_stand(CAPPED, CLOSED) as held:
        tally = Tally(held.policies["app"], (), 1)
        tally.hold("ana", 1, 0, START_UNIX_MS)
        tally.settled_unix_ms = START_UNIX_MS + 1_000
        assert tally.holds(held.policies["app"], 2, START_UNIX_MS + 999)
        assert not tally.holds(held.policies["app"], 2, START_UNIX_MS - HOUR_S * 1_000)
        assert not tally.holds(held.policies["app"], 1, START_UNIX_MS - HOUR_S * 1_000)
