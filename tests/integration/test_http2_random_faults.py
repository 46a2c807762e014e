"""Whatever goes wrong at whatever moment, every exchange ends exactly once and every answer is the server's own."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.faults import Faults
from adapters.http2.options import ConnectionOptions, PoolOptions
from adapters.http2.pool import Pool
from adapters.http2.server import Http2Server
from adapters.http2.server_session import ServerRequest
from tests.fixtures_http2 import Recorder, an_exchange, serving, target_of

TOTAL = 6_000
OPTIONS = ConnectionOptions(
    request_timeout_ms=150, handshake_timeout_ms=300, ping_interval_ms=50, stall_ms=50, ping_timeout_ms=100,
    max_age_ms=400, drain_timeout_ms=200,
)
POOL = PoolOptions(connections=3, backoff_base_ms=5, backoff_cap_ms=20, stable_ms=20)


def pick_faults(dice: random.Random) -> Faults:
    return dice.choice([
        Faults(),
        Faults(delay_ms=dice.choice([1, 20, 200])),
        Faults(goaway_after=dice.randrange(1, 300), goaway_unprocessed=dice.randrange(10),
               goaway_graceful=dice.random() < 0.5),
        Faults(abort_after=dice.randrange(1, 300)),
        Faults(reset_one_in=dice.randrange(1, 20), reset_code=dice.choice([0, 2, 7, 8])),
        Faults(black_hole=True),
        Faults(silent=True),
    ])


def misbehave(server: Http2Server, dice: random.Random) -> None:
    server.faults = pick_faults(dice)
    if dice.random() < 0.3:
        server.announce(dice.choice([1, 2, 10, 100]))
    for each in list(server.connections):
        chance = dice.random()
        if chance < 0.05:
            each.abort()
        elif chance < 0.1:
            each.goaway()
        elif chance < 0.12:
            each.write_raw(b"\x00" * 30)


async def send_all(pool: Pool, batch: list[Exchange], heard: Recorder) -> None:
    sent = 0
    while sent < len(batch):
        await pool.ready()
        sent += pool.submit(batch[sent : sent + 20])
        await asyncio.sleep(0.003)
    await heard.until(lambda: len(heard.answers) >= len(batch), 20.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_exchange_ends_exactly_once_under_faults(seed: int) -> None:
    dice = random.Random(seed)
    seen: Counter[int] = Counter()

    def answer(requests: list[ServerRequest]) -> None:
        for request in requests:
            number = int(dict(request.headers)[b"apns-id"])
            seen[number] += 1
            request.respond(dice.choice([200, 200, 410, 503]), None, b"%d" % number if dice.random() < 0.7 else b"")

    heard = Recorder()
    batch = [an_exchange(number, b"x" * dice.choice([0, 2, 3_000])) for number in range(TOTAL)]
    async with serving(answer, max_streams=100, window_bytes=dice.choice([100, 65_535])) as server:
        pool = Pool(target_of(server), heard.take, options=POOL, connection_options=OPTIONS)
        await pool.start()
        sending = asyncio.ensure_future(send_all(pool, batch, heard))
        for _ in range(1_000):
            if sending.done():
                break
            await asyncio.sleep(0.005)
            misbehave(server, dice)
        server.faults = Faults()
        server.announce(100)
        await sending
        assert pool.stats().in_flight == 0
        await pool.close()
    check(heard, batch, seen)


def check(heard: Recorder, batch: list[Exchange], seen: Counter[int]) -> None:
    assert Counter(map(id, heard.answers)) == Counter(map(id, batch))
    assert len(heard.fates()) >= 3
    for number, each in enumerate(batch):
        assert each.fate is not Fate.PENDING
        if each.fate is Fate.ANSWERED and each.body:
            assert int(each.body) == number
        if each.fate is Fate.ANSWERED and not each.truncated:
            assert seen[number] == 1
        if each.fate is Fate.NOT_SENT:
            assert seen[number] == 0
