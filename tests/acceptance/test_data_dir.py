"""A data directory belongs to one gateway at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from gateway.commands.failure import BAD_SETTINGS
from protos.walletpush.v1 import delivery_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import await_that, payment, send


def test_a_second_gateway_is_refused_and_takes_nothing_from_the_first(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway()
    gateway.start()
    notice = payment()
    with gateway.delivery() as stub:
        first = send(stub, notice)
    words = [sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config)]
    second = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == BAD_SETTINGS
    assert f"in use by another process (pid {gateway.process.pid})" in second.stderr
    (worker,) = gateway.worker_processes()
    worker.kill()
    # A worker that starts needs the shared memory that its supervisor made.
    await_that(lambda: gateway.log().count('"event":"worker_ready"'), lambda ready: ready == 2)
    with gateway.delivery() as stub:
        again = send(stub, notice)
    assert (again.notification_id, again.status) == (first.notification_id, delivery_pb2.SEND_STATUS_DUPLICATE)
