"""`python -m bench.probed_gateway --config F --out F`: a gateway of one worker that notes when providers answered.

Noted are security and transactional deliveries: when the notification arrived in the intake, and when the provider's
answer was there. The file is written when the worker has drained; `bench.noted_answers` reads it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from bench.noted_answers import RECORD
from core.delivery import Delivery
from core.model import NotificationClass
from core.reaction import Outcome
from gateway import logs, main_process
from gateway.pipeline.clock import SystemClock
from gateway.pipeline.routes import Route
from gateway.pipeline.settle import Settler
from gateway.settings.loading import load
from gateway.settings.root import Settings
from gateway.supervisor import Supervisor
from gateway.web.app import make_app
from gateway.web.exposition import Exposition
from gateway.web.listener import WebListener, guard_of

_CLOCK = SystemClock()


def probe(noted: bytearray) -> None:
    """Have every settler of this process note its answers."""
    settle = Settler.settle

    def probed(self: Settler, deliveries: list[Delivery], outcomes: list[Outcome]) -> Route:
        now_ns = _CLOCK.monotonic_ns()
        for delivery in deliveries:
            notification = delivery.notification
            if notification.klass <= NotificationClass.TRANSACTIONAL:
                noted.extend(RECORD.pack(notification.id, notification.accepted_ns, now_ns))
        return settle(self, deliveries, outcomes)

    Settler.settle = probed  # type: ignore[method-assign]


async def _supervise(settings: Settings, config: Path, out: Path) -> bool:
    words = [sys.executable, "-m", "bench.probed_gateway", "--config", str(config), "--out", str(out), "--worker"]
    metrics_dir = settings.data_dir / "metrics"
    supervisor = Supervisor(
        lambda _number: words, 1, metrics_dir, prepare=lambda: main_process.prepare(settings),
        drain_s=settings.server.drain_s + 10.0,
    )  # fmt: skip
    web = make_app(Exposition([supervisor.registry], metrics_dir), supervisor.checks, guard_of(settings))
    async with WebListener(web, settings.web):
        return await supervisor.run()


def _run_supervisor(config: Path, out: Path) -> int:
    settings = load(config)
    main_process.allow_all_files()
    main_process.make_data_dir(settings.data_dir)
    writer = logs.configure(settings.log, process="supervisor")
    try:
        return 0 if uvloop.run(_supervise(settings, config, out)) else 1
    finally:
        writer.close()


def _run_worker(config: Path, out: Path) -> int:
    noted = bytearray()
    probe(noted)
    code = main_process.run_worker(config, 0, insecure=False, listening=True)
    out.write_bytes(noted)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    raise SystemExit((_run_worker if given.worker else _run_supervisor)(given.config, given.out))
