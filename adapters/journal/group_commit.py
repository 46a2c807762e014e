"""One thread that owns a store's connection and writes whatever is queued in one commit.

Futures and byte counts are touched on the event loop only, the store in the thread only; they meet at a queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from core.errors import Failure, Overloaded, Unavailable

ITEM = TypeVar("ITEM")
RESULT = TypeVar("RESULT")
STORED = TypeVar("STORED", contravariant=True)
WRITTEN = TypeVar("WRITTEN", covariant=True)
log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0
MAX_ITEMS = 1024


class Store(Protocol[STORED, WRITTEN]):
    """What the thread writes to; every method is called in the thread."""

    def write(self, items: Sequence[STORED]) -> Sequence[WRITTEN | Failure]:
        """Write all in one commit and return a result for each; a Failure as result is that item's alone.

        Raises Unavailable if the commit failed; then nothing of it was written.
        """

    def upkeep(self, idle: bool) -> float:
        """Do one short piece of maintenance; return after how many seconds the next is due."""

    def close(self) -> None:
        """Let go of the file."""


class Queued(Generic[ITEM, RESULT]):
    """An item on its way to the disk; an insistent one survives failed commits."""

    __slots__ = ("future", "insistent", "item", "queued_ns", "size")

    def __init__(self, item: ITEM, size: int, insistent: bool, future: asyncio.Future[RESULT]) -> None:
        self.item = item
        self.size = size
        self.insistent = insistent
        self.future = future
        self.queued_ns = time.perf_counter_ns()


Observer = Callable[[list[ITEM], int, int, int], None]


class GroupCommit(Generic[ITEM, RESULT]):
    """The queue and the thread.

    commits and failures count attempts; failing: whether the last one failed; last_commit_ns: the last good one's time.

    observe hears of each good commit on the loop: items, their size in bytes, duration_ns, and the oldest's wait_ns.
    """

    def __init__(
        self,
        name: str,
        store: Store[ITEM, RESULT],
        *,
        queue_bytes: int,
        kept_bytes: int,
        commit_bytes: int,
        observe: Observer[ITEM] | None = None,
    ) -> None:
        self.commits = 0
        self.failures = 0
        self.failing = False
        self.last_commit_ns = 0
        self.backlog_bytes = 0
        self._name = name
        self._store = store
        self._queue_bytes = queue_bytes
        self._kept_bytes = kept_bytes
        self._commit_bytes = commit_bytes
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Queued[ITEM, RESULT] | None] = SimpleQueue()
        self._kept: list[Queued[ITEM, RESULT]] = []
        self._in_hand: list[Queued[ITEM, RESULT]] = []
        self._closed = False
        self._closing = False
        self._retry_s = FIRST_RETRY_S
        self._upkeep_due = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: ITEM, size: int) -> asyncio.Future[RESULT]:
        """Queue an item; its future fails with Unavailable if its commit does.

        Raises Overloaded when the queue is full, Unavailable when it is closed.
        """
        if self.backlog_bytes and self.backlog_bytes + size > self._queue_bytes:
            raise Overloaded(f"{self._name} queue", retry_after_ms=max(20, 2 * self.last_commit_ns // 1_000_000))
        return self._enqueue(item, size, insistent=False)

    def insist(self, item: ITEM, size: int) -> asyncio.Future[RESULT]:
        """Queue an item that is tried again after a failed commit, as long as all such fit into kept_bytes.

        Raises Unavailable when it is closed.
        """
        return self._enqueue(item, size, insistent=True)

    async def close(self) -> None:
        """Write what is queued, try once more what was kept, then end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        # The thread posted its last results before it ended; give them their turn.
        await asyncio.sleep(0)

    def _enqueue(self, item: ITEM, size: int, *, insistent: bool) -> asyncio.Future[RESULT]:
        if self._closed:
            raise Unavailable(f"{self._name} is closed")
        future: asyncio.Future[RESULT] = self._loop.create_future()
        self.backlog_bytes += size
        self._queue.put(Queued(item, size, insistent, future))
        return future

    def _run(self) -> None:
        try:
            while not self._closing or self._kept or not self._queue.empty():
                self._turn()
        except Exception:
            self.failures += 1
            self.failing = True
            log.exception("group_commit_died", extra={"store": self._name})
        finally:
            self._closed = True
            # If the thread died, nobody else would ever answer for what it was writing or had to write.
            batch = [*self._in_hand, *self._take_batch()]
            while batch:
                self._abandon(batch, "is closed")
                batch = self._take_batch()
            self._store.close()

    def _turn(self) -> None:
        batch = self._in_hand = self._wait_batch()
        if batch:
            self._commit(batch)
            self._in_hand = []
        if time.monotonic() >= self._upkeep_due:
            self._upkeep_due = time.monotonic() + self._store.upkeep(idle=not batch)

    def _wait_batch(self) -> list[Queued[ITEM, RESULT]]:
        """Wait for an item, but not beyond the next retry or upkeep; with it comes whatever else is queued."""
        patience = self._retry_s if self._kept else max(0.0, self._upkeep_due - time.monotonic())
        if self._closing:
            return self._take_batch()
        try:
            first = self._queue.get(timeout=patience)
        except Empty:
            return self._take_batch()
        self._closing = first is None
        return self._take_batch(first)

    def _take_batch(self, first: Queued[ITEM, RESULT] | None = None) -> list[Queued[ITEM, RESULT]]:
        """Take what was kept, then what is queued, up to a commit's bounds."""
        batch, self._kept = self._kept, []
        if first:
            batch.append(first)
        size = sum(queued.size for queued in batch)
        while size < self._commit_bytes and len(batch) < MAX_ITEMS:
            try:
                queued = self._queue.get_nowait()
            except Empty:
                break
            if queued is None:
                self._closing = True
            else:
                batch.append(queued)
                size += queued.size
        return batch

    def _commit(self, batch: list[Queued[ITEM, RESULT]]) -> None:
        began_ns = time.perf_counter_ns()
        try:
            results = self._store.write([queued.item for queued in batch])
        except Unavailable as error:
            self._fail(batch, str(error))
            return
        self.last_commit_ns = time.perf_counter_ns() - began_ns
        self.commits += 1
        self.failing = False
        self._retry_s = FIRST_RETRY_S
        self._post(self._resolve, batch, results, self.last_commit_ns, began_ns - batch[0].queued_ns)

    def _fail(self, batch: list[Queued[ITEM, RESULT]], why: str) -> None:
        """Fail what may fail now; try the insistent ones alone at once, since they may fit where the batch did not."""
        self.failures += 1
        self.failing = True
        kept = [queued for queued in batch if queued.insistent]
        if len(kept) < len(batch):
            self._abandon([queued for queued in batch if not queued.insistent], why)
            if kept:
                self._commit(kept)
            return
        if self._closing:
            self._abandon(kept, why)
            return
        self._retry_s = min(LAST_RETRY_S, self._retry_s * 2)
        size = 0
        for position, queued in enumerate(kept):
            size += queued.size
            if size > self._kept_bytes:
                self._abandon(kept[position:], f"{why}; more than {self._kept_bytes} bytes are waiting already")
                kept = kept[:position]
                break
        self._kept = kept

    def _abandon(self, batch: list[Queued[ITEM, RESULT]], why: str) -> None:
        if batch:
            self._post(self._resolve, batch, [Unavailable(f"{self._name} {why}") for _ in batch], 0, 0)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            log.warning("group_commit_without_loop", extra={"store": self._name})

    def _resolve(
        self, batch: list[Queued[ITEM, RESULT]], results: Sequence[RESULT | Failure], duration_ns: int, wait_ns: int,
    ) -> None:
        size = 0
        for queued, result in zip(batch, results, strict=True):
            size += queued.size
            if queued.future.done():
                continue
            if isinstance(result, Failure):
                queued.future.set_exception(result)
            else:
                queued.future.set_result(result)
        self.backlog_bytes -= size
        if duration_ns and self._observe:
            self._observe([queued.item for queued in batch], size, duration_ns, wait_ns)
