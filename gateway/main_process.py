"""The two processes of `walletpush serve`: the supervisor, and one worker of it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

from adapters.hotstate import frequency_file, shared_file
from adapters.journal.reader import JournalReader
from adapters.journal.sqlite import journal_path
from adapters.journal.sqlite_file import FileLock, mapped_errors
from adapters.registry.census import count_devices
from core.dedup import DedupWindow
from core.errors import StoreFailure
from core.token_buckets import TokenBuckets
from gateway import logs
from gateway.frequency_keeper import FrequencyKeeper
from gateway.logs import get_logger
from gateway.metric_families import write_worker_files
from gateway.metrics_host import DeviceCensus, HostFigures, show_build
from gateway.metrics_processes import ProcessTable
from gateway.people_parts import make_pages, prepare_people
from gateway.pipeline.clock import SystemClock
from gateway.pipeline.restore import restore_all
from gateway.preview_parts import PreviewParts
from gateway.reload import Reloader
from gateway.secret import SECRET_FILE, load_secret
from gateway.settings.loading import SettingsError, load
from gateway.settings.root import Settings
from gateway.supervisor import Supervisor
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.listener import WebListener, guard_of
from gateway.wiring import BUCKETS_FILE, DEDUP_FILE, assemble, providers_of
from gateway.worker import Worker
from gateway.worker_report import ReportPipe, die_with_supervisor

# The supervisor restores the dedup window in the name of a worker that cannot exist beside the others.
_RESTORER = 255


def serve(settings_path: Path, insecure: bool, workers: int | None = None) -> int:
    """Run the supervisor until SIGTERM or SIGINT; return the exit code, 0 after a clean drain.

    Raises SettingsError, PushError, and OSError when the web address is taken.
    """
    settings = load(settings_path, insecure=insecure)
    allow_all_files()
    make_data_dir(settings.data_dir)
    # Before anything else: a second gateway would take the first one's shared memory away, also by failing to start.
    owned = own_data_dir(settings.data_dir)
    writer = logs.configure(settings.log, process="supervisor")
    try:
        return uvloop.run(_supervise(settings, settings_path.resolve(), insecure, workers or settings.server.workers))
    finally:
        with suppress(OSError):
            shared_file.remove(shared_file.shared_directory(settings.data_dir))
        owned.release()
        writer.close()


def run_worker(settings_path: Path, number: int, insecure: bool, listening: bool) -> int:
    """Run one worker until SIGTERM; return its exit code. Raises SettingsError or PushError."""
    die_with_supervisor(os.environ)
    settings = load(settings_path, insecure=insecure)
    writer = logs.configure(settings.log, worker=number)
    write_worker_files(settings.data_dir / "metrics", number)
    try:
        uvloop.run(_work(settings, settings_path, number, insecure, listening))
    finally:
        writer.close()
    return 0


async def _supervise(settings: Settings, settings_path: Path, insecure: bool, workers: int) -> int:
    # A journal beyond the number of workers, left by a run with more of them, gets a worker that does not listen.
    total = max([workers, *(number + 1 for number in _journals_with_work(settings.data_dir))])

    def command(number: int) -> list[str]:
        words = ["worker", "--config", str(settings_path), "--number", str(number)]
        words += ["--insecure"] if insecure else []
        words += ["--no-listen"] if number >= workers else []
        return [sys.executable, "-m", "gateway", *words]

    metrics_dir = settings.data_dir / "metrics"
    # Before the pages ask for the secret, which would make it.
    _check_secret(settings.data_dir)
    host, parts = HostFigures(settings), make_pages(settings, SystemClock())
    previewing = PreviewParts(settings, SystemClock())

    def reload() -> None:
        # Wrong ones are told by the workers, which go on as they are.
        with suppress(SettingsError):
            host.settings = load(settings_path, insecure=insecure)
            parts.rules.replace(host.settings)
            previewing.replace(host.settings)

    def make_ready() -> None:
        prepare(settings)
        keeper.begin()

    supervisor = Supervisor(
        command, total, metrics_dir, prepare=make_ready, on_reload=reload,
        drain_s=settings.server.drain_s + 10.0,
    )  # fmt: skip
    keeper = FrequencyKeeper(supervisor.registry, lambda: shared_file.attach(settings.data_dir / frequency_file.FILE))
    census = _show_host(supervisor, host)
    exposition, guard = Exposition([supervisor.registry], metrics_dir), guard_of(settings)
    web = make_app(exposition, supervisor.checks, guard, parts.pages, previewing.page)
    async with parts, previewing, WebListener(web, settings.web) as listener, census, keeper:
        listen = settings.server.listen
        get_logger("supervisor").info("starting", workers=workers, web_port=listener.port, listen=listen)
        return 0 if await supervisor.run() else 1


def _show_host(supervisor: Supervisor, host: HostFigures) -> DeviceCensus:
    """Add what only the supervisor can tell to its metrics; return what must run for it."""

    def pids() -> dict[str, int]:
        return {"supervisor": os.getpid(), **{f"worker{number}": pid for number, pid in supervisor.pids().items()}}

    registry, settings = supervisor.registry, host.settings
    show_build(registry)
    registry.register(ProcessTable(pids))
    registry.register(host)
    return DeviceCensus(registry, providers_of(settings), lambda: count_devices(settings.data_dir / "registry.db"))


async def _work(settings: Settings, settings_path: Path, number: int, insecure: bool, listening: bool) -> None:
    async with asyncio.TaskGroup() as tasks:
        parts = await assemble(settings, number, tasks, listening=listening)
        worker = Worker(parts, settings.server.drain_s, ReportPipe.from_env(os.environ))
        reloader = Reloader(worker, settings, lambda: load(settings_path, insecure=insecure), tasks)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.stop)
        loop.add_signal_handler(signal.SIGINT, worker.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.create_task(reloader.reload(), name="reload"))
        await worker.run(tasks)


def allow_all_files() -> None:
    """Raise the soft limit of open files to the hard one: at the usual 1,024 idle callers would use up all of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_data_dir(data_dir: Path) -> None:
    """Make the data directory and what lies in it, only ours to open. Raises StoreFailure."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("run", "metrics"):
            (data_dir / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreFailure(f"cannot make the data directory {data_dir}: {error.strerror}") from error


def own_data_dir(data_dir: Path) -> FileLock:
    """Keep every other gateway out of a data directory until released, or dead. Raises StoreFailure, Unavailable."""
    with mapped_errors(data_dir):
        return FileLock(data_dir / "gateway.lock", f"the data directory {data_dir}")


def prepare(settings: Settings) -> None:
    """Make the memory that the workers share; the dedup window knows again what all journals accepted.

    Raises StoreFailure if the secret or the window does not fit the journals.
    """
    _check_secret(settings.data_dir)
    shared = shared_file.shared_directory(settings.data_dir)
    prepare_people(settings)
    frequency_file.open_frequency(settings.data_dir, SystemClock().unix_ms() // 1_000)
    buckets = shared_file.create(shared / BUCKETS_FILE, TokenBuckets.required_bytes(settings.limits.capacity))
    TokenBuckets.create(buckets, settings.limits.capacity)
    capacity = settings.dedup.capacity
    memory = shared_file.create(shared / DEDUP_FILE, DedupWindow.required_bytes(capacity))
    DedupWindow.create(memory, capacity, settings.dedup.window_s * 1_000)
    window = DedupWindow(memory, _RESTORER)
    for number in _journals(settings.data_dir):
        reader = JournalReader(journal_path(settings.data_dir, number))
        try:
            count = restore_all(window, reader, number, SystemClock().unix_ms())
        except OverflowError as error:
            raise StoreFailure(
                f"the journals accepted more idempotency keys within dedup.window_s = {settings.dedup.window_s} than "
                f"dedup.capacity = {capacity} holds: raise the capacity"
            ) from error
        finally:
            reader.close()
        get_logger("supervisor").info("dedup_restored", journal=number, keys=count)


def _check_secret(data_dir: Path) -> None:
    path = data_dir / SECRET_FILE
    if _journals(data_dir) and not path.exists():
        # A new one would make every repeated idempotency key look new, and every receipt somebody else's.
        raise StoreFailure(f"{path} is missing, and the journals beside it need it: restore it, or remove them too")
    load_secret(data_dir)


def _journals(data_dir: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("journal-")) for path in data_dir.glob("journal-*.db"))


def _journals_with_work(data_dir: Path) -> list[int]:
    found = []
    for number in _journals(data_dir):
        reader = JournalReader(journal_path(data_dir, number))
        try:
            if reader.has_open():
                found.append(number)
        finally:
            reader.close()
    return found
