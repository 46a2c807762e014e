"""Idle callers do not use up the gateway's files."""

from __future__ import annotations

import resource
from collections.abc import Callable

import psutil

from tests.acceptance.gateway_process import Gateway


def test_workers_may_open_as_many_files_as_the_host_allows(own_gateway: Callable[..., Gateway]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gateway = own_gateway()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        gateway.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (worker,) = gateway.worker_processes()
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
