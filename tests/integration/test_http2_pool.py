"""Several connections as one: spreading, replacement, back-off, draining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from adapters.http2.errors import NoCapacity
from adapters.http2.fate import Fate
from adapters.http2.faults import Faults
from adapters.http2.options import ConnectionOptions, PoolOptions
from adapters.http2.pool import Pool
from adapters.http2.server import Http2Server
from adapters.http2.server_session import ServerRequest
from tests.fixtures_http2 import QUICK, Recorder, an_exchange, exchanges, say_ok, serving, target_of

FAST = PoolOptions(connections=4, backoff_base_ms=20, backoff_cap_ms=100, stable_ms=50)


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@asynccontextmanager
async def pooled(
    server: Http2Server, heard: Recorder, options: PoolOptions = FAST, connection_options: ConnectionOptions = QUICK
) -> AsyncIterator[Pool]:
    pool = Pool(target_of(server), heard.take, heard.on_capacity, options=options,
                connection_options=connection_options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def test_batch_is_spread_evenly_over_the_connections(heard: Recorder) -> None:
    async with serving(faults=Faults(black_hole=True)) as server, pooled(server, heard) as pool:
        await heard.until(lambda: pool.stats().ready == 4)
        assert pool.capacity == 4_000
        assert pool.submit(exchanges(400)) == 400
        await heard.until(lambda: server.received == 400)
        assert sorted(each.taken for each in server.connections) == [100, 100, 100, 100]
        assert (pool.stats().in_flight, pool.capacity) == (400, 3_600)


async def test_what_does_not_fit_is_left_to_the_caller_who_is_told_of_room(heard: Recorder) -> None:
    async with serving(max_streams=5) as server, pooled(server, heard, replace(FAST, connections=2)) as pool:
        await heard.until(lambda: pool.stats().ready == 2)
        batch = exchanges(30)
        assert pool.submit(batch) == 10
        assert [each.fate for each in batch[10:]] == [Fate.PENDING] * 20
        calls = heard.capacity_calls
        await heard.until(lambda: heard.capacity_calls > calls)
        assert pool.capacity > 0
        await heard.until_answered(10)


async def test_uneven_room_is_filled_to_the_last_stream(heard: Recorder) -> None:
    async with serving(faults=Faults(black_hole=True)) as server, pooled(server, heard) as pool:
        await heard.until(lambda: pool.stats().ready == 4)
        small, large = list(server.connections)[:2]
        small.announce(3)
        large.announce(2_000)
        await heard.until(lambda: pool.capacity == 3 + 2_000 + 2_000)
        assert pool.submit(exchanges(4_100)) == 4_003
        assert pool.capacity == 0


async def test_first_capacity_is_announced(heard: Recorder) -> None:
    async with serving() as server:
        pool = Pool(target_of(server), heard.take, heard.on_capacity, options=FAST, connection_options=QUICK)
        assert (pool.capacity, pool.submit(exchanges(1))) == (0, 0)
        await pool.start()
        await heard.until(lambda: heard.capacity_calls == 1)
        assert pool.submit(exchanges(1)) == 1
        await heard.until_answered(1)
        await pool.close()


async def test_connection_is_replaced_after_goaway_and_nothing_is_lost(heard: Recorder) -> None:
    async with serving(faults=Faults(goaway_after=300, goaway_unprocessed=5)) as server, pooled(server, heard) as pool:
        sent = 0
        while sent < 5_000:
            await pool.ready()
            sent += pool.submit(exchanges(min(200, 5_000 - sent)))
            await heard.until_answered(sent)
        assert server.accepted > 4
    assert set(heard.fates()) == {"ANSWERED", "NOT_SENT"}
    assert len(heard.answers) == 5_000


async def test_retired_connection_is_replaced_while_it_finishes(heard: Recorder) -> None:
    held: list[ServerRequest] = []
    async with serving(held.extend) as server, pooled(server, heard, replace(FAST, connections=1)) as pool:
        await pool.ready()
        first = an_exchange()
        pool.submit([first])
        pool.retire(first.connection, "ExpiredProviderToken")
        await heard.until(lambda: pool.stats().ready == 1)
        assert (pool.stats().draining, pool.stats().in_flight) == (1, 1)
        second = an_exchange()
        pool.submit([second])
        await heard.until(lambda: len(held) == 2)
        say_ok(held)
        await heard.until_answered(2)
        assert second.connection is not first.connection
        await heard.until(lambda: pool.stats().draining == 0)


async def test_server_that_drops_everybody_is_not_stormed(heard: Recorder) -> None:
    slow = replace(FAST, backoff_base_ms=100, backoff_cap_ms=10_000, stable_ms=60_000)
    async with serving() as server, pooled(server, heard, slow) as pool:
        await pool.ready()
        deadline = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < deadline:
            for each in list(server.connections):
                each.abort()
            await asyncio.sleep(0.005)
        # Without back-off a loopback server sees hundreds of connects in this second.
        assert server.accepted < 60


async def test_unreachable_target_is_retried_with_backoff_until_it_is_there(heard: Recorder) -> None:
    async with serving() as server:
        port = server.port
        target = target_of(server)
    pool = Pool(target, heard.take, heard.on_capacity, options=FAST, connection_options=QUICK)
    await pool.start()
    await heard.until(lambda: pool.stats().failures >= 4)
    assert pool.last_failure is not None
    back = Http2Server(say_ok, server._tls)
    await back.start(port=port)
    await asyncio.wait_for(pool.ready(), 5)
    await pool.close()
    await back.close()


async def test_connects_are_bounded_at_any_moment(heard: Recorder) -> None:
    many = replace(FAST, connections=12, connecting_at_once=3)
    silent = Faults(silent=True)
    async with serving(faults=silent) as server, pooled(server, heard, many) as pool:
        await heard.until(lambda: server.accepted == 3)
        assert pool.stats().connecting == 3
        await asyncio.sleep(0.2)
        assert server.accepted == 3
        server.faults = Faults()


async def test_single_requests_wait_for_a_free_stream(heard: Recorder) -> None:
    async with serving(max_streams=1) as server, pooled(server, heard, replace(FAST, connections=1)) as pool:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pool.request(an_exchange(number))) for number in range(20)]
        assert {task.result().status for task in tasks} == {200}
        assert heard.answers == []


async def test_single_request_without_capacity_says_so(heard: Recorder) -> None:
    async with serving(max_streams=0) as server, pooled(server, heard) as pool:
        sent = an_exchange()
        with pytest.raises(NoCapacity):
            await pool.request(sent, timeout_ms=50)
        assert sent.fate is Fate.PENDING


async def test_cancelled_single_request_does_not_leak_its_stream(heard: Recorder) -> None:
    held: list[ServerRequest] = []
    async with serving(held.extend) as server, pooled(server, heard, replace(FAST, connections=1)) as pool:
        await pool.ready()
        task = asyncio.ensure_future(pool.request(an_exchange()))
        await heard.until(lambda: len(held) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        say_ok(held)
        held[0].owner.flush()  # type: ignore[union-attr]
        await heard.until(lambda: pool.capacity == 1_000)


async def test_drain_answers_what_is_in_flight_and_takes_no_more(heard: Recorder) -> None:
    async with serving(faults=Faults(delay_ms=100)) as server, pooled(server, heard) as pool:
        await heard.until(lambda: pool.stats().ready == 4)
        pool.submit(exchanges(100))
        draining = asyncio.ensure_future(pool.drain(5.0))
        await asyncio.sleep(0)
        assert (pool.capacity, pool.submit(exchanges(1))) == (0, 0)
        await draining
        assert heard.fates() == {"ANSWERED": 100}
        assert pool.connections == []


async def test_drain_gives_up_at_its_deadline(heard: Recorder) -> None:
    async with serving(faults=Faults(black_hole=True)) as server, pooled(server, heard) as pool:
        await pool.ready()
        pool.submit(exchanges(10))
        await heard.until(lambda: server.received == 10)
        await pool.drain(0.1)
        assert heard.fates() == {"UNKNOWN": 10}


async def test_bytes_and_counts_outlive_connections(heard: Recorder) -> None:
    async with serving() as server, pooled(server, heard, replace(FAST, connections=1)) as pool:
        for round_number in range(1, 4):
            await pool.ready()
            pool.submit(exchanges(10))
            await heard.until_answered(10 * round_number)
            before = pool.stats()
            next(iter(server.connections)).abort()
            await heard.until(lambda round_number=round_number: pool.stats().lost == round_number)  # type: ignore[misc]
            assert pool.stats().bytes_out >= before.bytes_out > 0
        assert pool.stats().opened >= 3
