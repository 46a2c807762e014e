"""How a channel's pool is replaced and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.http2.exchange import Exchange
from adapters.line import RENEWAL_DRAIN_S, Line


class SlowPool:
    """A pool whose drain takes as long as it is given, unless released."""

    def __init__(self, on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> None:
        self.deadlines: list[float] = []
        self.idle = asyncio.Event()
        self.started = False

    @property
    def capacity(self) -> int:
        return 5

    def submit(self, exchanges: list[Exchange]) -> int:
        return len(exchanges)

    def retire(self, connection: object, reason: str) -> None:
        raise AssertionError("there is no connection")

    async def start(self) -> None:
        self.started = True

    async def drain(self, deadline_s: float) -> None:
        self.deadlines.append(deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                await self.idle.wait()
        except TimeoutError:
            return


class Made:
    def __init__(self) -> None:
        self.pools: list[SlowPool] = []
        self.line = Line(self._make, lambda _: None, lambda: None)

    def _make(self, on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]) -> SlowPool:
        self.pools.append(SlowPool(on_answers, on_capacity))
        return self.pools[-1]


async def test_renewal_starts_the_new_pool_while_the_old_one_drains() -> None:
    made = Made()
    await made.line.start()
    await made.line.renew()
    await asyncio.sleep(0)
    old, new = made.pools
    assert (new.started, made.line.pool, old.deadlines) == (True, new, [RENEWAL_DRAIN_S])


async def test_close_shortens_the_drain_of_a_pool_renewed_before() -> None:
    made = Made()
    await made.line.renew()
    await asyncio.sleep(0)
    await made.line.close(0.01)
    old, new = made.pools
    assert (old.deadlines, new.deadlines) == ([RENEWAL_DRAIN_S, 0.01], [0.01])


async def test_a_pool_that_drained_is_forgotten() -> None:
    made = Made()
    await made.line.renew()
    made.pools[0].idle.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await made.line.close(0.01)
    assert made.pools[0].deadlines == [RENEWAL_DRAIN_S]


async def test_closed_line_takes_nothing_and_knows_no_gone_connection() -> None:
    made = Made()
    made.line.retire(None, "already gone")
    await made.line.close(0.01)
    assert (made.line.capacity, made.line.submit([])) == (0, 0)
