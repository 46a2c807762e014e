"""An SQLite file whose statements run on one thread of its own, a transaction for each piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from adapters.registry.store import mapped_errors
from core.errors import Unavailable

RESULT = TypeVar("RESULT")


class ThreadedFile:
    """Used on one event loop. Every method that works raises Unavailable, also once it is closed."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)

    async def read(self, work: Callable[[Connection], RESULT]) -> RESULT:
        """Do work that sees one state of the file; return what it returns."""
        return await self._run("BEGIN", work)

    async def write(self, work: Callable[[Connection], RESULT]) -> RESULT:
        """Do work in one commit; return what it returns."""
        # At once, since a read lock that must grow while another worker writes fails without waiting.
        return await self._run("BEGIN IMMEDIATE", work)

    async def maintain(self, work: Callable[[Connection], RESULT]) -> RESULT:
        """Do work that SQLite allows outside of transactions only; return what it returns."""
        return await self._run("", work)

    async def close(self) -> None:
        """Finish what was begun, then let go of the file."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()

    async def _run(self, begin: str, work: Callable[[Connection], RESULT]) -> RESULT:
        if self._closed:
            raise Unavailable(f"{self._path.stem} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, begin, work)

    def _transaction(self, begin: str, work: Callable[[Connection], RESULT]) -> RESULT:
        with mapped_errors(self._path), self._engine.begin() as connection:
            if begin:
                connection.exec_driver_sql(begin)
            return work(connection)
