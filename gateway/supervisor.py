"""Keeps N worker processes running: starts, watches, restarts and stops them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from core.errors import Failure
from gateway.logs import get_logger
from gateway.metric_families import clear_worker_files, forget_gauges
from gateway.worker_process import WorkerProcess
from gateway.worker_report import OK

WATCH_S = 1.0
KILLED = "killed by SIGKILL"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class CrashLoop(Failure):
    """A worker ends again and again before it is ready."""

    def __init__(self, worker: int, starts: int, cause: str) -> None:
        super().__init__(f"worker {worker} ended {starts} times in a row before it was ready ({cause}), see its log")
        self.worker = worker
        self.cause = cause


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How dead workers come back.

    A start has failed when the worker ends before it was ready and within start_s; max_failed_starts of them in a row
    end the supervisor, unless this worker was ready once and another one is now. Others come back after base_s, doubled
    for each death within quick_s of its start up to cap_s.
    """

    base_s: float = 0.1
    cap_s: float = 1.0
    failed_cap_s: float = 5.0
    start_s: float = 10.0
    quick_s: float = 30.0
    max_failed_starts: int = 5
    hung_s: float = 30.0

    def delay_s(self, quick_deaths: int, failed_starts: int) -> float:
        """Return the wait before the next start, with jitter so that workers do not come back in step."""
        cap_s = self.failed_cap_s if failed_starts else self.cap_s
        return min(cap_s, self.base_s * (1 << min(quick_deaths, 16))) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter


