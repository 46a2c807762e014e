"""What a worker tells its supervisor, over a pipe it inherits: that it lives, and whether it is ready."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import orjson

WORKER = "WALLETPUSH_WORKER"
SUPERVISOR_PID = "WALLETPUSH_SUPERVISOR_PID"
REPORT_FD = "WALLETPUSH_REPORT_FD"
PR_SET_PDEATHSIG = 1
MAX_REPORT_BYTES = 32_768
OK = "ok"

Checks = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's checks: name -> "ok" or what is wrong."""

    checks: Checks

    @property
    def ready(self) -> bool:
        """Tell whether every check is ok."""
        return all(state == OK for state in self.checks.values())

    def encode(self) -> bytes:
        """Return one line; a report too long for an atomic write says so instead."""
        line = orjson.dumps(dict(self.checks)) + b"\n"
        return line if len(line) <= MAX_REPORT_BYTES else orjson.dumps({"report": "is too long"}) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Read a line. Raises ValueError when it is none of ours."""
        checks = orjson.loads(line)
        if not isinstance(checks, dict):
            raise ValueError("a report is a JSON object")  # noqa: TRY004  # the value of the line is wrong, not our types
        return cls({str(name): str(state) for name, state in checks.items()})


class ReportPipe:
    """The worker's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self | None:
        """Return the pipe of this worker; None for a process that nobody supervises."""
        fd = env.get(REPORT_FD)
        return cls(int(fd)) if fd else None

    def send(self, report: Report) -> None:
        """Write a report; what the supervisor is too slow to read is dropped, the next one tells the same."""
        try:
            os.write(self._fd, report.encode())
        except (BlockingIOError, BrokenPipeError):
            return

    async def send_forever(self, checks: Callable[[], Checks], interval_s: float = 1.0) -> None:
        """Report now and then every interval; silence makes the supervisor think that this process hangs."""
        while True:
            self.send(Report(checks()))
            await asyncio.sleep(interval_s)


def die_with_supervisor(env: Mapping[str, str]) -> None:
    """Have the kernel kill this process when its supervisor dies; do nothing when it has none.

    SIGKILL, not SIGTERM: a new supervisor must find journals and port free at once, and nothing accepted is lost.
    Raises ProcessLookupError when the supervisor died before.
    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    supervisor = env.get(SUPERVISOR_PID)
    if supervisor is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(supervisor):
        raise ProcessLookupError("the supervisor is gone")
