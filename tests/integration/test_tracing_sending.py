"""The way to the receiver: bounded, in its own thread, over real gRPC; what is lost is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from adapters.simulators.authority import CertificateAuthority
from gateway.tracing.otlp import OtlpExport
from gateway.tracing.port import SpanContext
from gateway.tracing.sender import ExportFailed, SenderLimits, SpanSender
from gateway.tracing.span import Kind, Span, new_span_id, new_trace_id
from tests.fixtures_traces import Receiver, receiver

QUICK = SenderLimits(queue_spans=100, batch_spans=10, interval_s=0.01, timeout_s=1.0)


class Counts:
    """What a sender tells of its spans."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add_sent(self, count: int) -> None:
        with self._lock:
            self.sent += count

    def add_dropped(self, why: str, count: int) -> None:
        with self._lock:
            self.dropped[why] += count


class Scripted:
    """A receiver that fails as often as there are failures."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures

    def send(self, spans: Sequence[Span], timeout_s: float) -> int:
        if self.failures:
            raise self.failures.pop()
        return 0

    def close(self) -> None:
        pass


@pytest.fixture
def traces() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def counts() -> Counts:
    return Counts()


def export_to(port: int) -> OtlpExport:
    return OtlpExport(f"127.0.0.1:{port}", (("x-key", "k"),), {"service.name": "s", "worker": 3}, insecure=True)


def span(name: str = "queue", error: str = "") -> Span:
    return Span(name, SpanContext(new_trace_id(), new_span_id(), "v=1"), new_span_id(), 1, 2, error=error)


async def test_a_span_arrives_as_it_was_made(traces: Receiver, counts: Counts) -> None:
    sender = SpanSender(export_to(traces.port), QUICK, counts.add_sent, counts.add_dropped)
    link = SpanContext(new_trace_id(), new_span_id())
    made = Span(
        "apns request", SpanContext(new_trace_id(), new_span_id(), "v=1"), new_span_id(), 5, 9,
        (("walletpush.app", "w"), ("walletpush.attempt", 2)), Kind.CLIENT, "Unregistered", remote=True, link=link,
    )  # fmt: skip
    sender.put(made)
    await sender.close()
    (got,) = traces.spans
    told = got.span
    assert (told.trace_id, told.span_id, told.parent_span_id) == (
        made.context.trace_id, made.context.span_id, made.parent_id,
    )  # fmt: skip
    assert (told.name, told.kind, told.trace_state) == ("apns request", 3, "v=1")
    assert (told.start_time_unix_nano, told.end_time_unix_nano, told.flags) == (5, 9, 0x301)
    assert got.attributes == {"walletpush.app": "w", "walletpush.attempt": 2}
    assert (told.status.code, told.status.message) == (2, "Unregistered")
    assert [(one.trace_id, one.span_id) for one in told.links] == [(link.trace_id, link.span_id)]
    assert (counts.sent, counts.dropped, traces.metadata[0]["x-key"]) == (1, Counter(), "k")


async def test_many_spans_leave_in_batches_and_each_once(traces: Receiver, counts: Counts) -> None:
    sender = SpanSender(export_to(traces.port), QUICK, counts.add_sent, counts.add_dropped)
    for number in range(95):
        sender.put(span(str(number)))
    await sender.close()
    assert sorted(int(one.name) for one in traces.spans) == list(range(95))
    sizes = [len(one.resource_spans[0].scope_spans[0].spans) for one in traces.requests]
    assert max(sizes) <= QUICK.batch_spans
    assert counts.sent == 95


async def test_a_transient_failure_is_tried_again_and_another_is_not(traces: Receiver, counts: Counts) -> None:
    traces.fail = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT]
    sender = SpanSender(export_to(traces.port), QUICK, counts.add_sent, counts.add_dropped)
    sender.put(span())
    _await(lambda: len(traces.metadata) == 2)
    _await(lambda: counts.dropped["not_sent"] == 1)
    sender.put(span())
    await sender.close()
    assert (counts.sent, counts.dropped) == (1, Counter(not_sent=1))


async def test_what_the_receiver_refuses_is_counted(traces: Receiver, counts: Counts) -> None:
    traces.refuse = 2
    sender = SpanSender(export_to(traces.port), SenderLimits(timeout_s=1.0), counts.add_sent, counts.add_dropped)
    for _ in range(5):
        sender.put(span())
    await sender.close()
    assert (counts.sent, counts.dropped) == (3, Counter(refused=2))


async def test_behind_a_receiver_that_hangs_the_queue_is_bounded_and_the_end_does_not_wait_long(
    traces: Receiver, counts: Counts
) -> None:
    traces.hang.set()
    limits = SenderLimits(queue_spans=50, batch_spans=10, interval_s=0.01, timeout_s=0.3)
    sender = SpanSender(export_to(traces.port), limits, counts.add_sent, counts.add_dropped)
    sender.put(span())
    _await(lambda: bool(traces.metadata))
    started_s = time.monotonic()
    for _ in range(1_000):
        sender.put(span())
    put_s = time.monotonic() - started_s
    await sender.close()
    assert put_s < 0.2
    assert time.monotonic() - started_s < 2.0
    assert counts.sent == 0
    assert counts.dropped["queue_full"] >= 900
    assert counts.dropped.total() == 1_001


async def test_a_fault_of_the_exporter_stops_tracing_and_nothing_else(
    counts: Counts, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = SpanSender(Scripted([KeyError("a bug")]), QUICK, counts.add_sent, counts.add_dropped)
    sender.put(span())
    _await(lambda: not sender.running)
    sender.put(span())
    await sender.close()
    assert counts.dropped["queue_full"] == 1
    assert "tracing_stopped" in capsys.readouterr().out


async def test_an_outage_is_told_once_and_its_end_too(counts: Counts, capsys: pytest.CaptureFixture[str]) -> None:
    export = Scripted([ExportFailed("away", transient=False)] * 3)
    sender = SpanSender(export, QUICK, counts.add_sent, counts.add_dropped)
    for total in range(1, 5):
        sender.put(span())
        _await(lambda total=total: counts.sent + counts.dropped["not_sent"] == total)  # type: ignore[misc]
    await sender.close()
    told = capsys.readouterr().out
    assert (told.count("spans_not_sent"), told.count("spans_sent_again")) == (1, 1)


def test_over_tls_the_receiver_must_be_known(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path)
    own = authority.issue_server("receiver")
    with receiver((own.key.read_bytes(), own.certificate.read_bytes())) as traces:
        known = OtlpExport(f"127.0.0.1:{traces.port}", (), {}, ca_file=authority.certificate)
        stranger = OtlpExport(f"127.0.0.1:{traces.port}", (), {})
        assert known.send([span()], 5.0) == 0
        with pytest.raises(ExportFailed, match="UNAVAILABLE"):
            stranger.send([span()], 1.0)
        assert len(traces.spans) == 1
        known.close()
        stranger.close()


def _await(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
