"""What quiet hours held back for a user comes as the app wants it: each, the newest of its kind, or one summary."""

from __future__ import annotations

from array import array

import pytest

from core.content.encryption import GenericText
from core.model import NotificationClass, Provider, Target
from core.policy.caps import CapFilter, CapRule, OverCap
from core.policy.people import QuietWindow, UserDevice
from core.policy.rules import AppRules, Backlog
from core.reaction import DELIVERED
from gateway.pipeline.personal import Veil
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.gated_stand import GatedStand, gated_stand, token_of
from tests.unit.pipeline_stand import message, settle_down
from tests.unit.policy_stand import app_rules
from tests.unit.virtual_time import in_virtual_time

HOUR_S = 3_600
TEXTS = {"en": ("You have {count} new messages", "..."), "zh": ("您有 {count} 条新消息", "...")}


def rules(backlog: Backlog, **fields: object) -> AppRules:
    # It is half past three in the afternoon when a test begins.
    windows = (QuietWindow(15 * 60, 20 * 60),)
    return app_rules(quiet_windows=windows, backlog=backlog, summary_texts=TEXTS, **fields)


async def hold(held: GatedStand, *titles: str, key: str = "", klass: int = pb.NOTIFICATION_CLASS_MARKETING) -> None:
    held.pipeline.apns.answers_by_itself = DELIVERED
    for title in titles:
        one = message(title, klass=klass, users=["ana", "bo"])
        one.collapse_key = key
        one.ttl.FromSeconds(3 * 24 * HOUR_S)
        await held.pipeline.accept(one)
        await settle_down()
    assert not held.pipeline.apns.batches


def shown(held: GatedStand, user: str) -> list[str]:
    """Return the titles that a user's first device got."""
    deliveries = [one for batch in held.pipeline.apns.batches for one in batch]
    return [one.payload.decode() for one in deliveries if one.token == token_of(user)]


def two_users(held: GatedStand) -> None:
    held.people.add("ana", locale="zh-CN")
    held.people.add("bo", locale="de")


