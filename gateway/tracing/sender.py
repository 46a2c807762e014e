"""Spans on their way to the receiver: bounded, sent by a thread, dropped and counted when it cannot follow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.logs import get_logger
from gateway.tracing.span import Span

# Why spans are dropped.
QUEUE_FULL, TOO_MANY, NOT_SENT, REFUSED, UNSENT = "queue_full", "too_many_open", "not_sent", "refused", "stopped"
_FIRST_PAUSE_S = 0.2
_HANG_UP_S = 1.0


class ExportFailed(Exception):
    """The receiver did not take a batch; transient: another try may help."""

    def __init__(self, why: str, *, transient: bool) -> None:
        super().__init__(why)
        self.transient = transient


class Export(Protocol):
    """The receiver, as one thread talks to it."""

    def send(self, spans: Sequence[Span], timeout_s: float) -> int:
        """Send spans; return how many of them were refused. Raises ExportFailed."""

    def close(self) -> None:
        """Hang up, from any thread; a call under way fails."""


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """As in the settings."""

    queue_spans: int = 16_384
    batch_spans: int = 512
    interval_s: float = 1.0
    timeout_s: float = 5.0


class SpanSender:
    """Takes spans from one thread, and sends them from another.

    sent, dropped: called from any thread with how many, and why they were dropped.
    """

    def __init__(
        self, export: Export, limits: SenderLimits, sent: Callable[[int], None], dropped: Callable[[str, int], None]
    ) -> None:
        self._export = export
        self._limits = limits
        self._sent = sent
        self._dropped = dropped
        self._queue: deque[Span] = deque()
        # Running totals, written by whoever puts; and as far as they were told.
        self._lost = {QUEUE_FULL: 0, TOO_MANY: 0}
        self._told = {QUEUE_FULL: 0, TOO_MANY: 0}
        self._telling = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._abandoned = False
        self._failing = False
        self._logger = get_logger("tracing")
        self._thread = threading.Thread(target=self._run, name="span-sender", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Tell whether the thread lives."""
        return self._thread.is_alive()

    def put(self, span: Span) -> None:
        """Queue a span, or drop it; never waits."""
        queue = self._queue
        if len(queue) >= self._limits.queue_spans:
            self._lost[QUEUE_FULL] += 1
            return
        queue.append(span)
        if len(queue) == self._limits.batch_spans:
            self._wake.set()

    def decline(self) -> None:
        """Count a notification that is not traced because too many are."""
        self._lost[TOO_MANY] += 1

    async def close(self) -> None:
        """Send what is queued, for as long as one export may take; drop the rest."""
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, self._limits.timeout_s)
        self._abandoned = True
        self._export.close()
        await asyncio.to_thread(self._thread.join, _HANG_UP_S)
        self._tell(UNSENT, len(self._queue))
        self._tell_lost()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait(self._limits.interval_s)
                self._wake.clear()
                self._send_all()
            self._send_all()
        except Exception:  # the top of the thread: deliveries go on, and all further spans are dropped
            self._logger.error("tracing_stopped", exc_info=True)
            self._limits = replace(self._limits, queue_spans=0)

    def _send_all(self) -> None:
        while self._queue and not self._abandoned:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.batch_spans))]
            self._send(batch)
            self._tell_lost()
        self._tell_lost()

    def _send(self, batch: list[Span]) -> None:
        until_s = time.monotonic() + self._limits.timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                refused = self._export.send(batch, max(0.1, until_s - time.monotonic()))
            except ExportFailed as failure:
                if not failure.transient or self._closing.is_set() or time.monotonic() + pause_s > until_s:
                    self._fail(failure, len(batch))
                    return
                self._closing.wait(pause_s)
                pause_s *= 2
            else:
                self._succeed(len(batch) - refused)
                self._tell(REFUSED, refused)
                return

    def _succeed(self, count: int) -> None:
        self._sent(count)
        if self._failing:
            self._failing = False
            self._logger.info("spans_sent_again")

    def _fail(self, failure: ExportFailed, count: int) -> None:
        self._tell(NOT_SENT, count)
        if not self._failing:
            self._failing = True
            self._logger.warning("spans_not_sent", why=str(failure))

    def _tell(self, why: str, count: int) -> None:
        if count:
            self._dropped(why, count)

    def _tell_lost(self) -> None:
        with self._telling:
            for why, total in self._lost.items():
                self._tell(why, total - self._told[why])
                self._told[why] = total
