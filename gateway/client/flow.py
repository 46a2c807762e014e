"""Bounds what is under way from one client, whoever waits first goes on first."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.client.errors import FlowControlFull
from gateway.client.options import FlowControl


class Gate:
    """Lets messages in up to the limits; a message larger than all of max_bytes goes alone."""

    def __init__(self, limits: FlowControl) -> None:
        self._limits = limits
        self._messages = 0
        self._bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def messages(self) -> int:
        """How many are under way."""
        return self._messages

    def try_enter(self, size: int) -> bool:
        """Take room for one message, or tell that there is none or that others wait for it."""
        if self._waiting or not self._has_room(size):
            return False
        self._take(size)
        return True

    async def enter(self, size: int) -> None:
        """Take room for one message when there is some. Raises FlowControlFull if the limits say to refuse."""
        if self.try_enter(size):
            return
        if self._limits.when_full == "refuse":
            raise FlowControlFull(f"{self._messages:,} messages of {self._bytes:,} bytes are under way")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # Let in at the same moment, or no longer to be counted on: either way the next may have its place.
            if turn.done() and not turn.cancelled():
                self.leave(size)
            else:
                self._let_in()
            raise

    def leave(self, size: int) -> None:
        """Give the room of one message back."""
        self._messages -= 1
        self._bytes -= size
        if self._waiting:
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if not self._has_room(size):
                    return
                self._take(size)
                turn.set_result(None)
            self._waiting.popleft()

    def _has_room(self, size: int) -> bool:
        if not self._messages:
            return True
        return self._messages < self._limits.max_messages and self._bytes + size <= self._limits.max_bytes

    def _take(self, size: int) -> None:
        self._messages += 1
        self._bytes += size
