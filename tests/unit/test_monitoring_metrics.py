"""What the monitoring needs beyond counts of the pipeline: processes, the loop, the host, and honest beginnings."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from core.errors import Unavailable
from core.reaction import DELIVERED, Outcome, OutcomeKind
from gateway.loop_watch import LoopWatch
from gateway.metrics import RESOURCES, TASKS, Metrics
from gateway.metrics_host import DeviceCensus, HostFigures, certificates_of, show_build
from gateway.metrics_processes import ProcessTable, figures_of
from gateway.settings.apps import ApnsSettings, AppSettings
from gateway.settings.components import WebSettings
from gateway.settings.root import Settings
from gateway.settings.values import SecretFile
from tests.fixtures_tls import tls_files
from tests.unit.pipeline_stand import StandOptions, message, settle_down, stand
from tests.unit.virtual_time import in_virtual_time

FAULT = Outcome(OutcomeKind.PROVIDER_FAULT, 503, "ServiceUnavailable")
DELIVERIES = ("walletpush_delivery_seconds_count", {"class": "transactional"})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_delivery_is_timed_when_it_ends_and_not_at_each_attempt() -> None:
    async with stand() as pipeline:
        await pipeline.accept(message("k", "ab"))
        await settle_down()
        counted = pipeline.metrics.registry.get_sample_value
        pipeline.apns.answer(FAULT)
        assert counted(*DELIVERIES) is None
        pipeline.apns.answers_by_itself = DELIVERED
        await settle_down(10.0)
        assert counted(*DELIVERIES) == 1
        assert counted("walletpush_provider_seconds_count", {"provider": "apns", "app": "app"}) == 2


@in_virtual_time
async def test_what_finds_no_room_is_counted_by_class() -> None:
    async with stand(StandOptions(capacity=100)) as pipeline:
        await pipeline.accept(message("k", *(f"{i:04x}" for i in range(85))))
        await pipeline.submit(message("m", "ab", klass=4), message("p", "cd"))
        counted = pipeline.metrics.registry.get_sample_value
        shed = {name: counted("walletpush_queue_full_total", {"resource": name}) for name in RESOURCES}
        assert {name for name, count in shed.items() if count} == {"pending_marketing"}


@in_virtual_time
async def test_what_a_full_journal_refuses_is_counted_as_shed() -> None:
    from core.errors import Overloaded

    async with stand() as pipeline:
        pipeline.journal.refusal = Overloaded("the journal", 250)
        await pipeline.submit(message("k", "ab"), message("m", "ab"))
        assert pipeline.metrics.registry.get_sample_value("walletpush_queue_full_total", {"resource": "journal"}) == 2


def test_seldom_counters_stand_at_zero_before_their_first_event() -> None:
    metrics = Metrics(["w"])
    metrics.show_route("apns", "w")
    counted = metrics.registry.get_sample_value
    assert [counted("walletpush_task_failures_total", {"task": task}) for task in TASKS] == [0] * len(TASKS)
    assert counted("walletpush_queue_full_total", {"resource": "pending_security"}) == 0
    assert counted("walletpush_breaker_opened_total", {"provider": "apns", "app": "w"}) == 0
    assert counted("walletpush_journal_commit_failures_total") == 0


def test_processes_are_told_apart_and_those_that_ended_are_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        pass
    registry = CollectorRegistry()
    registry.register(ProcessTable(lambda: {"me": os.getpid(), "gone": child.pid}))
    counted = registry.get_sample_value
    assert (counted("walletpush_process_resident_memory_bytes", {"process": "me"}) or 0) > 1 << 20
    assert (counted("walletpush_process_cpu_seconds_total", {"process": "me"}) or 0) > 0
    assert counted("walletpush_process_threads", {"process": "gone"}) is None


def test_open_files_and_start_of_a_process_are_its_own(tmp_path: Path) -> None:
    before = figures_of(os.getpid())
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        during = figures_of(os.getpid())
    assert during.open_files - before.open_files == 2
    assert during.max_open_files > during.open_files
    assert 0 < time.time() - during.started_unix_s < 3 * 3600


async def test_a_blocked_loop_is_seen_as_lag_and_collections_are_counted() -> None:
    metrics = Metrics()
    counted = metrics.registry.get_sample_value
    watch = asyncio.create_task(LoopWatch(metrics).run())
    await until(lambda: (counted("walletpush_event_loop_lag_seconds_count") or 0) >= 1)
    time.sleep(0.35)  # noqa: ASYNC251  # a loop that hangs is what is measured
    gc.collect()
    await until(lambda: (counted("walletpush_gc_collections_total", {"generation": "2"}) or 0) >= 1)
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch
    assert (counted("walletpush_event_loop_lag_seconds_sum") or 0) > 0.2
    assert (counted("walletpush_gc_pause_seconds_total", {"generation": "2"}) or 0) > 0
    assert watch.cancelled()


def test_certificates_that_others_are_shown_have_an_end(tmp_path: Path) -> None:
    files = tls_files()
    app = AppSettings(id="w", apns=ApnsSettings(
        topic="com.example.w", cert_file=files.client.certificate,
        cert_key_file=SecretFile(files.client.key, ""),
    ))  # fmt: skip
    removed = tmp_path / "removed.crt"
    removed.touch()
    web = WebSettings(tls_cert_file=removed, tls_key_file=SecretFile(files.server.key, ""))
    removed.unlink()
    settings = Settings(data_dir=tmp_path, apps=(app,), web=web)
    assert set(certificates_of(settings)) == {"web", "apns/w"}
    registry = CollectorRegistry()
    registry.register(HostFigures(settings))
    counted = registry.get_sample_value
    name = "walletpush_certificate_expiry_timestamp_seconds"
    assert 29 * 86_400 < (counted(name, {"certificate": "apns/w"}) or 0) - time.time() < 31 * 86_400
    assert counted(name, {"certificate": "web"}) == 0
    assert 0 < (counted("walletpush_disk_free_bytes") or 0) <= (counted("walletpush_disk_size_bytes") or 0)


def test_the_build_is_told() -> None:
    registry = CollectorRegistry()
    show_build(registry)
    (family,) = registry.collect()
    assert family.samples[0].labels.keys() == {"version", "python"}


@pytest.mark.parametrize("failures", [0, 1])
async def test_devices_are_counted_and_an_app_without_any_has_none(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.metrics_host._COUNT_AGAIN_S", 0.01)
    registry, asked = CollectorRegistry(), [0]

    def count() -> Mapping[tuple[str, int], int]:
        asked[0] += 1
        if asked[0] <= failures:
            raise Unavailable("no registry yet")
        return {("w", 1): 7}

    def counted(provider: str) -> float | None:
        return registry.get_sample_value("walletpush_devices_registered", {"provider": provider, "app": "w"})

    async with DeviceCensus(registry, {"w": frozenset({1, 2})}, count):
        await until(lambda: counted("apns") == 7)
    assert counted("fcm") == 0
