"""The spans that notifications leave on every way through the pipeline, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from core.errors import Unavailable
from core.notification_id import parse_id, parse_id_text
from core.reaction import Outcome, OutcomeKind
from core.storage import SegmentUpdate
from gateway.tracing.otel import OtelTracer, TraceLimits
from gateway.tracing.port import current_call
from gateway.tracing.sender import SenderLimits, SpanSender
from gateway.tracing.span import Kind, Span
from tests.unit.pipeline_fakes import REFUSED
from tests.unit.pipeline_stand import Stand, StandOptions, message, settle_down, stand
from tests.unit.virtual_time import START_UNIX_MS, LoopClock, in_virtual_time

FAULT = Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable")
LIMITS = TraceLimits()
SAMPLED = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
ONE_DEVICE = ["intake", "journal commit", "notification", "plan", "queue", "apns request", "settle"]


class Collected:
    """gateway.tracing.sender.Export into a list."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def send(self, spans: Sequence[Span], timeout_s: float) -> int:
        self.spans += spans
        return 0

    def close(self) -> None:
        pass


class Traced:
    """A pipeline whose every notification is traced."""

    def __init__(self, pipeline: Stand, tracer: OtelTracer, collected: Collected, dropped: Counter[str]) -> None:
        self.pipeline = pipeline
        self.tracer = tracer
        self.dropped = dropped
        self._collected = collected

    async def finish(self) -> list[Span]:
        """Write what ended, and return all spans in the order of their beginnings."""
        await self.pipeline.settler.flush()
        return await self.close()

    async def close(self) -> list[Span]:
        await self.tracer.close()
        return sorted(self._collected.spans, key=lambda span: span.start_ns)


@asynccontextmanager
async def traced(limits: TraceLimits = LIMITS, options: StandOptions | None = None) -> AsyncIterator[Traced]:
    collected, dropped = Collected(), Counter[str]()
    sender = SpanSender(collected, SenderLimits(), lambda _: None, lambda why, count: dropped.update({why: count}))
    tracer = OtelTracer(sender, limits, LoopClock(), lambda: LoopClock().monotonic_ns() + START_UNIX_MS * 1_000_000)
    chosen = StandOptions(tracer=tracer, streams=options.streams if options else 1_000)
    token = current_call.set(tracer.call("/t.S/M", [SAMPLED]))
    try:
        async with stand(chosen) as pipeline:
            yield Traced(pipeline, tracer, collected, dropped)
    finally:
        current_call.reset(token)
        await tracer.close()


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def told(span: Span) -> dict[str, str | int]:
    return dict(span.attributes)


@in_virtual_time
async def test_a_retried_delivery_has_a_wait_and_a_request_for_each_attempt() -> None:
    async with traced() as place:
        await place.pipeline.accept(message("k", "ab"))
        await settle_down(0.001)
        place.pipeline.apns.answer(FAULT)
        await settle_down(1.0)
        place.pipeline.apns.answer()
        await settle_down(0.1)
        spans = await place.finish()
        assert place.tracer.under_way == 0
    assert Counter(span.name for span in spans) == Counter([*ONE_DEVICE, "queue", "apns request"])
    first, second = named(spans, "apns request")
    assert (first.error, told(first)["walletpush.reason"], told(first)["http.response.status_code"]) == (
        "ServiceUnavailable", "ServiceUnavailable", 503,
    )  # fmt: skip
    assert (second.error, told(second)["walletpush.outcome"], second.kind) == ("", "delivered", Kind.CLIENT)
    assert [told(span)["walletpush.attempt"] for span in (first, second)] == [1, 2]
    assert named(spans, "queue")[1].start_ns > first.end_ns
    (whole,) = named(spans, "notification")
    assert (told(whole)["walletpush.state"], whole.error) == ("delivered", "")
    assert whole.end_ns == named(spans, "settle")[0].end_ns >= second.end_ns


@in_virtual_time
async def test_what_expires_or_is_cancelled_while_it_waits_ends_with_that_reason() -> None:
    async with traced(options=StandOptions(streams=0)) as place:
        late, withdrawn = message("late", "aa"), message("withdrawn", "bb")
        late.ttl.CopyFrom(Duration(seconds=2))
        _, ident = await place.pipeline.accept(late, withdrawn)
        _, _, segment, index = parse_id(parse_id_text(ident))
        await settle_down(0.1)
        found = place.pipeline.underway.find(segment, index)
        assert found is not None
        found.cancelled = True
        await settle_down(3.0)
        spans = await place.finish()
    assert {span.error for span in named(spans, "queue")} == {"EXPIRED", "CANCELLED"}
    states = {told(span)["walletpush.state"]: span.error for span in named(spans, "notification")}
    assert states == {"expired": "EXPIRED", "cancelled": ""}
    assert named(spans, "apns request") == []


@in_virtual_time
async def test_what_has_nowhere_to_go_ends_after_its_plan() -> None:
    async with traced() as place:
        await place.pipeline.accept(message("nobody", users=["u"]), message("no", "ab", title=REFUSED))
        await settle_down(0.1)
        spans = await place.finish()
        assert place.tracer.under_way == 0
    assert {span.error for span in named(spans, "notification")} == {"failed", "PayloadTooLarge"}
    assert Counter(span.name for span in spans)["plan"] == 2
    assert named(spans, "queue") == []


