"""How a connection lives and ends: idleness, PING, GOAWAY in both phases, age, the end of the stream ids."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace

import pytest

from adapters.http2.connection import State
from adapters.http2.fate import Fate
from adapters.http2.faults import Faults
from adapters.http2.server import ServerConnection
from adapters.http2.server_session import ServerRequest
from tests.fixtures_http2 import QUICK, Recorder, an_exchange, connected, exchanges, say_ok, serving

LAST_ID = 2**31 - 1


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


class Shelf:
    """A handler that keeps requests until the test answers them."""

    def __init__(self) -> None:
        self.requests: list[ServerRequest] = []

    def __call__(self, requests: list[ServerRequest]) -> None:
        self.requests.extend(requests)

    def answer(self) -> None:
        say_ok(self.requests)


async def test_idle_connection_is_kept_and_pinged(heard: Recorder) -> None:
    options = replace(QUICK, ping_interval_ms=40)
    async with serving() as server, connected(server, heard, options) as connection:
        before = connection.bytes_out
        await heard.until(lambda: connection.bytes_out >= before + 3 * 17)
        assert connection.state is State.READY
        connection.submit(exchanges(1))
        await heard.until_answered(1)
        assert server.accepted == 1


async def test_pings_of_the_server_are_answered(heard: Recorder) -> None:
    async with serving() as server, connected(server, heard):
        there = next(iter(server.connections))
        there.ping()
        await heard.until(lambda: there.session.pings_answered == 1)


@pytest.mark.parametrize("in_flight", [0, 3])
async def test_peer_that_went_silent_is_given_up_by_ping(heard: Recorder, in_flight: int) -> None:
    options = replace(QUICK, ping_interval_ms=50, stall_ms=50, ping_timeout_ms=80, request_timeout_ms=60_000)
    async with serving() as server, connected(server, heard, options) as connection:
        server.faults = Faults(silent=True)
        connection.submit(exchanges(in_flight))
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert connection.reason == "PING not answered"
        assert [each.fate for each in heard.answers] == [Fate.UNKNOWN] * in_flight


async def test_slow_but_living_server_is_not_given_up(heard: Recorder) -> None:
    options = replace(QUICK, stall_ms=30, ping_timeout_ms=1_000)
    async with serving(faults=Faults(delay_ms=300)) as server, connected(server, heard, options) as connection:
        connection.submit(exchanges(2))
        await heard.until_answered(2)
        assert heard.fates() == {"ANSWERED": 2}
        assert connection.state is State.READY


async def test_connection_that_allows_no_stream_for_long_is_retired_and_its_requests_end(heard: Recorder) -> None:
    shelf = Shelf()
    options = replace(QUICK, starved_ms=300)
    async with serving(shelf) as server, connected(server, heard, options) as connection:
        connection.submit(exchanges(3))
        await heard.until(lambda: len(shelf.requests) == 3)
        next(iter(server.connections)).announce(0)
        await asyncio.wait_for(connection.left.wait(), 5)
        assert (connection.state, connection.reason) == (State.DRAINING, "no stream allowed")
        shelf.answer()
        await heard.until_answered(3)
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert heard.fates() == {"ANSWERED": 3}


async def test_closed_connection_leaves_memory_without_the_garbage_collector(heard: Recorder) -> None:
    async with serving() as server:
        async with connected(server, heard) as connection:
            connection.submit(exchanges(3))
            await heard.until_answered(3)
            gone = weakref.ref(connection)
        heard.answers.clear()
        del connection
        gc.disable()
        try:
            await heard.until(lambda: gone() is None)
        finally:
            gc.enable()


async def test_goaway_stops_new_streams_and_waits_for_those_in_flight(heard: Recorder) -> None:
    shelf = Shelf()
    async with serving(shelf) as server, connected(server, heard) as connection:
        connection.submit(exchanges(5))
        await heard.until(lambda: len(shelf.requests) == 5)
        server.goaway(debug=b'{"reason":"Shutdown"}')
        await heard.until(lambda: connection.state is State.DRAINING)
        assert (connection.capacity, connection.submit(exchanges(1)), connection.live) == (0, 0, 5)
        assert connection.goaway_debug == b'{"reason":"Shutdown"}'
        shelf.answer()
        await heard.until_answered(5)
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert heard.fates() == {"ANSWERED": 5}


async def test_streams_above_goaways_last_id_may_be_resent(heard: Recorder) -> None:
    async with serving(faults=Faults(goaway_after=10, goaway_unprocessed=4)) as server, connected(server, heard) as one:
        batch = exchanges(10)
        one.submit(batch)
        await heard.until_answered(10)
    assert [each.fate for each in batch] == [Fate.ANSWERED] * 6 + [Fate.NOT_SENT] * 4


async def test_graceful_first_phase_keeps_everything_in_flight(heard: Recorder) -> None:
    shelf = Shelf()
    async with serving(shelf) as server, connected(server, heard) as connection:
        connection.submit(exchanges(4))
        await heard.until(lambda: len(shelf.requests) == 4)
        there: ServerConnection = next(iter(server.connections))
        there.notice_shutdown()
        await heard.until(lambda: connection.state is State.DRAINING)
        assert (connection.live, connection.capacity, heard.answers) == (4, 0, [])
        there.goaway(last_stream_id=shelf.requests[2].stream_id)
        await heard.until_answered(1)
        assert heard.answers[0].fate is Fate.NOT_SENT
        shelf.answer()
        await heard.until_answered(4)
    assert heard.fates() == {"NOT_SENT": 1, "ANSWERED": 3}


async def test_goaway_without_answers_ends_as_unknown_after_a_bounded_time(heard: Recorder) -> None:
    options = replace(QUICK, drain_timeout_ms=100)
    async with serving(Shelf()) as server, connected(server, heard, options) as connection:
        connection.submit(exchanges(3))
        await heard.until(lambda: server.received == 3)
        server.goaway()
        await heard.until_answered(3)
        assert connection.state is State.CLOSED
    assert heard.fates() == {"UNKNOWN": 3}


async def test_old_connection_retires_by_itself(heard: Recorder) -> None:
    options = replace(QUICK, max_age_ms=100)
    async with serving() as server, connected(server, heard, options) as connection:
        connection.submit(exchanges(3))
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert connection.reason == "age"
    assert heard.fates() == {"ANSWERED": 3}


async def test_used_up_stream_ids_retire_the_connection(heard: Recorder) -> None:
    options = replace(QUICK, first_stream_id=LAST_ID - 4)
    async with serving() as server, connected(server, heard, options) as connection:
        assert connection.capacity == 3
        assert connection.submit(exchanges(10)) == 3
        await heard.until_answered(3)
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert connection.reason == "stream ids used up"
    assert heard.fates() == {"ANSWERED": 3}


async def test_retired_connection_finishes_then_says_farewell(heard: Recorder) -> None:
    shelf = Shelf()
    async with serving(shelf) as server, connected(server, heard) as connection:
        connection.submit(exchanges(2))
        await heard.until(lambda: len(shelf.requests) == 2)
        connection.retire("credential changed")
        assert (connection.state, connection.live) == (State.DRAINING, 2)
        there = next(iter(server.connections)).session
        shelf.answer()
        await asyncio.wait_for(connection.closed.wait(), 5)
        await heard.until(lambda: there.goaway_received)
    assert heard.fates() == {"ANSWERED": 2}


async def test_peer_that_breaks_the_protocol_ends_everything(heard: Recorder) -> None:
    async with serving(Shelf()) as server, connected(server, heard) as connection:
        connection.submit([an_exchange()])
        await heard.until(lambda: server.received == 1)
        next(iter(server.connections)).write_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await heard.until_answered(1)
        await asyncio.wait_for(connection.closed.wait(), 5)
    assert heard.fates() == {"UNKNOWN": 1}
