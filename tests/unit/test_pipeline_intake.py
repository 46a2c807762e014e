"""Intake: what is accepted is durable and new; what is not leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from core.errors import (
    ContentRefused,
    Failure,
    IdempotencyConflict,
    InvalidRequest,
    Overloaded,
    PushError,
    Unavailable,
)
from core.model import NotificationState
from core.reaction import DELIVERED
from gateway.frames import parse_frame
from gateway.pipeline.intake import Taken
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.pipeline_fakes import BROKEN, REFUSED
from tests.unit.pipeline_stand import Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import in_virtual_time


def errors(taken: list[Taken]) -> list[type[PushError] | None]:
    return [None if one.error is None else type(one.error) for one in taken]


@in_virtual_time
async def test_calls_that_come_together_share_a_segment() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        answers = await asyncio.gather(*(pipeline.submit(message(f"k{i}", "ab")) for i in range(50)))
        assert len(pipeline.journal.segments) == 1
        assert len({taken[0].notification_id for taken in answers}) == 50
        await settle_down()
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_segment_never_holds_more_than_a_thousand() -> None:
    async with stand() as pipeline:
        batches = [[message(f"{i}-{j}", "ab") for j in range(400)] for i in range(6)]
        await asyncio.gather(*(pipeline.submit(*batch) for batch in batches))
        assert [len(one.frames) for one in pipeline.journal.segments.values()] == [800, 800, 800]


@in_virtual_time
async def test_nothing_is_answered_before_it_is_durable() -> None:
    async with stand() as pipeline:
        pipeline.journal.gate.clear()
        call = asyncio.ensure_future(pipeline.submit(message("k", "ab")))
        await settle_down(10.0)
        assert not call.done()
        assert pipeline.apns.batches == []
        pipeline.journal.gate.set()
        await call
        await settle_down()
        assert len(pipeline.apns.batches) == 1


@in_virtual_time
async def test_a_frame_gives_tenant_time_and_message_back() -> None:
    async with stand() as pipeline:
        sent = message("k", "ab")
        await pipeline.accept(sent)
        frame = parse_frame(pipeline.journal.segments[1].frames[0])
        assert (frame.tenant, frame.message) == ("bank", sent)
        assert frame.accepted_unix_ms == pipeline.journal.segments[1].accepted_unix_ms


@in_virtual_time
async def test_a_repeated_key_is_a_duplicate_across_calls_and_within_one() -> None:
    async with stand() as pipeline:
        (first,) = await pipeline.accept(message("k", "ab"))
        again, new, twice = await pipeline.submit(message("k", "ab"), message("m", "ab"), message("m", "ab"))
        assert (again.notification_id, again.duplicate) == (first, True)
        assert (new.duplicate, twice.duplicate) == (False, True)
        assert twice.notification_id == new.notification_id
        segment = pipeline.journal.segments[2]
        assert [bool(frame) for frame in segment.frames] == [False, True, False]
        assert list(segment.states) == [NotificationState.SUPPRESSED, 0, NotificationState.SUPPRESSED]
        # Their places must not lead to them after a restart.
        assert segment.keys[:16] == segment.keys[32:] == bytes(16)


@in_virtual_time
async def test_a_key_belongs_to_its_tenant_and_app() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", "ab"))
        (other,) = await pipeline.submit(message("k", "ab"), tenant="rival")
        assert (other.duplicate, other.error) == (False, None)


@in_virtual_time
async def test_a_key_with_another_body_conflicts() -> None:
    async with stand() as pipeline:
        (first,) = await pipeline.accept(message("k", "ab"))
        (later,) = await pipeline.submit(message("k", "ab", title="other"))
        assert isinstance(later.error, IdempotencyConflict)
        assert later.error.notification_id == first
        inside = await pipeline.submit(message("m", "ab"), message("m", "ab", title="other"))
        assert errors(inside) == [None, IdempotencyConflict]


@in_virtual_time
async def test_a_key_that_another_call_is_accepting_is_to_be_tried_again() -> None:
    async with stand() as pipeline:
        pipeline.journal.gate.clear()
        first = asyncio.ensure_future(pipeline.submit(message("k", "ab")))
        await settle_down()
        (second,) = await pipeline.submit(message("k", "ab"))
        assert isinstance(second.error, Overloaded)
        pipeline.journal.gate.set()
        (taken,) = await first
        (third,) = await pipeline.submit(message("k", "ab"))
        assert (third.duplicate, third.notification_id) == (True, taken.notification_id)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("failure", [Unavailable("no disk"), Overloaded("the journal", 250)])
@in_virtual_time
async def test_what_the_journal_refuses_was_not_accepted_and_may_be_sent_again(
    at_once: bool, failure: PushError
) -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("known", "ab"))
        if at_once:
            pipeline.journal.refusal = failure
        else:
            pipeline.journal.failure = failure
        new, other, known = message("k", "ab"), message("k", "ab", title="x"), message("known", "ab")
        taken = await pipeline.submit(new, new, other, known, message(""))
        # Repetitions of what was not accepted were not accepted either; what is known or wrong stays so.
        assert errors(taken) == [type(failure)] * 3 + [None, InvalidRequest]
        assert taken[3].duplicate
        assert pipeline.intake.taking == 0
        pipeline.journal.refusal = pipeline.journal.failure = None
        (again,) = await pipeline.submit(message("k", "ab"))
        assert (again.error, again.duplicate) == (None, False)


@in_virtual_time
async def test_a_full_window_sheds_new_keys_and_still_knows_the_old() -> None:
    async with stand(StandOptions(dedup_capacity=100)) as pipeline:
        taken = await pipeline.submit(*(message(f"k{i}", "ab") for i in range(150)))
        shed = [i for i, one in enumerate(taken) if isinstance(one.error, Overloaded)]
        assert len(shed) >= 50
        assert 0 not in shed
        (again,) = await pipeline.submit(message("k0", "ab"))
        assert again.duplicate
        assert len(pipeline.journal.accepted()) == 150 - len(shed)
        # Also where nothing of a call finds room, each message has its answer.
        assert errors(await pipeline.submit(message("x", "ab"))) == [Overloaded]
        assert errors(await pipeline.submit(message("y", "ab"), message("z", "ab"))) == [Overloaded, Overloaded]


@in_virtual_time
async def test_wrong_messages_are_refused_beside_good_ones() -> None:
    async with stand() as pipeline:
        long = message("m", "ab", title=REFUSED)
        long.apns.category = "payment"
        taken = await pipeline.submit(message("k", "ab"), message("", "ab"), long, message("l", "zz"))
        assert errors(taken) == [None, InvalidRequest, ContentRefused, InvalidRequest]
        assert len(pipeline.journal.accepted()) == 1


@in_virtual_time
async def test_only_what_might_be_refused_is_rendered_ahead() -> None:
    async with stand() as pipeline:
        long, odd = message("long", "ab"), message("odd", "ab")
        long.content.body = "x" * 2_000
        odd.push_type = pb.PUSH_TYPE_VOIP
        await pipeline.accept(message("plain", "ab"), long, odd)
        assert pipeline.prechecked == ["long", "odd"]


@in_virtual_time
async def test_an_unforeseen_fault_costs_only_the_call_that_holds_it() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        poison = message("poison", "ab", title=BROKEN)
        poison.apns.category = "rendered ahead"
        calls = (pipeline.submit(sent) for sent in (message("a", "ab"), poison, message("b", "ab")))
        good, bad, other = await asyncio.gather(*calls)
        assert errors([*good, *bad, *other]) == [None, Failure, None]
        (next_one,) = await pipeline.submit(message("c", "ab"))
        assert next_one.error is None
        await settle_down()
        await pipeline.assert_at_rest()


@in_virtual_time
async def test_a_caller_that_left_costs_nothing_and_its_message_is_accepted() -> None:
    async with stand() as pipeline:
        pipeline.apns.answers_by_itself = DELIVERED
        pipeline.journal.gate.clear()
        gone = asyncio.ensure_future(pipeline.submit(message("k", "ab")))
        kept = asyncio.ensure_future(pipeline.submit(message("m", "ab")))
        await settle_down()
        gone.cancel()
        pipeline.journal.gate.set()
        assert (await kept)[0].error is None
        await settle_down()
        await pipeline.assert_at_rest()
        assert len(pipeline.journal.accepted()) == 2


@in_virtual_time
async def test_a_closed_intake_refuses_and_finishes_what_it_has() -> None:
    async with stand() as pipeline:
        pipeline.journal.gate.clear()
        before = asyncio.ensure_future(pipeline.submit(message("k", "ab")))
        await settle_down()
        pipeline.intake.close()
        with pytest.raises(Unavailable):
            await pipeline.submit(message("m", "ab"))
        pipeline.journal.gate.set()
        assert (await before)[0].error is None


@in_virtual_time
async def test_overload_sheds_marketing_first_and_security_last() -> None:
    async with stand(StandOptions(capacity=1_000)) as pipeline:
        pipeline.apns.open(0)
        await fill(pipeline, 850)
        shed = [await is_shed(pipeline, klass) for klass in (1, 2, 3, 4)]
        assert shed == [False, False, False, True]
        await fill(pipeline, 70)
        assert [await is_shed(pipeline, klass) for klass in (1, 2, 3)] == [False, False, True]
        await fill(pipeline, 40)
        assert [await is_shed(pipeline, klass) for klass in (1, 2)] == [False, True]
        await fill(pipeline, 1_000 - pipeline.queue.in_use)
        assert await is_shed(pipeline, 1)


async def fill(pipeline: Stand, count: int) -> None:
    before = pipeline.queue.in_use
    await pipeline.accept(*(message(f"fill-{before}-{i}", "ab", klass=1) for i in range(count)))
    await settle_down()


async def is_shed(pipeline: Stand, klass: int) -> bool:
    (taken,) = await pipeline.submit(message(f"probe-{klass}-{pipeline.queue.in_use}", "ab", klass=klass))
    await settle_down()
    return isinstance(taken.error, Overloaded)


@in_virtual_time
async def test_what_is_accepted_and_not_queued_yet_counts_as_pending() -> None:
    async with stand(StandOptions(capacity=1_000)) as pipeline:
        pipeline.registry.failing = True
        pipeline.registry.devices["app", "lin"] = []
        await pipeline.accept(message("k", users=[f"u{i}" for i in range(800)]))
        assert pipeline.intake.taking == 800
        (taken,) = await pipeline.submit(message("m", "ab", klass=4))
        assert isinstance(taken.error, Overloaded)
        pipeline.registry.failing = False
        await settle_down(1.0)
        assert pipeline.intake.taking == 0


@in_virtual_time
async def test_calls_that_come_together_share_the_room_there_is() -> None:
    async with stand(StandOptions(capacity=1_000)) as pipeline:
        crowds = [message(f"k{i}", users=[f"u{i}-{j}" for j in range(300)], klass=1) for i in range(10)]
        taken = await asyncio.gather(*(pipeline.submit(crowd) for crowd in crowds))
        assert Counter(errors([one for (one,) in taken])) == {None: 3, Overloaded: 7}
        await settle_down()
        assert pipeline.intake.taking == 0


@in_virtual_time
async def test_a_stop_while_the_journal_writes_leaves_the_key_reserved() -> None:
    async with stand() as pipeline:
        pipeline.journal.gate.clear()
        call = asyncio.ensure_future(pipeline.submit(message("k", "ab")))
        await settle_down()
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == "_take_in":
                task.cancel()
        assert errors(await call) == [Unavailable]
        # Whether it reached the disk is for the restart to find out; until then nobody may take it in again.
        assert errors(await pipeline.submit(message("k", "ab"))) == [Overloaded]
