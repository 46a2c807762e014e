"""Who is traced: the caller's decision, or else a share of all notifications that is the same for each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery import Notification
from gateway.tracing.calls import RecordedCall
from gateway.tracing.port import Chosen
from gateway.tracing.ratio import Ratio
from gateway.tracing.span import Kind, Span
from protos.walletpush.v1.delivery_pb2 import TraceContext
from tests.unit.notices import notice

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


class Calls:
    """Makes calls and keeps their spans."""

    def __init__(self, ratio: float = 0.0, limit: int = 100) -> None:
        self.ratio = Ratio(ratio, random.Random(5))
        self.limit = limit
        self.spans: list[Span] = []
        self.now_ns = 0

    def call(self, *metadata: tuple[str, str | bytes]) -> RecordedCall:
        return RecordedCall(
            "/walletpush.v1.DeliveryService/Send", metadata, ratio=self.ratio, limit=self.limit,
            now_ns=self._tick, put=self.spans.append,
        )  # fmt: skip

    def _tick(self) -> int:
        self.now_ns += 1
        return self.now_ns


def some(count: int) -> list[Notification]:
    return [notice(number=number) for number in range(count)]


def choose(call: RecordedCall, members: list[Notification]) -> list[Chosen]:
    return call.choose(members, members.index)


@given(st.floats(0.0, 1.0), st.lists(st.integers(0, 50), max_size=20), st.integers())
def test_what_is_picked_does_not_depend_on_how_items_are_batched(ratio: float, sizes: list[int], seed: int) -> None:
    batched, whole = Ratio(ratio, random.Random(seed)), Ratio(ratio, random.Random(seed))
    items = list(range(sum(sizes)))
    picked, start = [], 0
    for size in sizes:
        picked += batched.pick(items[start : start + size])
        start += size
    assert picked == whole.pick(items)


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.3, 0.9])
def test_the_share_that_is_picked_is_the_ratio(ratio: float) -> None:
    picked = len(Ratio(ratio, random.Random(1)).pick(range(100_000)))
    deviation = (100_000 * ratio * (1 - ratio)) ** 0.5
    assert abs(picked - 100_000 * ratio) < 5 * deviation


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 1_000), (5e-324, 0)])
def test_none_and_all_are_exact(ratio: float, expected: int) -> None:
    assert len(Ratio(ratio, random.Random(1)).pick(range(1_000))) == expected


def test_a_sampled_caller_has_all_its_notifications_traced_up_to_the_limit() -> None:
    calls = Calls(limit=3)
    call = calls.call(("traceparent", SAMPLED), ("tracestate", b"a=1"), ("tracestate", "b=2"))
    chosen = choose(call, some(5))
    call.end("OK")
    (span,) = calls.spans
    assert [one.parent for one in chosen] == [span.context] * 3
    assert (span.context.trace_id.hex(), span.parent_id.hex(), span.context.state) == (TRACE, SPAN, "a=1,b=2")
    assert (span.kind, span.remote, span.error, span.name) == (
        Kind.SERVER, True, "", "walletpush.v1.DeliveryService/Send",
    )  # fmt: skip


def test_a_caller_that_does_not_sample_is_not_traced_whatever_the_ratio() -> None:
    calls = Calls(ratio=1.0)
    call = calls.call(("traceparent", UNSAMPLED))
    assert choose(call, some(5)) == []
    call.end("OK")
    assert calls.spans == []


@pytest.mark.parametrize(
    "value", ["", "00-x", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", "ü" * 55]
)
def test_what_is_no_trace_context_counts_as_none(value: str) -> None:
    calls = Calls(ratio=1.0)
    call = calls.call(("traceparent", value.encode()))
    assert len(choose(call, some(2))) == 2
    call.end("OK")
    assert calls.spans[0].parent_id == b""
    assert calls.spans[0].context.trace_id.hex() != TRACE


def test_a_call_of_which_nothing_is_chosen_leaves_no_span() -> None:
    calls = Calls(ratio=0.0)
    call = calls.call(("authorization", "Bearer x"))
    assert choose(call, some(100)) == []
    call.end("INTERNAL")
    assert calls.spans == []


@pytest.mark.parametrize(("code", "is_fault"), [("INTERNAL", True), ("UNAVAILABLE", True), ("NOT_FOUND", False)])
def test_only_our_own_faults_are_errors_of_the_span(code: str, is_fault: bool) -> None:
    calls = Calls()
    calls.call(("traceparent", SAMPLED)).end(code)
    assert calls.spans[0].error == (code if is_fault else "")
    assert ("rpc.response.status_code", code) in calls.spans[0].attributes


def test_in_a_chunk_each_notification_follows_its_own_context() -> None:
    calls = Calls(ratio=0.0)
    stream = calls.call()
    members = some(4)
    other = f"00-{'1' * 32}-{'2' * 16}-01"
    contexts = [
        TraceContext(index=1, traceparent=SAMPLED, tracestate="a=1"), TraceContext(index=2, traceparent=UNSAMPLED),
        TraceContext(index=3, traceparent=other), TraceContext(index=9, traceparent=other),
    ]  # fmt: skip
    chosen = stream.chunk(contexts).choose(members, members.index)
    assert [(one.notification, one.remote, one.link) for one in chosen] == [
        (members[1], True, None), (members[3], True, None),
    ]  # fmt: skip
    assert (chosen[0].parent.trace_id.hex(), chosen[0].parent.span_id.hex(), chosen[0].parent.state) == (
        TRACE, SPAN, "a=1",
    )  # fmt: skip
    stream.end("OK")
    assert calls.spans == []


def test_in_a_chunk_of_a_sampled_stream_the_others_are_its_children_and_the_first_are_linked_to_it() -> None:
    calls = Calls()
    stream = calls.call(("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"))
    members = some(2)
    own, follower = stream.chunk([TraceContext(index=0, traceparent=SAMPLED)]).choose(members, members.index)
    assert stream.chunk([]) is stream
    stream.end("OK")
    context = calls.spans[0].context
    assert (own.parent.trace_id.hex(), own.link) == (TRACE, context)
    assert (follower.parent, follower.remote) == (context, False)
