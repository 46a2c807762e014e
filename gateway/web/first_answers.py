"""Ends connections that never ask for anything, which would use up what files the supervisor may open."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

# Bodies and previews are given up long before.
PATIENCE_S: Final = 60.0
# aiohttp's own is an hour.
KEEPALIVE_S: Final = 75.0


class FirstAnswers:
    """Closes each connection whose first answer has not begun in time; aiohttp waits for a request for ever.

    Looks four times in patience_s. Later requests are held to KEEPALIVE_S by aiohttp.
    """

    def __init__(self, app: web.Application, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._answered: set[object] = set()
        self._since_s: dict[web.RequestHandler, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        app.on_response_prepare.append(self._note)

    def watch(self, server: web.Server) -> None:
        """Look at the connections of a server from now on."""
        loop = asyncio.get_running_loop()
        connections = server.connections
        self._answered.intersection_update(connections)
        now_s = loop.time()
        self._since_s = {one: self._since_s.get(one, now_s) for one in connections if one not in self._answered}
        for one, since_s in self._since_s.items():
            if now_s - since_s >= self._patience_s:
                one.force_close()
        self._timer = loop.call_later(self._patience_s / 4, self.watch, server)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    async def _note(self, request: web.Request, _response: web.StreamResponse) -> None:
        self._answered.add(request.protocol)
