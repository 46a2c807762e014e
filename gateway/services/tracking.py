"""What becomes of notifications, asked of whichever worker has them: standing, receipts to follow, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from core.errors import InvalidRequest, Overloaded
from core.model import Receipt
from core.notification_id import parse_id
from gateway.convert import Scope
from gateway.cursor import BEGIN, Position, format_cursor, parse_cursor
from gateway.peers import Peers
from gateway.pipeline.archive import Archive, Standing
from gateway.pipeline.cancel import Cancelled, Canceller
from gateway.scopes import Scopes

_POLL_S = 0.05
_HEARTBEAT_S = 10.0
_MAX_WATCHERS = 256


class Tracking:
    """The answers of one worker for all of them; number: its own journal's."""

    def __init__(self, *, archive: Archive, canceller: Canceller, peers: Peers, scopes: Scopes, number: int) -> None:
        self._archive = archive
        self._canceller = canceller
        self._peers = peers
        self._scopes = scopes
        self._number = number
        self._watchers = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End the streams of those who watch; their cursors lead on elsewhere."""
        self._closed.set()

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps after a reload."""
        self._scopes = scopes

    async def standing(self, ident: bytes, scope: Scope) -> Standing:
        """Return where a notification stands. Raises UnknownNotification."""
        return await self._archive.standing(ident, scope)

    async def cancel(self, ident: bytes, scope: Scope) -> Cancelled:
        """Cancel here or at the worker that has it. Raises UnknownNotification, or Unavailable if that one is down."""
        number = parse_id(ident)[1]
        if number == self._number:
            return await self._canceller.cancel(ident, scope)
        return await self._peers.cancel(number, ident, scope.tenant)

    async def follow(
        self, scope: Scope, cursor: str, app: str, until_caught_up: bool
    ) -> AsyncGenerator[tuple[list[Receipt], str], None]:
        """Yield receipts of the scope's tenant and the cursor behind them, for ever unless until_caught_up.

        Raises InvalidRequest for a wrong cursor or app, Overloaded beyond 256 watchers of this worker.
        """
        app_tag = self._app_tag(scope, app)
        if self._watchers >= _MAX_WATCHERS:
            raise Overloaded("the receipt watchers", 1_000)
        self._watchers += 1
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            positions = await self._start(cursor)
            if not cursor and not until_caught_up:
                # "From now on" has to survive a disconnect before the first receipt.
                yield [], format_cursor(positions)
            quiet_s = 0.0
            while not self._closed.is_set():
                receipts, moved = await self._archive.read(positions)
                mine = [r for r in receipts if r.tenant_tag == scope.tenant_tag and app_tag in (0, r.app_tag)]
                caught_up = moved == positions
                if mine or quiet_s >= _HEARTBEAT_S or (caught_up and until_caught_up):
                    yield mine, format_cursor(moved)
                    quiet_s = 0.0
                positions = moved
                if caught_up:
                    if until_caught_up:
                        return
                    await asyncio.wait((closed,), timeout=_POLL_S)
                    quiet_s += _POLL_S
        finally:
            closed.cancel()
            self._watchers -= 1

    async def _start(self, cursor: str) -> dict[int, Position]:
        if cursor == BEGIN:
            return {}
        return parse_cursor(cursor) if cursor else await self._archive.newest()

    def _app_tag(self, scope: Scope, app: str) -> int:
        if not app:
            return 0
        if app not in scope.providers:
            raise InvalidRequest("app", f"unknown app {app[:64]!r}, or not yours")
        return scope.app_tags[app]
