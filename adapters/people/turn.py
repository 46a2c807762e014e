"""Whose turn it is to move devices from user to user: one change at a time, whichever worker makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from adapters.journal.sqlite_file import waited_lock


class Turn:
    """Two files, of users and of devices, change together only while no other worker changes them too."""

    def __init__(self, path: Path) -> None:
        """path: a file that is locked, and made if there is none."""
        self._path = path
        # Of one worker only one call waits in a thread.
        self._mine = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for the turn and keep it; the kernel gives it back when the process dies."""
        async with self._mine:
            held = ExitStack()
            entering = asyncio.ensure_future(asyncio.to_thread(held.enter_context, waited_lock(self._path)))
            try:
                await asyncio.shield(entering)
                yield
            finally:
                # A caller who went away meanwhile must not leave a lock behind that nobody gives back.
                await asyncio.shield(asyncio.gather(entering, return_exceptions=True))
                held.close()
