"""The client session alone: limits, endings and bookkeeping, whatever the order of events and the cuts of the bytes."""

from __future__ import annotations

from collections import Counter
from sys import getrefcount

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.http2.errors import SessionBroken
from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.headers import HeaderBlock
from adapters.http2.server_session import CannedAnswer, ServerRequest, ServerSession
from adapters.http2.session import ClientSession
from tests.fixtures_http2 import HEAD, an_exchange, exchanges
from tests.unit.http2_wire import Wire


def test_nothing_is_taken_before_the_first_settings() -> None:
    session = ClientSession()
    assert (session.capacity, session.submit(exchanges(3), 0)) == (0, 0)


def test_slice_of_a_batch_is_taken_in_order() -> None:
    wire = Wire(server=ServerSession(max_streams=4))
    batch = exchanges(10)
    assert wire.client.submit(batch, 0, 2, 5) == 3
    assert wire.client.submit(batch, 0, 5) == 1
    assert [each.live for each in batch] == [False] * 2 + [True] * 4 + [False] * 4


def test_live_exchange_later_in_a_batch_ends_the_batch_before_it() -> None:
    wire = Wire()
    first, second, third = exchanges(3)
    assert wire.client.submit([first], 0) == 1
    assert wire.client.submit([second, first, third], 0) == 1
    assert (second.live, third.live, wire.client.live) == (True, False, 2)


def test_expire_ends_what_is_old_and_only_that() -> None:
    wire = Wire()
    old, new = an_exchange(), an_exchange()
    wire.client.submit([old], 100)
    wire.client.submit([new], 200)
    assert wire.client.expire(99) == 0
    assert wire.client.expire(100) == 1
    assert wire.client.take_finished() == [old]
    assert (old.fate, new.fate) == (Fate.TIMED_OUT, Fate.PENDING)
    [request] = [each for each in wire.run() if each.live]
    request.respond(200)
    wire.run()
    assert wire.client.take_finished() == [new]


def test_late_answer_to_an_expired_request_is_ignored() -> None:
    wire = Wire()
    sent = an_exchange()
    wire.client.submit([sent], 0)
    [request] = wire.run()
    wire.client.expire(0)
    request.respond(200, None, b"late")
    wire.carry(wire.server, wire.client)
    wire.run()
    assert (wire.client.take_finished(), sent.fate, sent.status, sent.body) == ([sent], Fate.TIMED_OUT, 0, b"")


def test_answer_without_end_is_truncated_but_its_status_counts() -> None:
    wire = Wire(server=ServerSession())
    sent = an_exchange()
    wire.client.submit([sent], 0)
    [request] = wire.run()
    request.respond(200, None, b"x" * 200_000)
    data = wire.server.drain()
    wire.client.receive(bytearray(data[:1_000]), 1_000)
    wire.client.lose()
    assert (sent.fate, sent.status, sent.truncated) == (Fate.ANSWERED, 200, True)


def test_lost_session_takes_and_says_nothing_more() -> None:
    wire = Wire()
    wire.client.lose()
    assert (wire.client.capacity, wire.client.submit(exchanges(1), 0)) == (0, 0)
    with pytest.raises(SessionBroken):
        wire.client.drain()


def test_garbage_ends_the_session() -> None:
    session = ClientSession()
    session.drain()
    session.receive(bytearray(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3), 84)
    assert session.drain() != b""
    assert session.over


def test_receive_checks_its_bounds() -> None:
    with pytest.raises(ValueError, match="buffer"):
        ClientSession().receive(bytearray(3), 4)


def test_exchange_in_flight_outlives_every_other_reference() -> None:
    wire = Wire()
    wire.client.submit([an_exchange(1), an_exchange(2)], 0)
    for request in wire.run():
        request.respond(200)
    wire.run()
    assert [each.tag for each in wire.client.take_finished()] == [1, 2]


@pytest.mark.parametrize("ending", ["answer", "body", "reset", "expire", "lose"])
def test_ended_exchange_is_let_go(ending: str) -> None:
    wire = Wire()
    sent = an_exchange()
    before = getrefcount(sent)
    wire.client.submit([sent], 0)
    assert getrefcount(sent) == before + 1
    [request] = wire.run()
    if ending in ("answer", "body"):
        request.respond(200, None, b"x" if ending == "body" else b"")
    elif ending == "reset":
        request.reset(2)
    elif ending == "expire":
        wire.client.expire(0)
    else:
        wire.client.lose()
    if ending != "lose":
        wire.run()
    assert wire.client.take_finished() == [sent]
    assert getrefcount(sent) == before


