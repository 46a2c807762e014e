"""`python -m bench.probed_worker --config F --out F`: one worker without a supervisor that notes each delivery's time.

The times are those of security and transactional deliveries, from the request's arrival in the intake to the provider's
answer, in nanoseconds as little-endian int64; the file is written when the worker has drained.
"""

from __future__ import annotations

import argparse
from array import array
from pathlib import Path

from core.delivery import Delivery
from core.model import NotificationClass
from core.reaction import Outcome
from gateway import main_process
from gateway.pipeline.clock import SystemClock
from gateway.pipeline.routes import Route
from gateway.pipeline.settle import Settler
from gateway.settings.loading import load

_CLOCK = SystemClock()


def probe(times_ns: array[int]) -> None:
    """Have every settler of this process append to times_ns."""
    settle = Settler.settle

    def probed(self: Settler, deliveries: list[Delivery], outcomes: list[Outcome]) -> Route:
        now_ns = _CLOCK.monotonic_ns()
        for delivery in deliveries:
            if delivery.notification.klass <= NotificationClass.TRANSACTIONAL:
                times_ns.append(now_ns - delivery.notification.accepted_ns)
        return settle(self, deliveries, outcomes)

    Settler.settle = probed  # type: ignore[method-assign]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    times = array("q")
    probe(times)
    settings = load(given.config)
    main_process.make_data_dir(settings.data_dir)
    main_process.prepare(settings)
    main_process.run_worker(given.config, 0, insecure=False, listening=True)
    given.out.write_bytes(times.tobytes())
