"""One worker as its supervisor sees it: a child process and the reports it sends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from gateway.worker_report import MAX_REPORT_BYTES, REPORT_FD, SUPERVISOR_PID, WORKER, Report


class WorkerProcess:
    """A running child; use `spawn`."""

    def __init__(
        self, number: int, process: asyncio.subprocess.Process, reports: int, on_ready: Callable[[WorkerProcess], None]
    ) -> None:
        self.number = number
        self.report: Report | None = None
        self.was_ready = False
        self.started_s = self.heard_s = time.monotonic()
        self._process = process
        self._reports = reports
        self._on_ready = on_ready
        self._unread = b""

    @classmethod
    async def spawn(
        cls, number: int, command: Sequence[str], env: Mapping[str, str], on_ready: Callable[[WorkerProcess], None]
    ) -> Self:
        """Start the command in a session of its own, so that a terminal's Ctrl-C reaches only the supervisor.

        on_ready: called at its first report that all is ok. Raises OSError when it cannot be started.
        """
        ours, theirs = os.pipe()
        names = {WORKER: str(number), SUPERVISOR_PID: str(os.getpid()), REPORT_FD: str(theirs)}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**env, **names},
                pass_fds=(theirs,),
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        worker = cls(number, process, ours, on_ready)
        os.set_blocking(ours, False)
        asyncio.get_running_loop().add_reader(ours, worker._on_readable)
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def uptime_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_s

    @property
    def silent_s(self) -> float:
        """Seconds since its last report; 0 for a worker that has never reported."""
        return time.monotonic() - self.heard_s if self.report is not None else 0.0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Return its exit code once it ended, the negative signal number if it was killed."""
        code = await self._process.wait()
        # Its last words may still lie in the pipe.
        self._on_readable()
        return code

    async def close(self) -> None:
        """Kill it if it still runs, and let go of the pipe."""
        asyncio.get_running_loop().remove_reader(self._reports)
        os.close(self._reports)
        self.signal(signal.SIGKILL)
        await self._process.wait()

    def _on_readable(self) -> None:
        try:
            chunk = os.read(self._reports, MAX_REPORT_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._reports)
            return
        *lines, self._unread = (self._unread + chunk)[-2 * MAX_REPORT_BYTES :].split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            self.report = Report.decode(line)
        except ValueError:
            return
        self.heard_s = time.monotonic()
        if self.report.ready and not self.was_ready:
            self.was_ready = True
            self._on_ready(self)