def test_session_dropped_with_live_exchanges_releases_them() -> None:
    wire = Wire()
    sent = an_exchange()
    wire.client.submit([sent], 0)
    del wire
    assert sent.fate is Fate.PENDING


def test_canned_answers_come_in_turn() -> None:
    good = CannedAnswer(HeaderBlock([(b":status", b"200")]))
    bad = CannedAnswer(HeaderBlock([(b":status", b"410")]), b"gone")
    wire = Wire(server=ServerSession(canned=(good, good, bad)))
    batch = exchanges(6)
    wire.client.submit(batch, 0)
    wire.run()
    assert [each.status for each in batch] == [200, 200, 410] * 2
    assert [each.body for each in batch] == [b"", b"", b"gone"] * 2


@pytest.mark.parametrize("status", [99, 100, 199, 1000])
def test_server_refuses_to_answer_with_an_illegal_status(status: int) -> None:
    wire = Wire()
    wire.client.submit(exchanges(1), 0)
    [request] = wire.run()
    with pytest.raises(ValueError, match="status"):
        request.respond(status)


def test_request_is_answered_once_at_most() -> None:
    wire = Wire()
    wire.client.submit(exchanges(1), 0)
    [request] = wire.run()
    request.respond(200)
    with pytest.raises(ValueError, match="already"):
        request.respond(200)


class Model:
    """What must be true of a session after any series of events: the twin of its bookkeeping in plain Python."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.clock_ns = 0
        self.open: dict[int, Exchange] = {}
        self.ended: Counter[int] = Counter()
        self.requests: list[ServerRequest] = []
        self.all: list[Exchange] = []

    def submit(self, count: int) -> None:
        batch = [an_exchange(len(self.all) + each, b"b" * (each % 3)) for each in range(count)]
        capacity = self.wire.client.capacity
        self.clock_ns += 1
        taken = self.wire.client.submit(batch, self.clock_ns)
        assert taken == min(count, capacity)
        self.all += batch[:taken]

    def exchange_bytes(self, _: int) -> None:
        self.requests += self.wire.run()

    def respond(self, count: int) -> None:
        for request in self.requests[:count]:
            request.respond(200, None, request.body)
        del self.requests[:count]

    def reset(self, count: int) -> None:
        for request in self.requests[:count]:
            request.reset(count % 10)
        del self.requests[:count]

    def expire(self, count: int) -> None:
        self.wire.client.expire(self.clock_ns - count)

    def announce(self, streams: int) -> None:
        self.wire.server.announce(streams)

    def collect(self) -> None:
        self.ended.update(int(str(each.tag)) for each in self.wire.client.take_finished())
        assert self.wire.client.live == len(self.all) - len(self.ended)
        assert all(count == 1 for count in self.ended.values())


EVENTS = st.lists(
    st.tuples(st.sampled_from(["submit", "exchange_bytes", "respond", "reset", "expire", "announce"]),
              st.integers(0, 12)),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 400))
def test_every_exchange_ends_once_in_any_order_of_events(events: list[tuple[str, int]], cut: int) -> None:
    model = Model(Wire(server=ServerSession(max_streams=8), cut=lambda _: cut))
    for name, argument in events:
        getattr(model, name)(argument)
        model.collect()
    model.wire.client.lose()
    model.collect()
    assert len(model.ended) == len(model.all)
    assert all(each.fate is not Fate.PENDING and not each.live for each in model.all)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=30))
def test_bytes_may_be_cut_anywhere(cuts: list[int]) -> None:
    turns = iter(cuts * 1_000)
    wire = Wire(cut=lambda _: next(turns))
    head = HeaderBlock([*HEAD.pairs, (b"x", b"y" * 100)])
    batch = [Exchange(head, b"/", (), b"body %d" % number, number) for number in range(10)]
    wire.client.submit(batch, 0)
    for request in wire.run():
        request.respond(400, None, request.body)
    wire.run()
    assert [each.body for each in batch] == [each.payload for each in batch]