class Supervisor:
    """Runs `command(number)` for each worker until it is told to stop.

    prepare: called once before the first worker starts; makes the memory that they share.
    drain_s: time between SIGTERM and SIGKILL. on_reload: called on SIGHUP before the workers hear of it.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        workers: int,
        metrics_dir: Path,
        *,
        prepare: Callable[[], None],
        on_reload: Callable[[], None] = lambda: None,
        drain_s: float = 20.0,
        policy: RestartPolicy = RestartPolicy(),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self._command = command
        self._count = workers
        self._metrics_dir = metrics_dir
        self._prepare = prepare
        self._on_reload = on_reload
        self._drain_s = drain_s
        self._policy = policy
        self._env = {**(os.environ if env is None else env), "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)}
        self._workers: dict[int, WorkerProcess] = {}
        self._running = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._killed = False
        self._failure: CrashLoop | None = None
        self._logger = get_logger("supervisor")
        restarts = "Workers started again after they ended."
        self._restarts = Counter("walletpush_worker_restarts", restarts, ["worker"], registry=self.registry)
        for number in range(workers):
            self._restarts.labels(str(number))
        Gauge("walletpush_workers", "Workers that should run.", registry=self.registry).set(workers)
        ready = Gauge("walletpush_workers_ready", "Workers that report themselves ready.", registry=self.registry)
        ready.set_function(lambda: sum(state == OK for state in self._states()))

    async def run(self) -> bool:
        """Run until SIGTERM, SIGINT or `stop`; return whether every worker ended by itself in time.

        Raises CrashLoop, after the others were stopped too.
        """
        clear_worker_files(self._metrics_dir)
        self._prepare()
        self._running = self._count
        with _Signals(self):
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._count):
                    tasks.create_task(self._keep(number), name=f"worker-{number}")
                watch = tasks.create_task(self._watch(), name="watch")
                tasks.create_task(self._end(watch), name="end")
        if self._failure is not None:
            raise self._failure
        return not self._killed

    def stop(self) -> None:
        """Ask all workers to drain and end; a second time, kill them."""
        again = self._stopping.is_set()
        self._stopping.set()
        self._logger.info("killing" if again else "stopping", drain_s=self._drain_s)
        self._killed = self._killed or again
        self._signal(signal.SIGKILL if again else signal.SIGTERM)

    def reload(self) -> None:
        """Have all workers read their settings again."""
        self._logger.info("reloading")
        self._on_reload()
        for worker in tuple(self._workers.values()):
            # One that has not reported yet reads the new settings anyway, and SIGHUP would kill it.
            if worker.report is not None:
                worker.signal(signal.SIGHUP)

    def pids(self) -> dict[int, int]:
        """Return the process id of each worker that runs now."""
        return {number: worker.pid for number, worker in tuple(self._workers.items())}

    def checks(self) -> dict[str, str]:
        """Return each worker's checks as worker0.journal -> "ok" or what is wrong; worker0 alone while it has none."""
        found: dict[str, str] = {"draining": "yes"} if self._stopping.is_set() else {}
        for number in range(self._count):
            worker = self._workers.get(number)
            if worker is None:
                found[f"worker{number}"] = "not running"
            elif worker.report is None:
                found[f"worker{number}"] = "starting"
            else:
                found |= {f"worker{number}.{name}": state for name, state in worker.report.checks.items()}
        return found

    async def _keep(self, number: int) -> None:
        quick_deaths = failed_starts = 0
        served = False
        try:
            while not self._stopping.is_set():
                death = await self._run_once(number)
                if self._stopping.is_set():
                    return
                self._logger.error("worker_died", **death._asdict())
                served = served or death.was_ready
                # A kill from outside says nothing of the worker: it is no start that failed.
                failed = not death.was_ready and death.uptime_s < self._policy.start_s and death.cause != KILLED
                failed_starts = failed_starts + 1 if failed else 0
                quick_deaths = quick_deaths + 1 if death.uptime_s < self._policy.quick_s else 0
                # What broke since, as a settings file half written, must not end the others that still serve.
                spared = served and OK in self._states()
                if failed_starts >= self._policy.max_failed_starts and not spared:
                    self._give_up(CrashLoop(number, failed_starts, death.cause))
                    return
                await self._pause(self._policy.delay_s(quick_deaths, failed_starts))
                self._restarts.labels(str(number)).inc()
        finally:
            self._running -= 1
            if not self._running:
                self._ended.set()

    async def _run_once(self, number: int) -> _Death:
        try:
            worker = await WorkerProcess.spawn(number, self._command(number), self._env, self._on_ready)
        except OSError as error:
            return _Death(number, 0, False, 0.0, f"cannot be started: {error}")
        self._workers[number] = worker
        self._logger.info("worker_started", number=number, pid=worker.pid)
        try:
            if self._stopping.is_set():
                worker.signal(signal.SIGKILL if self._killed else signal.SIGTERM)
            code = await worker.wait()
            return _Death(number, worker.pid, worker.was_ready, worker.uptime_s, _cause(code))
        finally:
            del self._workers[number]
            await worker.close()
            forget_gauges(self._metrics_dir, number)

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            for worker in tuple(self._workers.values()):
                if worker.silent_s > self._policy.hung_s:
                    self._logger.error("worker_hung", number=worker.number, pid=worker.pid, silent_s=worker.silent_s)
                    worker.signal(signal.SIGKILL)

    async def _end(self, watch: asyncio.Task[None]) -> None:
        await self._stopping.wait()
        watch.cancel()
        try:
            async with asyncio.timeout(self._drain_s):
                await self._ended.wait()
        except TimeoutError:
            self._killed = True
            self._logger.warning("drain_deadline", left=self.pids())
            self._signal(signal.SIGKILL)

    def _give_up(self, failure: CrashLoop) -> None:
        self._logger.error("crash_loop", why=str(failure))
        self._failure = self._failure or failure
        if not self._stopping.is_set():
            self.stop()

    def _on_ready(self, worker: WorkerProcess) -> None:
        self._logger.info("worker_ready", number=worker.number, pid=worker.pid, after_s=worker.uptime_s)

    def _signal(self, number: signal.Signals) -> None:
        for worker in tuple(self._workers.values()):
            worker.signal(number)

    def _states(self) -> Iterator[str]:
        # Metrics are read in a thread while workers come and go.
        for worker in tuple(self._workers.values()):
            yield OK if worker.report is not None and worker.report.ready else "not ready"


class _Death(NamedTuple):
    """How a worker ended."""

    number: int
    pid: int
    was_ready: bool
    uptime_s: float
    cause: str


class _Signals:
    """The supervisor's signal handlers while it runs."""

    def __init__(self, supervisor: Supervisor) -> None:
        stops = dict.fromkeys(STOP_SIGNALS, supervisor.stop)
        self._handlers: dict[signal.Signals, Callable[[], None]] = {**stops, signal.SIGHUP: supervisor.reload}

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number, handler in self._handlers.items():
            loop.add_signal_handler(number, handler)

    def __exit__(self, *_error: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handlers:
            loop.remove_signal_handler(number)


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
