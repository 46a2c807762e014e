"""Erasing a user from one worker: what waits ends, what others wait for goes on, what is on the wire is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from core.delivery import Notification
from core.erasing import Traces
from core.model import DeliveryState, NotificationState, Provider, Target
from core.reaction import DELIVERED, Outcome, OutcomeKind
from core.storage import EmptiedMessage
from gateway.erasure.local import LocalErasure
from gateway.erasure.subject import Subject, is_husk
from gateway.frames import parse_frame
from gateway.pipeline.deferral import Deferrals, Deferred
from tests.unit.pipeline_fakes import FakeJournal
from tests.unit.pipeline_stand import HASHER, Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import in_virtual_time

MINE, OTHERS = "aa", "bb"
ME = Subject("app", "lin", frozenset({(int(Provider.APNS), MINE)}))
FULL = StandOptions(streams=0)


class ErasingJournal:
    """core.storage.JournalErasing over a fake journal."""

    def __init__(self, journal: FakeJournal) -> None:
        self.journal = journal
        self.forgot = 0

    async def erase_frames(self, traces: Traces) -> tuple[int, list[EmptiedMessage]]:
        count, emptied = 0, []
        for segment in self.journal.segments.values():
            states = segment.states or bytes(len(segment.frames))
            for index, frame in enumerate(segment.frames):
                edited = traces.edit(frame) if frame and traces.may_name(frame) else None
                if edited is not None:
                    count += 1
                    segment.frames[index] = edited.frame
                    if edited.emptied:
                        state = NotificationState(states[index])
                        emptied.append(EmptiedMessage(segment.seq, index, state, frame))
        return count, emptied

    async def unlink_receipts(self, traces: Traces) -> int:
        return len(traces.device_keys)

    async def forget_deleted(self, traces: Traces) -> int:
        self.forgot += 1
        return 0


class Gates:
    """Lets go of nothing."""

    def release(self, notifications: Iterable[Notification]) -> None:
        """Be told."""


def erasure_of(pipeline: Stand, deferrals: Deferrals | None = None) -> LocalErasure:
    pipeline.reviver.replayed.set()
    return LocalErasure(
        journal=ErasingJournal(pipeline.journal), underway=pipeline.underway, schedule=pipeline.schedule,
        reviver=pipeline.reviver, settler=pipeline.settler, queue=pipeline.queue, retries=pipeline.retries,
        deferrals=deferrals or Deferrals(pipeline.clock), gates=Gates(), hasher=HASHER.derive("devices"),
        clock=pipeline.clock,
    )  # fmt: skip


def register(pipeline: Stand) -> None:
    pipeline.registry.devices["app", "lin"] = [Target(Provider.APNS, MINE, registered_unix_ms=1)]
    pipeline.registry.devices["app", "wei"] = [Target(Provider.APNS, OTHERS, registered_unix_ms=1)]


@in_virtual_time
async def test_what_waits_in_lanes_ends_and_others_wait_on() -> None:
    async with stand(FULL) as pipeline:
        register(pipeline)
        await pipeline.accept(
            message("alone", users=["lin"]), message("token", MINE.upper()), message("both", users=["lin", "wei"]),
            message("other", OTHERS),
        )  # fmt: skip
        await settle_down()
        counts = await erasure_of(pipeline).erase(ME)
        assert counts["journal.payloads"] == 3
        assert pipeline.queue.in_use == 2
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.apns.open(10)
        await settle_down()
        assert sorted(one.token for batch in pipeline.apns.batches for one in batch) == [OTHERS] * 2
        await pipeline.assert_at_rest()
        states = [receipt.state for receipt in await pipeline.receipts()]
        assert sorted(states) == [DeliveryState.DELIVERED] * 2 + [DeliveryState.CANCELLED] * 3


@in_virtual_time
async def test_what_is_between_attempts_is_not_tried_again() -> None:
    async with stand() as pipeline:
        register(pipeline)
        await pipeline.accept(message("both", users=["lin", "wei"]))
        await settle_down()
        pipeline.apns.answer(Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable"))
        assert len(pipeline.retries) == 2
        assert (await erasure_of(pipeline).erase(ME))["deliveries"] == 1
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(30.0)
        assert [one.token for one in pipeline.apns.batches[-1]] == [OTHERS]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_what_is_on_the_wire_is_awaited_and_not_repeated() -> None:
    async with stand() as pipeline:
        register(pipeline)
        await pipeline.accept(message("alone", users=["lin"]))
        await settle_down()
        erasing = asyncio.ensure_future(erasure_of(pipeline).erase(ME))
        await settle_down(1.0)
        assert not erasing.done()
        pipeline.apns.answer(Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable"))
        await erasing
        await settle_down(60.0)
        assert len(pipeline.apns.batches) == 1
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_provider_that_never_answers_does_not_hold_an_erasure_up() -> None:
    async with stand() as pipeline:
        register(pipeline)
        await pipeline.accept(message("alone", users=["lin"]))
        await settle_down()
        async with asyncio.timeout(60):
            await erasure_of(pipeline).erase(ME)
        assert is_husk(parse_frame(pipeline.journal.segments[1].frames[0]).message)
        pipeline.apns.answer(DELIVERED)
        await settle_down()
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_what_waits_for_its_time_is_cancelled_or_comes_for_the_others_alone() -> None:
    async with stand() as pipeline:
        register(pipeline)
        pipeline.apns.answers_by_itself = DELIVERED
        sent = [message("alone", users=["lin"]), message("both", MINE, users=["lin", "wei"])]
        for one in sent:
            one.send_at.FromMilliseconds(pipeline.clock.unix_ms() + 5_000)
        await pipeline.accept(*sent)
        await settle_down()
        assert (await erasure_of(pipeline).erase(ME))["deliveries"] == 1
        assert await pipeline.states() == [NotificationState.CANCELLED]
        await settle_down(6.0)
        assert [one.token for batch in pipeline.apns.batches for one in batch] == [OTHERS]
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_husk_that_a_killed_worker_left_ends_as_cancelled() -> None:
    async with stand(FULL) as pipeline:
        await pipeline.accept(message("alone", users=["lin"]))
        (frame,) = pipeline.journal.segments[1].frames
        edited = ME.edit(frame)
        assert edited is not None
        assert pipeline.reviver.revive(7, 0, edited.frame) is None
        pipeline.journal.segments[7] = pipeline.journal.segments[1]._replace(seq=7, frames=[edited.frame])
        assert (await pipeline.reasons())[-1] == "ERASED"


@in_virtual_time
async def test_whoever_was_told_to_wait_ends_with_a_receipt_that_leads_to_nobody() -> None:
    async with stand(FULL) as pipeline:
        register(pipeline)
        deferrals = Deferrals(pipeline.clock)
        await pipeline.accept(message("both", users=["lin", "wei"]))
        await settle_down()
        (one,) = list(pipeline.underway)
        one.open_deliveries += 2
        for user in ("lin", "wei"):
            deferrals.add(Deferred(one, user, pipeline.clock.unix_ms() // 1_000 + 60, None))
        assert (await erasure_of(pipeline, deferrals).erase(ME))["deliveries"] == 2
        assert len(deferrals) == 1
        told = await pipeline.receipts()
        assert [(receipt.state, receipt.reason) for receipt in told] == [(DeliveryState.CANCELLED, "ERASED")] * 2
        assert 0 in {receipt.device_key for receipt in told}
