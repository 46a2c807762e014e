"""The schedule and the ways out of it: due, cancelled, or kept over a restart."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import UnknownNotification
from core.model import NotificationState
from core.notification_id import parse_id, parse_id_text
from core.reaction import DELIVERED
from core.storage import NotificationRecord, OpenSegment, ReceiptRow
from gateway.pipeline.archive import Archive
from gateway.pipeline.cancel import Cancelled, Canceller
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.pipeline_fakes import FakeJournal
from tests.unit.pipeline_stand import Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import in_virtual_time


def later(pipeline: Stand, key: str, after_ms: int, *tokens: str) -> pb.Notification:
    sent = message(key, *(tokens or ("ab",)))
    sent.send_at.FromMilliseconds(pipeline.clock.unix_ms() + after_ms)
    return sent


@in_virtual_time
async def test_what_is_due_goes_out_not_before_its_time() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        due = [later(pipeline, f"k{ms}", ms) for ms in (5_000, 250, 60_000, 20_000, 1)]
        await pipeline.accept(*due)
        begun_ms = pipeline.clock.unix_ms()
        seen: dict[str, int] = {}
        while len(seen) < 5:
            await asyncio.sleep(0.05)
            for batch in pipeline.apns.batches:
                for delivery in batch:
                    seen.setdefault(delivery.payload.decode(), pipeline.clock.unix_ms() - begun_ms)
        assert sorted(seen, key=lambda key: seen[key]) == ["k1", "k250", "k5000", "k20000", "k60000"]
        assert all(0 <= seen[key] - int(key[1:]) <= 300 for key in seen)
        await settle_down()
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_campaign_that_waits_for_room_holds_up_no_payment_that_falls_due_later() -> None:
    async with stand(StandOptions(capacity=100, admitted=1_000, streams=0)) as pipeline:
        campaign = later(pipeline, "campaign", 1_000, *(f"{n:04x}" for n in range(300)))
        campaign.notification_class = pb.NOTIFICATION_CLASS_MARKETING
        await pipeline.accept(campaign, later(pipeline, "payment", 2_000))
        await settle_down(5.0)
        assert not pipeline.apns.batches
        pipeline.apns.open(1)
        await settle_down()
        assert [delivery.payload for batch in pipeline.apns.batches for delivery in batch] == [b"payment"]
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(1_000)
        await settle_down(5.0)


@in_virtual_time
async def test_a_drain_in_the_moment_of_an_acceptance_ends_the_schedule() -> None:
    async with stand() as pipeline:
        await pipeline.accept(later(pipeline, "k", 60_000))
    # Leaving the pipeline cancels the schedule while it is being told of the notification.


@in_virtual_time
async def test_a_waiting_notification_is_kept_as_a_place_alone() -> None:
    async with stand() as pipeline:
        await pipeline.accept(later(pipeline, "k", 60_000))
        await settle_down(1.0)
        assert list(pipeline.underway) == []
        assert pipeline.journal.segments[1].states == bytes([NotificationState.SCHEDULED])


@in_virtual_time
async def test_a_journal_that_cannot_be_read_delays_and_loses_nothing() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        await pipeline.accept(later(pipeline, "k", 1_000), later(pipeline, "m", 5_000))
        pipeline.journal.unreadable = 4
        await settle_down(10.0)
        await pipeline.assert_at_rest()
        assert await pipeline.states() == [NotificationState.DELIVERED] * 2


@in_virtual_time
async def test_a_lifetime_counts_from_send_at() -> None:
    async with stand() as pipeline:
        sent = later(pipeline, "k", 10_000)
        sent.ttl.FromSeconds(2)
        pipeline.apns.open(0)
        await pipeline.accept(sent)
        await settle_down(11.5)
        assert await pipeline.states() == []
        await settle_down(1.5)
        assert await pipeline.states() == [NotificationState.EXPIRED]


class JournalReading:
    """core.storage.ReceiptReader over a fake journal."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal

    def notification(self, segment: int, index: int) -> NotificationRecord:
        if segment not in self._journal.segments:
            raise UnknownNotification
        stored = self._journal.segments[segment]
        closed = {(seq, at): state for seq, at, state in self._journal.closings()}
        began = NotificationState(stored.states[index]) if stored.states else NotificationState.ACCEPTED
        state = closed.get((segment, index), began)
        events = [update.events for update in self._journal.updates if update.segment == segment]
        frame = b"" if (segment, index) in closed else stored.frames[index]
        return NotificationRecord(state, stored.accepted_unix_ms, events, frame)

    def receipts_after(self, seq: int, limit_rows: int) -> list[ReceiptRow]:
        return []

    def last_receipt_seq(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Cancelling:
    """A canceller over a stand."""

    def __init__(self, pipeline: Stand) -> None:
        self._pipeline = pipeline
        self._archive = Archive(lambda _number: JournalReading(pipeline.journal), lambda: [0])
        self._canceller = Canceller(
            journal=pipeline.journal, underway=pipeline.underway, schedule=pipeline.schedule, reviver=pipeline.reviver,
            settler=pipeline.settler, archive=self._archive,
        )  # fmt: skip

    def close(self) -> None:
        self._archive.close()

    async def __call__(self, notification_id: str, tenant: str = "bank") -> Cancelled:
        return await self._canceller.cancel(parse_id_text(notification_id), self._pipeline.scope(tenant))


@in_virtual_time
async def test_cancelling_a_scheduled_notification_ends_it_once() -> None:
    async with stand() as pipeline:
        cancel = Cancelling(pipeline)
        pipeline.apns.answers_by_itself = DELIVERED
        ids = await pipeline.accept(later(pipeline, "k", 2_000), later(pipeline, "m", 2_000))
        assert await cancel(ids[0]) == (True, NotificationState.CANCELLED)
        assert await cancel(ids[0]) == (False, NotificationState.CANCELLED)
        await pipeline.settler.flush()
        assert await cancel(ids[0]) == (False, NotificationState.CANCELLED)
        await settle_down(3.0)
        assert [d.payload for batch in pipeline.apns.batches for d in batch] == [b"m"]
        await pipeline.assert_at_rest()
        cancel.close()


@in_virtual_time
async def test_one_that_falls_due_while_it_is_cancelled_is_told_the_truth() -> None:
    async with stand() as pipeline:
        cancel = Cancelling(pipeline)
        (notification_id,) = await pipeline.accept(later(pipeline, "k", 2_000))
        pipeline.apns.answers_by_itself = DELIVERED
        gate = asyncio.Event()
        load = pipeline.journal.load

        async def slow(segment: int, indexes: list[int]) -> list[bytes]:
            await gate.wait()
            return await load(segment, indexes)

        pipeline.journal.load = slow  # type: ignore[method-assign,assignment]
        cancelling = asyncio.ensure_future(cancel(notification_id))
        await settle_down(3.0)
        gate.set()
        told = await cancelling
        await settle_down(1.0)
        sent = sum(pipeline.apns.sent.values())
        assert sent == (0 if told.cancelled else 1)
        await pipeline.assert_at_rest()
        cancel.close()


@in_virtual_time
async def test_cancelling_reaches_what_waits_and_not_what_is_on_the_wire() -> None:
    async with stand() as pipeline:
        cancel = Cancelling(pipeline)
        pipeline.apns.open(1)
        (notification_id,) = await pipeline.accept(message("k", "ab", "cd", "ef"))
        await settle_down()
        assert await cancel(notification_id) == (True, NotificationState.ACCEPTED)
        await settle_down(1.0)
        pipeline.apns.answer()
        assert await cancel(notification_id) == (False, NotificationState.PARTIALLY_DELIVERED)
        assert sorted(await pipeline.reasons()) == ["", "CANCELLED", "CANCELLED"]
        await settle_down(1.0)
        assert await cancel(notification_id) == (False, NotificationState.PARTIALLY_DELIVERED)
        await pipeline.assert_at_rest()
        cancel.close()


@in_virtual_time
async def test_what_waits_for_the_registry_can_be_cancelled() -> None:
    async with stand() as pipeline:
        cancel = Cancelling(pipeline)
        pipeline.registry.failing = True
        pipeline.registry.devices["app", "lin"] = []
        (notification_id,) = await pipeline.accept(message("k", "ab", users=["lin"]))
        await settle_down()
        assert await cancel(notification_id) == (True, NotificationState.ACCEPTED)
        pipeline.registry.failing = False
        await settle_down(1.0)
        assert pipeline.apns.batches == []
        await pipeline.assert_at_rest()
        cancel.close()


@in_virtual_time
async def test_another_tenant_cancels_nothing() -> None:
    async with stand() as pipeline:
        cancel = Cancelling(pipeline)
        pipeline.apns.open(0)
        waiting, scheduled = await pipeline.accept(message("k", "ab"), later(pipeline, "m", 9_000))
        await settle_down()
        for notification_id in (waiting, scheduled):
            with pytest.raises(UnknownNotification):
                await cancel(notification_id, "rival")
        assert not pipeline.find(waiting).cancelled
        cancel.close()


class Recovery:
    """core.storage.JournalRecovery of what another pipeline left."""

    def __init__(self, segments: list[OpenSegment]) -> None:
        self._segments = segments

    async def recover(self, batch: int):  # type: ignore[no-untyped-def]
        yield self._segments

    async def recent_keys(self, since_unix_ms: int, batch: int):  # type: ignore[no-untyped-def]
        yield []


@in_virtual_time
async def test_a_replay_sends_what_was_open_and_schedules_what_is_not_due() -> None:
    async with stand() as before:
        ids = await before.accept(message("k", "ab"), later(before, "m", 5_000), message("n", "cd"))
        frames = before.journal.segments[1].frames
        stored = before.journal.segments[1]
    async with stand() as pipeline:
        pipeline.journal.segments[1] = stored
        pipeline.apns.answers_by_itself = DELIVERED
        open_messages = [
            (0, NotificationState.ACCEPTED, frames[0]),
            (1, NotificationState.SCHEDULED, frames[1]),
            (2, NotificationState.ACCEPTED, frames[2].replace(b"app", b"old")),
        ]
        recovery = Recovery([OpenSegment(1, stored.accepted_unix_ms, open_messages, {})])
        assert await pipeline.reviver.replay(recovery, pipeline.clock.unix_ms()) == 2
        await settle_down(1.0)
        receipts = await pipeline.receipts()
        assert [one.reason for one in receipts] == ["REFUSED_AFTER_RESTART", ""]
        assert receipts[1].notification_id == parse_id_text(ids[0])
        await settle_down(6.0)
        assert {parse_id(one.notification_id)[3] for one in await pipeline.receipts()} == {0, 1, 2}
        await pipeline.assert_at_rest()
