"""A data directory belongs to one gateway at a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

from adapters.simulators.faults import Faults
from gateway.commands.failure import BAD_SETTINGS
from protos.walletpush.v1 import delivery_pb2, receipt_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, await_that, final, payment, send
from tests.acceptance.simulators import HEALTHY, Simulators


def refused_start(gateway: Gateway) -> str:
    """Start a gateway that must refuse its data; return what it says."""
    words = [sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == BAD_SETTINGS, ended.stderr
    return ended.stderr


def test_a_second_gateway_is_refused_and_takes_nothing_from_the_first(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway()
    gateway.start()
    notice = payment()
    with gateway.delivery() as stub:
        first = send(stub, notice)
    assert f"in use by another process (pid {gateway.process.pid})" in refused_start(gateway)
    (worker,) = gateway.worker_processes()
    worker.kill()
    # A worker that starts needs the shared memory that its supervisor made.
    await_that(lambda: gateway.log().count('"event":"worker_ready"'), lambda ready: ready == 2)
    with gateway.delivery() as stub:
        again = send(stub, notice)
    assert (again.notification_id, again.status) == (first.notification_id, delivery_pb2.SEND_STATUS_DUPLICATE)


def test_journals_without_their_secret_are_not_opened_with_another(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway()
    gateway.start()
    notice = payment()
    with gateway.delivery() as stub:
        first = send(stub, notice)
    gateway.stop()
    secret, away = gateway.directory / "data" / "secret.key", gateway.directory / "away"
    secret.rename(away)
    assert f"{secret} is missing" in refused_start(gateway)
    away.rename(secret)
    gateway.start()
    with gateway.delivery() as stub:
        assert send(stub, notice).notification_id == first.notification_id


def test_a_dedup_window_too_small_for_the_journals_is_refused_by_name(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway("[dedup]\ncapacity = 3000\n")
    gateway.start()
    with gateway.delivery() as stub:
        for _ in range(2):
            notices = [payment() for _ in range(1_000)]
            stub.SendBatch(delivery_pb2.SendBatchRequest(notifications=notices), timeout=TIMEOUT_S)
    gateway.stop()
    settings = gateway.config.read_text()
    gateway.config.write_text(settings.replace("capacity = 3000", "capacity = 1024"))
    assert "dedup.capacity = 1024" in refused_start(gateway)


def test_a_damaged_message_keeps_no_others(own_gateway: Callable[..., Gateway], simulators: Simulators) -> None:
    simulators.misbehave(Faults(outage="refusing"))
    gateway = own_gateway()
    gateway.start()
    with gateway.delivery() as stub:
        ids = [send(stub, payment()).notification_id for _ in range(3)]
    gateway.kill()
    with closing(sqlite3.connect(gateway.directory / "data" / "journal-0.db")) as journal, journal:
        seq, payload = journal.execute("SELECT seq, frames FROM payloads ORDER BY seq LIMIT 1").fetchone()
        journal.execute("UPDATE payloads SET frames = ? WHERE seq = ?", (payload[:-40] + b"\xff" * 40, seq))
    simulators.misbehave(HEALTHY)
    gateway.start()
    with gateway.delivery() as stub:
        states = [final(stub, one).state for one in ids[1:]]
    assert states == [receipt_pb2.NOTIFICATION_STATE_DELIVERED] * 2
    assert "frame_damaged" in gateway.log()
