"""Planning: every accepted notification becomes deliveries or an end with a reason."""

from __future__ import annotations

import asyncio

from core.delivery import Notification
from core.model import DeliveryState, Environment, NotificationState, Provider, Target
from core.reaction import DELIVERED
from core.storage import PartlyFinished
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.pipeline_fakes import BROKEN, REFUSED
from tests.unit.pipeline_stand import HASHER, Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import in_virtual_time


def give(pipeline: Stand, user: str, *tokens: str, provider: Provider = Provider.APNS) -> None:
    targets = [Target(provider, token, Environment.PRODUCTION, 5_000) for token in tokens]
    pipeline.registry.devices.setdefault(("app", user), []).extend(targets)


@in_virtual_time
async def test_a_user_without_devices_ends_with_a_reason() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", users=["nobody"]))
        await settle_down()
        assert await pipeline.reasons() == ["NO_DEVICES"]
        assert await pipeline.states() == [NotificationState.FAILED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_users_devices_and_named_ones_are_merged_and_the_registered_form_wins() -> None:
    async with stand() as pipeline:
        give(pipeline, "lin", "ab", "cd")
        give(pipeline, "lin", "fcm-token", provider=Provider.FCM)
        give(pipeline, "wei", "cd")
        await pipeline.accept(message("k", "ab", "ef", users=["lin", "wei", "nobody"]))
        await settle_down()
        sent = {delivery.token: delivery.registered_unix_ms for delivery in pipeline.apns.in_flight}
        assert sent == {"ab": 5_000, "cd": 5_000, "ef": 0}
        assert [delivery.token for delivery in pipeline.fcm.in_flight] == ["fcm-token"]


@in_virtual_time
async def test_one_lookup_serves_a_whole_segment() -> None:
    async with stand() as pipeline:
        for i in range(20):
            give(pipeline, f"u{i}", f"{i:02x}")
        await pipeline.accept(*(message(f"k{i}", users=[f"u{i}"]) for i in range(20)))
        await settle_down()
        assert (len(pipeline.apns.in_flight), pipeline.registry.lookups) == (20, 1)


@in_virtual_time
async def test_an_environment_without_a_route_ends_with_a_reason() -> None:
    async with stand() as pipeline:
        sent = message("k", "ab", "cd")
        sent.devices[1].environment = pb.ENVIRONMENT_SANDBOX
        pipeline.apns.answers_by_itself = DELIVERED
        await pipeline.accept(sent)
        await settle_down()
        assert sorted(await pipeline.reasons()) == ["", "NO_ROUTE"]
        assert await pipeline.states() == [NotificationState.PARTIALLY_DELIVERED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_content_that_a_provider_would_refuse_ends_with_its_word() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", "ab", "cd", title=REFUSED))
        await settle_down()
        receipts = await pipeline.receipts()
        assert [(one.reason, one.state) for one in receipts] == [("PayloadTooLarge", DeliveryState.FAILED)] * 2
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_fault_of_ours_ends_what_it_touches_and_stops_nothing() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        many = [f"{i:04x}" for i in range(300)]
        await pipeline.accept(message("good", *many), message("bad", "ab", title=BROKEN), message("other", "cd"))
        await pipeline.accept(message("next", "ef"))
        await settle_down(1.0)
        reasons = await pipeline.reasons()
        # The first strides were queued before; what was not ends with a word of ours.
        assert "INTERNAL" in reasons
        assert reasons.count("") >= 257
        assert len(reasons) == 303
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_registry_that_is_away_holds_users_and_nobody_else() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        give(pipeline, "lin", "ab")
        pipeline.registry.failing = True
        await pipeline.accept(message("user", users=["lin"]))
        await settle_down(30.0)
        await pipeline.accept(message("token", "cd"))
        await settle_down(0.1)
        assert sorted(pipeline.apns.sent.values()) == [1]
        pipeline.registry.failing = False
        await settle_down(1.0)
        assert await pipeline.states() == [NotificationState.DELIVERED] * 2
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_more_deliveries_than_the_queue_holds_wait_for_room() -> None:
    async with stand(StandOptions(capacity=1_000, streams=100)) as pipeline:
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(3_000))))
        await settle_down()
        assert pipeline.queue.in_use <= 1_000
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.answer()
        await settle_down(5.0)
        assert len(await pipeline.receipts()) == 3_000
        assert await pipeline.states() == [NotificationState.DELIVERED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_campaign_leaves_room_for_what_is_urgent() -> None:
    async with stand(StandOptions(capacity=1_000, admitted=100_000)) as pipeline:
        pipeline.apns.open(0)
        await pipeline.accept(message("campaign", *(f"{i:04x}" for i in range(5_000)), klass=4))
        await settle_down()
        assert pipeline.queue.in_use <= 900
        pipeline.apns.open(10)
        await pipeline.accept(message("payment", "ab"))
        await settle_down(0.01)
        assert "payment" in {delivery.payload.decode() for delivery in pipeline.apns.in_flight}


@in_virtual_time
async def test_nobody_waits_for_room_once_the_dispatcher_stopped() -> None:
    async with stand(StandOptions(capacity=1_000, admitted=100_000)) as pipeline:
        pipeline.apns.open(0)
        pipeline.registry.failing = True
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(3_000))))
        await pipeline.accept(message("m", *(f"{i:04x}" for i in range(3_000)), klass=4))
        await pipeline.accept(message("n", *(f"{i:04x}" for i in range(3_000)), klass=4))
        await pipeline.accept(message("user", users=["lin"]))
        await settle_down()
        pipeline.dispatcher.stop()
        await settle_down(2.0)
        # All plans ended, and their notifications did not: the journal has them.
        assert pipeline.intake.taking == 0
        assert await pipeline.states() == []


@in_virtual_time
async def test_devices_that_were_final_before_a_restart_are_passed_over() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.intake.close()
        notification = placed(pipeline, "ab", "cd", "ef")
        keys = HASHER.derive("devices")
        done = PartlyFinished(frozenset({keys.hash64("ab"), keys.hash64("ef")}), 1 << DeliveryState.FAILED)
        pipeline.underway.add([notification])
        await pipeline.planner.plan_safely([notification], {notification: done})
        await settle_down()
        assert [[d.token for d in batch] for batch in pipeline.apns.batches] == [["cd"]]
        assert pipeline.settler is not None
        closed = await closings(pipeline)
        assert closed == [NotificationState.PARTIALLY_DELIVERED]


async def closings(pipeline: Stand) -> list[NotificationState]:
    await pipeline.settler.flush()
    return [state for _, _, state in pipeline.journal.closings()]


def placed(pipeline: Stand, *tokens: str) -> Notification:
    from core.delivery import assign_place
    from gateway.convert import to_notification

    notification = to_notification(message("k", *tokens), pipeline.scope(), pipeline.clock.unix_ms())
    assign_place(notification, bytes(15) + b"\x01", 1, 0)
    notification.recovered = True
    return notification


@in_virtual_time
async def test_what_is_cancelled_while_it_waits_for_the_registry_is_never_sent() -> None:
    async with stand() as pipeline:
        give(pipeline, "lin", "ab")
        pipeline.registry.failing = True
        (notification_id,) = await pipeline.accept(message("k", users=["lin"]))
        await settle_down()
        pipeline.find(notification_id).cancelled = True
        pipeline.registry.failing = False
        await settle_down(1.0)
        assert pipeline.apns.batches == []
        assert await pipeline.states() == [NotificationState.CANCELLED]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_planning_a_long_list_lets_the_loop_breathe() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(2_000))))
        turns = 0
        while pipeline.intake.taking:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 2_000 // 256
