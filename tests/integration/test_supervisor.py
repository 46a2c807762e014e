"""The supervisor over real processes: start, death, restart, drain, crash loop, its own death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from gateway.supervisor import CrashLoop, RestartPolicy, Supervisor

FAST = RestartPolicy(base_s=0.01, cap_s=0.05, failed_cap_s=0.05, max_failed_starts=3)
WORKER = """
import os, signal, sys, time
from gateway.worker_report import Report, ReportPipe, die_with_supervisor
die_with_supervisor(os.environ)
how, notes, number = sys.argv[1], sys.argv[2], os.environ["WALLETPUSH_WORKER"]
def note(text):
    with open(notes, "a") as file:
        file.write(f"{text}{number}\\n")
def end(*_):
    note("drained")
    sys.exit(0)
if how == "crash" or how == "once" and number == "0" and "started0" in open(notes).read():
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else end)
signal.signal(signal.SIGHUP, lambda *_: note("reloaded"))
pipe = ReportPipe.from_env(os.environ)
pipe.send(Report({"journal": "disk full" if how == "unready" else "ok"}))
note("started")
while True:
    time.sleep(0.02)
    if how != "hang":
        pipe.send(Report({"journal": "disk full" if how == "unready" else "ok"}))
"""


def command(how: str, notes: Path) -> Callable[[int], Sequence[str]]:
    return lambda _number: [sys.executable, "-c", WORKER, how, str(notes)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # other processes have no events to wait for
            await asyncio.sleep(0.01)


def notes_in(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


class Supervised:
    """A supervisor that runs in a task."""

    def __init__(self, supervisor: Supervisor, notes: Path) -> None:
        self.supervisor = supervisor
        self._notes = notes
        self.task = asyncio.create_task(supervisor.run())

    def count(self, note: str) -> int:
        return sum(text.startswith(note) for text in notes_in(self._notes))

    def restarts(self, worker: int) -> float:
        labels = {"worker": str(worker)}
        return self.supervisor.registry.get_sample_value("walletpush_worker_restarts_total", labels) or 0.0


@asynccontextmanager
async def running(
    tmp_path: Path, how: str = "serve", workers: int = 2, drain_s: float = 10.0, policy: RestartPolicy = FAST
) -> AsyncIterator[Supervised]:
    notes = tmp_path / "notes"
    prepare = (tmp_path / "shared").touch
    metrics_dir = tmp_path / "metrics"
    supervisor = Supervisor(
        command(how, notes), workers, metrics_dir, prepare=prepare, drain_s=drain_s, policy=policy
    )
    supervised = Supervised(supervisor, notes)
    try:
        if how != "crash":
            await until(lambda: supervised.count("started") >= workers or supervised.task.done())
        yield supervised
    finally:
        supervised.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, CrashLoop):
            await supervised.task
        assert supervisor.pids() == {}


async def test_workers_start_after_what_they_share_and_are_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        assert (tmp_path / "shared").exists()
        await until(lambda: supervised.supervisor.checks() == {"worker0.journal": "ok", "worker1.journal": "ok"})
        assert supervised.supervisor.registry.get_sample_value("walletpush_workers_ready") == 2


async def test_stop_drains_every_worker(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        supervised.supervisor.stop()
        assert await supervised.task is True
        assert supervised.count("drained") == 2


async def test_term_signal_drains_and_hup_reloads(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: supervised.count("reloaded") == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await supervised.task is True
        assert supervised.count("drained") == 2


async def test_worker_that_does_not_end_is_killed_at_the_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, "stubborn", drain_s=0.2) as supervised:
        supervised.supervisor.stop()
        assert await supervised.task is False


async def test_second_stop_kills_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, "stubborn", drain_s=600) as supervised:
        supervised.supervisor.stop()
        supervised.supervisor.stop()
        assert await asyncio.wait_for(supervised.task, 10) is False


async def test_killed_worker_comes_back_and_the_other_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        before = supervised.supervisor.pids()
        for times in range(1, 6):
            os.kill(supervised.supervisor.pids()[0], signal.SIGKILL)
            await until(lambda n=times: supervised.count("started") == 2 + n)  # type: ignore[misc]
        after = supervised.supervisor.pids()
        assert after[0] != before[0]
        assert after[1] == before[1]
        assert (supervised.restarts(0), supervised.restarts(1)) == (5, 0)


async def test_crash_loop_stops_everything_with_its_cause(tmp_path: Path) -> None:
    async with running(tmp_path, "crash") as supervised:
        with pytest.raises(CrashLoop, match=r"3 times in a row before it was ready \(exit code 3\)"):
            await supervised.task


async def test_worker_that_cannot_come_back_does_not_end_the_others(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    async with running(tmp_path, "once") as supervised:
        supervisor = supervised.supervisor
        await until(lambda: supervisor.checks() == {"worker0.journal": "ok", "worker1.journal": "ok"})
        before = supervisor.pids()
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: supervised.restarts(0) > 2 * FAST.max_failed_starts)
        assert supervisor.pids()[1] == before[1]
        assert supervisor.checks()["worker1.journal"] == "ok"
        supervisor.stop()
        assert await supervised.task is True


async def test_command_that_cannot_be_started_is_a_crash_loop(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda _n: ["/nowhere"], 1, tmp_path, prepare=lambda: None, policy=FAST)
    with pytest.raises(CrashLoop, match="cannot be started"):
        await supervisor.run()


async def test_hung_worker_is_replaced(tmp_path: Path) -> None:
    policy = RestartPolicy(base_s=0.01, cap_s=0.05, hung_s=0.3)
    async with running(tmp_path, "hang", 1, policy=policy) as supervised:
        await until(lambda: supervised.count("started") >= 2)


async def test_checks_tell_what_a_worker_lacks(tmp_path: Path) -> None:
    async with running(tmp_path, "unready", 1) as supervised:
        await until(lambda: supervised.supervisor.checks() == {"worker0.journal": "disk full"})
        supervised.supervisor.stop()
        assert supervised.supervisor.checks()["draining"] == "yes"


async def test_cancelled_supervisor_leaves_no_worker(tmp_path: Path) -> None:
    async with running(tmp_path, "stubborn") as supervised:
        pids = supervised.supervisor.pids().values()
        supervised.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await supervised.task
        assert not any(psutil.pid_exists(pid) for pid in pids)


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from gateway.supervisor import Supervisor
worker, notes = sys.argv[1], sys.argv[2]
command = [sys.executable, "-c", worker, "stubborn", notes]
asyncio.run(Supervisor(lambda n: command, 2, Path(notes).parent / "metrics", prepare=lambda: None).run())
"""


async def test_workers_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    devnull = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, WORKER, str(notes), stdout=devnull, stderr=devnull
    )
    try:
        await until(lambda: len(notes_in(notes)) == 2)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
    finally:
        process.kill()
        await process.wait()
    await until(lambda: not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers))
