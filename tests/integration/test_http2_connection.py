"""One connection over real TLS: what arrives, what comes back, and what becomes of streams and windows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.http2.connection import Connection, State
from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.faults import Faults
from adapters.http2.headers import HeaderBlock
from adapters.http2.server_session import ServerRequest
from tests.fixtures_http2 import HEAD, QUICK, Recorder, an_exchange, connected, exchanges, say_ok, serving

INTERNAL_ERROR, REFUSED_STREAM = 2, 7
NEVER_ANSWERING = Faults(black_hole=True)


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


async def test_request_arrives_as_prepared_and_answer_comes_back(heard: Recorder) -> None:
    seen: list[ServerRequest] = []

    def answer(requests: list[ServerRequest]) -> None:
        seen.extend(requests)
        for request in requests:
            request.respond(410, HeaderBlock([(b"server", b"x")]), b'{"reason":"Unregistered"}', (b"apns-id", b"A-1"))

    async with serving(answer) as server, connected(server, heard) as connection:
        head = HeaderBlock([*HEAD.pairs, (b"authorization", b"bearer secret")])
        sent = Exchange(head, b"/3/device/f00d", (b"apns-id", b"a-1", b"apns-expiration", b"0"), b'{"aps":{}}', "tag")
        assert connection.submit([sent]) == 1
        await heard.until_answered(1)
    assert (seen[0].method, seen[0].path, seen[0].body) == (b"POST", b"/3/device/f00d", b'{"aps":{}}')
    assert seen[0].headers == [
        (b"apns-topic", b"com.example"), (b"authorization", b"bearer secret"), (b"apns-id", b"a-1"),
        (b"apns-expiration", b"0"),
    ]
    assert heard.answers == [sent]
    assert (sent.status, sent.fate, sent.body) == (410, Fate.ANSWERED, b'{"reason":"Unregistered"}')
    assert sent.headers == {b"apns-id": b"A-1"}
    assert (sent.tag, sent.connection, sent.truncated, sent.error_code) == ("tag", connection, False, 0)


async def test_answers_are_matched_by_stream_whatever_their_order(heard: Recorder) -> None:
    def backwards(requests: list[ServerRequest]) -> None:
        for request in reversed(requests):
            request.respond(200, None, request.body, (b"apns-id", b"same-for-all"))

    async with serving(backwards) as server, connected(server, heard) as connection:
        batch = [an_exchange(number, b"body %d" % number) for number in range(50)]
        connection.submit(batch)
        await heard.until_answered(50)
    assert [each.body for each in batch] == [b"body %d" % number for number in range(50)]


async def test_many_answers_are_handed_over_in_few_batches(heard: Recorder) -> None:
    async with serving() as server, connected(server, heard) as connection:
        assert connection.submit(exchanges(900)) == 900
        await heard.until_answered(900)
    assert len(heard.batches) < 90


@pytest.mark.parametrize("size", [0, 1, 16_384])
async def test_bodies_of_any_size_come_back_whole(heard: Recorder, size: int) -> None:
    def answer(requests: list[ServerRequest]) -> None:
        for request in requests:
            request.respond(200, None, b"x" * size)

    async with serving(answer) as server, connected(server, heard) as connection:
        sent = an_exchange()
        connection.submit([sent])
        await heard.until_answered(1)
    assert (len(sent.body), sent.truncated) == (size, False)


async def test_long_answer_is_cut_but_does_not_stall(heard: Recorder) -> None:
    def answer(requests: list[ServerRequest]) -> None:
        for request in requests:
            request.respond(500, None, b"x" * 300_000)

    async with serving(answer) as server, connected(server, heard) as connection:
        sent = an_exchange()
        connection.submit([sent])
        await heard.until_answered(1)
        assert (len(sent.body), sent.truncated, sent.status) == (16_384, True, 500)


async def test_error_bodies_far_beyond_the_receive_window_do_not_stall(heard: Recorder) -> None:
    def refuse(requests: list[ServerRequest]) -> None:
        for request in requests:
            request.respond(400, None, b"e" * 15_000)

    async with serving(refuse) as server, connected(server, heard) as connection:
        for done in range(0, 1_500, 100):
            assert connection.submit(exchanges(100)) == 100
            await heard.until_answered(done + 100)
    # 22 MB, more than the connection's window of 16 MiB.
    assert heard.fates() == {"ANSWERED": 1_500}


async def test_small_send_window_delays_but_does_not_break(heard: Recorder) -> None:
    async with serving(window_bytes=64) as server, connected(server, heard) as connection:
        batch = exchanges(20, b"p" * 4_096)
        connection.submit(batch)
        await heard.until_answered(20)
    assert heard.fates() == {"ANSWERED": 20}


async def test_capacity_follows_the_servers_settings_up_and_down(heard: Recorder) -> None:
    async with serving(max_streams=3, faults=NEVER_ANSWERING) as server, connected(server, heard) as connection:
        assert connection.capacity == 3
        for streams in (50, 1, 0, 1_000):
            server.announce(streams)
            await heard.until(lambda streams=streams: connection.max_streams == streams)  # type: ignore[misc]
            assert connection.capacity == streams
        assert connection.submit(exchanges(10)) == 10
        server.announce(4)
        await heard.until(lambda: connection.max_streams == 4)
        assert (connection.capacity, connection.live, heard.answers) == (0, 10, [])


async def test_no_stream_is_opened_beyond_the_servers_limit(heard: Recorder) -> None:
    async with serving(max_streams=7, faults=NEVER_ANSWERING) as server, connected(server, heard) as connection:
        assert connection.submit(exchanges(20)) == 7
        assert connection.submit(exchanges(20)) == 0
        await heard.until(lambda: server.received == 7)


@pytest.mark.parametrize("ending", ["no body", "body", "reset", "timeout", "early answer"])
async def test_every_kind_of_ending_frees_its_stream(heard: Recorder, ending: str) -> None:
    def answer(requests: list[ServerRequest]) -> None:
        for request in requests:
            if ending == "reset":
                request.reset(INTERNAL_ERROR)
            elif ending != "timeout":
                request.respond(200, None, b"x" if ending == "body" else b"")

    options = replace(QUICK, request_timeout_ms=50 if ending == "timeout" else 2_000)
    async with serving(answer, max_streams=5) as server, connected(server, heard, options) as connection:
        for round_number in range(1, 5):
            assert connection.submit(exchanges(5)) == 5
            await heard.until_answered(5 * round_number)
            assert (connection.live, connection.capacity) == (0, 5)


async def test_reset_without_an_answer_is_unknown_and_refused_is_not_sent(heard: Recorder) -> None:
    def reset(requests: list[ServerRequest]) -> None:
        for request in requests:
            request.reset(REFUSED_STREAM if request.path == b"/refuse" else INTERNAL_ERROR)

    async with serving(reset) as server, connected(server, heard) as connection:
        refused, broken = an_exchange(path=b"/refuse"), an_exchange(path=b"/break")
        connection.submit([refused, broken])
        await heard.until_answered(2)
    assert (refused.fate, refused.error_code) == (Fate.NOT_SENT, REFUSED_STREAM)
    assert (broken.fate, broken.error_code) == (Fate.UNKNOWN, INTERNAL_ERROR)


async def test_unanswered_request_times_out_while_others_go_on(heard: Recorder) -> None:
    def answer(requests: list[ServerRequest]) -> None:
        say_ok([request for request in requests if request.path != b"/hang"])

    async with serving(answer) as server, connected(server, heard, replace(QUICK, request_timeout_ms=60)) as connection:
        hanging, quick = an_exchange(path=b"/hang"), an_exchange()
        connection.submit([hanging, quick])
        await heard.until_answered(2)
        assert (quick.fate, hanging.fate, hanging.sent) == (Fate.ANSWERED, Fate.TIMED_OUT, True)
        assert connection.state is State.READY


@pytest.mark.parametrize(("window_bytes", "fate"), [(0, Fate.NOT_SENT), (65_535, Fate.UNKNOWN)])
async def test_lost_connection_tells_what_may_be_resent(heard: Recorder, window_bytes: int, fate: Fate) -> None:
    async with serving(faults=NEVER_ANSWERING, window_bytes=window_bytes) as server, connected(server, heard) as lost:
        with_body, bare = an_exchange(body=b"waits for the window"), an_exchange(body=b"")
        lost.submit([with_body, bare])
        await heard.until(lambda: server.received == (2 if window_bytes else 1))
        for each in server.connections:
            each.abort()
        await heard.until_answered(2)
        assert lost.state is State.CLOSED
    assert (with_body.fate, bare.fate) == (fate, Fate.UNKNOWN)


async def test_answer_before_the_whole_request_ends_the_exchange(heard: Recorder) -> None:
    async with serving(window_bytes=0) as server, connected(server, heard) as connection:
        early = an_exchange(body=b"never gets through")
        connection.submit([early])
        session = next(iter(server.connections)).session
        await heard.until(lambda: session.live == 1)
        session.answer_open(413)
        next(iter(server.connections)).flush()
        await heard.until_answered(1)
        assert (early.fate, early.status, early.sent, connection.live) == (Fate.ANSWERED, 413, False, 0)


async def test_ended_exchange_can_be_sent_again_but_a_live_one_cannot(heard: Recorder) -> None:
    async with serving(faults=Faults(reset_one_in=1)) as server, connected(server, heard) as connection:
        sent = an_exchange()
        connection.submit([sent])
        with pytest.raises(ValueError, match="in flight"):
            connection.submit([sent])
        with pytest.raises(ValueError, match="in flight"):
            sent.rehead(HEAD)
        await heard.until_answered(1)
        assert sent.fate is Fate.NOT_SENT
        server.faults = Faults()
        sent.rehead(HEAD)
        connection.submit([sent])
        await heard.until_answered(2)
        assert (sent.fate, sent.status) == (Fate.ANSWERED, 200)


async def test_one_stream_until_the_first_success_when_cautious(heard: Recorder) -> None:
    statuses = iter([403, 403, 200, 200])

    def answer(requests: list[ServerRequest]) -> None:
        for request in requests:
            request.respond(next(statuses))

    async with serving(answer) as server, connected(server, heard, replace(QUICK, cautious=True)) as connection:
        for answered in (1, 2, 3):
            assert connection.capacity == 1
            assert connection.submit(exchanges(5)) == 1
            await heard.until_answered(answered)
        assert connection.capacity == 1_000


async def test_full_transport_takes_no_requests_until_it_empties(heard: Recorder) -> None:
    async with serving() as server, connected(server, heard) as connection:
        connection.pause_writing()
        assert (connection.capacity, connection.submit(exchanges(3))) == (0, 0)
        connection.resume_writing()
        assert connection.submit(exchanges(3)) == 3
        await heard.until_answered(3)


async def test_answer_that_leads_to_the_next_request_leaves_no_gap(heard: Recorder) -> None:
    class Chain(Recorder):
        def on_answers(self, connection: Connection, finished: list[Exchange]) -> None:
            super().on_answers(connection, finished)
            if len(self.answers) < 100:
                connection.submit(exchanges(1))

    chain = Chain()
    async with serving() as server, connected(server, chain) as connection:
        connection.submit(exchanges(1))
        await chain.until_answered(100)
        assert server.received == 100
