"""A whole gateway as a process: configured, started, called over real gRPC, stopped or killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil

from adapters.simulators.credentials import KEY_ID, PROJECT_ID, TEAM_ID
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from tests.acceptance.simulators import Simulators

TOPIC = "com.example.wallet"
PASS_TYPE = "pass.com.example.card"
_READY_S = 30.0
# Impatient, so that a test of an outage need not wait for a provider's peace of mind.
FAST = """
[dispatch]
backoff_base_ms = 20
backoff_cap_ms = 200
breaker_open_s = 0.2
breaker_open_cap_s = 0.4
request_timeout_s = 5.0
"""


def app_toml(simulators: Simulators, app: str = "wallet") -> str:
    """Return the settings of an app on both simulators."""
    files, ports = simulators.credentials, simulators.ports
    return f"""
[[apps]]
id = "{app}"
[apps.apns]
topic = "{TOPIC}"
team_id = "{TEAM_ID}"
key_id = "{KEY_ID}"
key_file = {json.dumps(str(files.apns_key))}
host = "127.0.0.1"
port = {ports.apns}
ca_file = {json.dumps(str(files.ca_certificate))}
[apps.fcm]
project_id = "{PROJECT_ID}"
service_account_file = {json.dumps(str(files.service_account))}
host = "127.0.0.1"
port = {ports.fcm}
ca_file = {json.dumps(str(files.ca_certificate))}
"""


class Gateway:
    """One gateway over a directory; `start` may be called again after `stop` or `kill`, on the same data."""

    def __init__(self, directory: Path, settings: str, workers: int = 1) -> None:
        self.directory = directory
        self.workers = workers
        self.config = directory / "walletpush.toml"
        self.address, self.web = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(settings)

    def configure(self, settings: str) -> None:
        """Write the settings."""
        self.settings = settings
        data = json.dumps(str(self.directory / "data"))
        self.config.write_text(
            f'data_dir = {data}\n[server]\nlisten = "{self.address}"\ndrain_s = 3.0\n'
            f'[web]\nlisten = "{self.web}"\n{settings}'
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it; with wait, return once it is ready."""
        words = [sys.executable, "-m", "gateway", "serve", "--config", str(self.config), "--workers", str(self.workers)]
        with (self.directory / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        if wait:
            try:
                self.await_ready()
            except RuntimeError:
                # No fixture ends what never began.
                self.end()
                raise

    def await_ready(self) -> None:
        """Return once the gateway says that it takes notifications."""
        deadline = time.monotonic() + _READY_S
        while self.readiness() != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log())
            time.sleep(0.03)

    def readiness(self) -> int:
        """Return the status of /readyz, 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.web}/readyz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    def worker_processes(self) -> list[psutil.Process]:
        """The workers that run now."""
        return psutil.Process(self.process.pid).children()

    def log(self) -> str:
        """Everything logged so far."""
        return (self.directory / "gateway.log").read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Drain and end it; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def kill(self) -> None:
        """Kill supervisor and workers without notice."""
        family = [*self.worker_processes(), psutil.Process(self.process.pid)]
        for one in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, 20)
        self.process.wait(20)

    def end(self) -> None:
        """Stop it if it runs."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Open a connection of its own, so that each may land on another worker."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 64 << 20))
        with grpc.insecure_channel(self.address, options=options) as channel:
            yield channel

    @contextlib.contextmanager
    def delivery(self) -> Iterator[DeliveryServiceStub]:
        """Open a connection for the DeliveryService."""
        with self.channel() as channel:
            yield DeliveryServiceStub(channel)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def devices(self) -> Iterator[DeviceServiceStub]:
        """Open a connection for the DeviceService."""
        with self.channel() as channel:
            yield DeviceServiceStub(channel)  # type: ignore[no-untyped-call]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
