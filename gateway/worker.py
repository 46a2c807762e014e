"""One worker process at run time: started, watched, reloaded and drained."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine
from contextlib import suppress

from core.errors import Unavailable
from gateway.logs import get_logger
from gateway.loop_watch import LoopWatch
from gateway.observer import Observer
from gateway.parts import Parts
from gateway.worker_report import OK, Checks, ReportPipe

# A batch makes thousands of short-lived objects and no cycles; collecting every 700 of them cost 8 % of the time.
_GC_THRESHOLDS = (50_000, 20, 50)
# The journal's thread needs the interpreter a few times per commit; at Python's 5 ms a busy loop made payments wait.
_SWITCH_S = 0.0005
_FLUSH_S = 2.0
# How long new calls are refused before the server closes.
_LAME_DUCK_S = 0.25


class Worker:
    """Runs the parts until it is told to stop."""

    def __init__(self, parts: Parts, drain_s: float, reports: ReportPipe | None) -> None:
        self.parts = parts
        self.drain_s = drain_s
        self._reports = reports
        self._stopping = asyncio.Event()
        self._logger = get_logger("worker")
        self._started = False

    def stop(self) -> None:
        """Begin to drain."""
        self._stopping.set()

    def checks(self) -> Checks:
        """Say what keeps this worker from taking notifications; a provider that is away does not, the journal keeps."""
        journal = self.parts.journal
        return {
            "serving": OK if self._started else "starting",
            "draining": "yes" if self._stopping.is_set() else OK,
            "journal": OK if not journal.failing else "cannot be written",
        }

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Serve until stop(), then drain. tasks: whose tasks end with this worker; the intake adds its own."""
        parts = self.parts
        background = [
            tasks.create_task(coroutine, name=name) for name, coroutine in self._background().items()
        ]
        await parts.channels.start()
        for route in parts.routes:
            await route.channel.start()
        await parts.socket.start()
        if parts.server is not None:
            await parts.server.start()
        tune_interpreter()
        self._started = True
        self._logger.info("serving", port=parts.server.port if parts.server else 0)
        await self._stopping.wait()
        await self._drain()
        for task in background:
            task.cancel()
        await self._close()

    def _background(self) -> dict[str, Coroutine[object, object, object]]:
        parts = self.parts
        found: dict[str, Coroutine[object, object, object]] = {
            "replay": parts.reviver.replay(parts.journal, parts.clock.unix_ms()),
            "record": parts.settler.record(),
            "retire": parts.retirer.run(),
            "sweep": parts.dispatcher.sweep(),
            "schedule": parts.schedule.run(parts.reviver.release),
            "deferrals": parts.policy.deferrals.run(parts.policy.gates.plan_due),
            "recheck": parts.rechecker.run(),
            "observe": Observer(parts).run(),
            "watch": LoopWatch(parts.metrics).run(),
        }
        if parts.number == 0:
            found["erasures"] = parts.eraser.run()
            found["retention"] = parts.privacy.retention.run()
        if self._reports is not None:
            found["report"] = self._reports.send_forever(self.checks)
        return found

    async def _drain(self) -> None:
        parts = self.parts
        self._logger.info("draining", pending=parts.queue.in_use)
        parts.intake.close()
        parts.tracking.close()
        if parts.server is not None:
            await parts.server.stop_taking()
            # gRPC tells a call that meets the closing itself CANCELLED, which no caller tries again elsewhere:
            # for a moment every new call is refused as UNAVAILABLE, so that callers are gone when the door shuts.
            await asyncio.sleep(min(_LAME_DUCK_S, self.drain_s))
            # Calls under way wait for one commit, so they end long before this.
            await parts.server.stop(min(5.0, self.drain_s))
        parts.dispatcher.stop()
        await asyncio.gather(*(route.channel.close(self.drain_s) for route in parts.routes))
        for flush in (parts.settler.flush, parts.retirer.flush):
            # A disk that cannot be written must not hold up the end: what is not recorded is sent again.
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await flush()
        self._logger.info("drained", left_in_journal=parts.queue.in_use)

    async def _close(self) -> None:
        parts = self.parts
        await parts.socket.stop()
        await parts.eraser.close()
        await parts.peers.close()
        await parts.channels.close()
        parts.archive.close()
        if parts.tracer is not None:
            await parts.tracer.close()
        await parts.policy.store.close()
        await parts.people.people.close()
        await parts.privacy.audit.close()
        await parts.registry.close()
        await parts.journal.close()


def tune_interpreter() -> None:
    """Make the interpreter fit for a worker that has started: what exists by now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_S)
