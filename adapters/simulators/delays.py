"""Answers that wait: one timer for all that are due in the same millisecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.http2.server_session import ServerRequest
from adapters.simulators.answer import Answer

Waiting = tuple[ServerRequest, Answer]


class Delays:
    """Gives what is due to `deliver`, in the order it came, on the running loop."""

    def __init__(self, deliver: Callable[[list[Waiting]], None]) -> None:
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._due: dict[int, list[Waiting]] = {}

    def add(self, delay_ms: float, request: ServerRequest, answer: Answer) -> None:
        """Let an answer wait, rounded up to a millisecond."""
        due_ms = int(self._loop.time() * 1000 + delay_ms) + 1
        waiting = self._due.get(due_ms)
        if waiting is None:
            waiting = self._due[due_ms] = []
            self._loop.call_at(due_ms / 1000, self._fire, due_ms)
        waiting.append((request, answer))

    def _fire(self, due_ms: int) -> None:
        self._deliver(self._due.pop(due_ms))
