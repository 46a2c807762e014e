"""What a channel sends on: one pool at a time, replaced whole when its credential changes, the old one drained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from adapters.http2.exchange import Exchange
from core.delivery import Notification
from core.errors import ContentRefused
from core.ports import Rendered


class ExchangePool(Protocol):
    """Connections to one provider; adapters.http2.pool.Pool is one."""

    @property
    def capacity(self) -> int:
        """Exchanges that submit would take now; after a 0 the owner is told when there is room again."""

    def submit(self, exchanges: list[Exchange]) -> int:
        """Send the first of these and return how many; each comes back once."""

    def retire(self, connection: object, reason: str) -> None:
        """Have one connection replaced."""

    async def start(self) -> None:
        """Begin to connect."""

    async def drain(self, deadline_s: float) -> None:
        """Take no more, wait at most this long for what is in flight, then close."""


PoolFactory = Callable[[Callable[[list[Exchange]], None], Callable[[], None]], ExchangePool]

RENEWAL_DRAIN_S = 30.0


def render_each(
    render: Callable[[Notification], tuple[bytes, object]], notifications: list[Notification]
) -> list[Rendered]:
    """Render one after the other; a refusal stands where the payload would."""
    found: list[Rendered] = []
    for notification in notifications:
        try:
            found.append(render(notification))
        except ContentRefused as refused:
            found.append(refused)
    return found


class Line:
    """The pool in use and those being drained; answers of all of them arrive the same way."""

    def __init__(
        self, make_pool: PoolFactory, on_answers: Callable[[list[Exchange]], None], on_capacity: Callable[[], None]
    ) -> None:
        self._make_pool = make_pool
        self._on_answers = on_answers
        self._on_capacity = on_capacity
        self._open = True
        self._draining: dict[ExchangePool, asyncio.Task[None]] = {}
        self.pool = make_pool(on_answers, on_capacity)

    @property
    def capacity(self) -> int:
        """What the pool in use would take now."""
        return self.pool.capacity if self._open else 0

    def submit(self, exchanges: list[Exchange]) -> int:
        """Send on the pool in use; return how many were taken."""
        return self.pool.submit(exchanges) if self._open else 0

    def retire(self, connection: object, reason: str) -> None:
        """Have one connection of the pool replaced; a connection that is gone already is none of its business."""
        if connection is not None:
            self.pool.retire(connection, reason)

    async def start(self) -> None:
        """Begin to connect."""
        await self.pool.start()

    async def renew(self) -> None:
        """Open new connections for all that follows; what is in flight on the old ones may end there."""
        old, self.pool = self.pool, self._make_pool(self._on_answers, self._on_capacity)
        task = asyncio.create_task(old.drain(RENEWAL_DRAIN_S), name="drain of a renewed pool")
        self._draining[old] = task
        task.add_done_callback(lambda _: self._draining.pop(old, None))
        await self.pool.start()

    async def close(self, drain_s: float) -> None:
        """Take no more, wait at most drain_s for what is in flight, then close."""
        self._open = False
        pools, tasks = [self.pool, *self._draining], list(self._draining.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A cancelled drain leaves its connections open, so it is begun anew with the shorter deadline.
        await asyncio.gather(*(pool.drain(drain_s) for pool in pools))