@in_virtual_time
async def test_a_scheduled_notification_ends_its_trace_in_the_journal() -> None:
    async with traced() as place:
        later = message("later", "ab")
        later.send_at.CopyFrom(Timestamp(seconds=START_UNIX_MS // 1_000 + 4_600))
        await place.pipeline.accept(later)
        assert place.tracer.under_way == 0
        spans = await place.finish()
    assert [span.name for span in named(spans, "notification")] == ["notification"]
    assert told(named(spans, "notification")[0])["walletpush.state"] == "scheduled"


@in_virtual_time
async def test_a_large_plan_whose_first_have_ended_before_its_end_leaves_whole_traces() -> None:
    async with traced(TraceLimits(max_per_batch=1_000)) as place:
        place.pipeline.apns.answers_by_itself = Outcome(OutcomeKind.DELIVERED)
        await place.pipeline.accept(*(message(str(number), f"{number:04x}") for number in range(1_000)))
        await settle_down(1.0)
        spans = await place.finish()
        assert place.tracer.under_way == 0
    assert Counter(span.name for span in spans) == dict.fromkeys(ONE_DEVICE, 1_000)


@in_virtual_time
async def test_of_a_notification_to_many_devices_so_many_requests_have_spans() -> None:
    async with traced(TraceLimits(max_requests=3)) as place:
        await place.pipeline.accept(message("k", *(f"{number:04x}" for number in range(10))))
        await settle_down(0.001)
        place.pipeline.apns.answer()
        await settle_down(0.1)
        spans = await place.finish()
    assert Counter(span.name for span in spans) == Counter([*ONE_DEVICE, *["queue", "apns request"] * 2])
    assert len({told(span)["walletpush.device_key"] for span in named(spans, "apns request")}) == 3


@in_virtual_time
async def test_the_oldest_make_room_for_what_comes_after_them_and_are_counted() -> None:
    async with traced(TraceLimits(max_open=2)) as place:
        await place.pipeline.accept(*(message(str(number), "ab") for number in range(5)))
        await settle_down(0.001)
        assert place.tracer.under_way == 2
        place.pipeline.apns.answer()
        await settle_down(0.1)
        spans = await place.finish()
    whole = Counter(str(told(span)["walletpush.state"]) for span in named(spans, "notification"))
    assert whole == Counter(accepted=3, delivered=2)
    assert len(named(spans, "apns request")) == 2
    assert place.dropped == Counter(too_many_open=3)


@in_virtual_time
async def test_a_record_that_the_journal_did_not_take_is_an_error_of_settling() -> None:
    async with traced() as place:

        async def refuse(updates: list[SegmentUpdate]) -> None:
            raise Unavailable(f"no room for {len(updates)}")

        place.pipeline.journal.record = refuse  # type: ignore[method-assign]
        await place.pipeline.accept(message("k", "ab"))
        await settle_down(0.001)
        place.pipeline.apns.answer()
        await settle_down(0.1)
        spans = await place.close()
    assert [span.error for span in named(spans, "settle")] == ["Unavailable"]
    assert len(named(spans, "notification")) == 1


@in_virtual_time
async def test_what_has_not_ended_when_the_worker_ends_is_told_as_accepted() -> None:
    async with traced() as place:
        await place.pipeline.accept(message("k", "ab"))
        await settle_down(0.001)
        spans = await place.close()
        place.pipeline.apns.answer()
    (whole,) = named(spans, "notification")
    assert (told(whole)["walletpush.state"], whole.error) == ("accepted", "")


@in_virtual_time
async def test_every_span_lies_within_its_parent_whatever_happens() -> None:
    rng = random.Random(3)
    kinds = [OutcomeKind.DELIVERED, OutcomeKind.PROVIDER_FAULT, OutcomeKind.NOT_SENT, OutcomeKind.REJECTED]
    async with traced(TraceLimits(max_per_batch=1_000)) as place:
        await place.pipeline.accept(*(message(str(number), f"{number:04x}", "ff") for number in range(200)))
        for _ in range(60):
            await settle_down(0.5)
            flying = list(place.pipeline.apns.in_flight)
            outcomes = [Outcome(rng.choice(kinds), 500, "why") for _ in flying]
            if flying:
                place.pipeline.apns.answer_each(flying, outcomes)
        place.pipeline.apns.answers_by_itself = Outcome(OutcomeKind.DELIVERED)
        place.pipeline.apns.answer()
        await settle_down(600.0)
        spans = await place.finish()
        assert place.tracer.under_way == 0
        await place.pipeline.assert_at_rest()
    by_id = {span.context.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    assert len(named(spans, "notification")) == 200
    for span in spans:
        parent = by_id.get(span.parent_id)
        assert span.start_ns <= span.end_ns
        assert (parent is None) == (span.name == "notification")
        if parent is not None:
            assert parent.start_ns <= span.start_ns <= span.end_ns <= parent.end_ns