@pytest.mark.parametrize(
    ("backlog", "ana", "bo"),
    [
        (Backlog.EACH, ["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        (Backlog.NEWEST, ["c", "d"], ["c", "d"]),
        (Backlog.SUMMARY, ["您有 4 条新消息"], ["You have 4 new messages"]),
    ],
)
@in_virtual_time
async def test_a_backlog_comes_as_the_app_wants_it(backlog: Backlog, ana: list[str], bo: list[str]) -> None:
    async with gated_stand(rules(backlog)) as held:
        two_users(held)
        await hold(held, "a", "b", "c")
        await hold(held, "d", key="other")
        await settle_down(5 * HOUR_S)
        assert (shown(held, "ana"), shown(held, "bo")) == (ana, bo)
        reasons = await held.pipeline.reasons()
        assert reasons.count("COLLAPSED") == 8 - len(ana) - len(bo)
        assert len(reasons) == 8
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_one_message_is_no_backlog() -> None:
    async with gated_stand(rules(Backlog.SUMMARY)) as held:
        two_users(held)
        await hold(held, "a")
        await settle_down(5 * HOUR_S)
        assert (shown(held, "ana"), shown(held, "bo")) == (["a"], ["a"])


@in_virtual_time
async def test_a_backlog_takes_one_place_under_a_cap() -> None:
    async with gated_stand(rules(Backlog.SUMMARY, caps=(CapRule("week", 1),))) as held:
        two_users(held)
        await hold(held, "a", "b", "c")
        await settle_down(5 * HOUR_S)
        assert shown(held, "ana") == ["您有 3 条新消息"]
        assert held.counted("ana") == [False]


@in_virtual_time
async def test_a_summary_that_must_wait_for_a_cap_still_names_all() -> None:
    day = CapRule("day", 1, 86_400, over=OverCap.DEFER)
    async with gated_stand(rules(Backlog.SUMMARY, caps=(day,))) as held:
        two_users(held)
        await hold(held, "a", "b")
        await settle_down(4.5 * HOUR_S)
        assert not held.pipeline.apns.batches
        # Meanwhile another message took the day's only place.
        key, now_s = held.key_of("ana"), held.pipeline.clock.unix_ms() // 1_000
        held.counters.commit_many(array("Q", [key]), array("I", [7]), array("Q", [0xFF]), now_s)
        await settle_down(26 * HOUR_S)
        assert shown(held, "ana") == ["您有 2 条新消息"]


@in_virtual_time
async def test_classes_are_summarised_apart() -> None:
    async with gated_stand(rules(Backlog.SUMMARY)) as held:
        two_users(held)
        await hold(held, "a", "b")
        await hold(held, "c", "d", "e", klass=pb.NOTIFICATION_CLASS_SERVICE)
        await settle_down(5 * HOUR_S)
        assert sorted(shown(held, "bo")) == ["You have 2 new messages", "You have 3 new messages"]


@in_virtual_time
async def test_a_summary_is_sealed_like_what_it_stands_for() -> None:
    veil = Veil({"en": GenericText("Wallet", "Open the app.")})
    async with gated_stand(rules(Backlog.SUMMARY), veils={"app": veil}) as held:
        two_users(held)
        await hold(held, "a", "b")
        await settle_down(5 * HOUR_S)
        assert (shown(held, "ana"), shown(held, "bo")) == (["Wallet"], ["Wallet"])


@in_virtual_time
async def test_two_sleeping_devices_hear_the_newest_both() -> None:
    async with gated_stand(rules(Backlog.NEWEST)) as held:
        # At half past three here, the phone is awake in New York, and the two at home sleep.
        phone, *home = (
            UserDevice(Target(Provider.APNS, token_of(f"device-{number}")), time_zone=zone)
            for number, zone in enumerate(("America/New_York", "UTC", "UTC"))
        )
        held.people.add("ana", phone, *home)
        held.pipeline.apns.answers_by_itself = DELIVERED
        await held.pipeline.accept(message("a", klass=pb.NOTIFICATION_CLASS_MARKETING, users=["ana"]))
        await settle_down()
        assert shown(held, "device-0") == ["a"]
        await settle_down(5 * HOUR_S)
        assert [shown(held, f"device-{number}") for number in range(3)] == [["a"]] * 3
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_devices_of_nobody_are_no_backlog_of_one_another_and_are_spread() -> None:
    async with gated_stand(rules(Backlog.NEWEST, jitter_s=1_800, time_zone="UTC")) as held:
        held.pipeline.apns.answers_by_itself = DELIVERED
        tokens = [token_of(f"stranger-{number}") for number in range(20)]
        for token in tokens:
            one = message(token, token, klass=pb.NOTIFICATION_CLASS_SERVICE)
            one.ttl.FromSeconds(3 * 24 * HOUR_S)
            await held.pipeline.accept(one)
        await settle_down()
        assert not held.pipeline.apns.batches
        await settle_down(6 * HOUR_S)
        batches = held.pipeline.apns.batches
        assert sorted(one.token for batch in batches for one in batch) == sorted(tokens)
        assert len(batches) > 10
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_a_device_of_nobody_hears_the_newest_of_its_own() -> None:
    async with gated_stand(rules(Backlog.NEWEST, time_zone="UTC")) as held:
        held.pipeline.apns.answers_by_itself = DELIVERED
        for title in ("a", "b"):
            one = message(title, token_of("stranger"), klass=pb.NOTIFICATION_CLASS_SERVICE)
            one.ttl.FromSeconds(3 * 24 * HOUR_S)
            await held.pipeline.accept(one)
        await settle_down(5 * HOUR_S)
        assert shown(held, "stranger") == ["b"]
        await held.pipeline.assert_at_rest()


@in_virtual_time
async def test_devices_of_nobody_are_capped_each_for_itself() -> None:
    week = CapRule("week", 1, filter=CapFilter(classes=frozenset({NotificationClass.SERVICE})))
    async with gated_stand(app_rules(quiet_windows=(), caps=(week,))) as held:
        held.pipeline.apns.answers_by_itself = DELIVERED
        for number in range(4):
            token = token_of(f"stranger-{number % 2}")
            await held.pipeline.accept(message(str(number), token, klass=pb.NOTIFICATION_CLASS_SERVICE))
            await settle_down()
        assert [shown(held, f"stranger-{number}") for number in range(2)] == [["0"], ["1"]]
        assert sorted(await held.pipeline.reasons()) == ["", "", "FREQUENCY_CAP", "FREQUENCY_CAP"]


@in_virtual_time
async def test_what_waits_for_an_app_that_left_the_settings_ends_by_its_last_rules() -> None:
    async with gated_stand(rules(Backlog.NEWEST)) as held:
        two_users(held)
        await hold(held, "a", "b")
        held.people.change("bo", choices={})
        held.policies.set_rules({})
        await settle_down(5 * HOUR_S)
        assert (shown(held, "ana"), shown(held, "bo")) == (["b"], [])
        assert sorted(await held.pipeline.reasons()) == ["", "COLLAPSED", "COLLAPSED", "NO_CONSENT"]
        await held.pipeline.assert_at_rest()
