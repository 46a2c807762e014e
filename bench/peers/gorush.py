"""gorush: takes batches over HTTP into a queue in memory, and sends with sideshow/apns2.

Source: https://github.com/appleboy/gorush, its config/testdata/config.yml, notify/notification_apns.go and
router/server.go.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC, SimulatorCredentials
from adapters.simulators.settings import Provider
from bench.peers.connect_proxy import apple_targets, connect_proxy
from bench.peers.peer import GO_VARIABLES, Command, Mode, NotInstalled, home, warm_up
from bench.peers.posting import Api, RunningPosting, run_posting
from bench.stand import Simulators, free_port
from bench.under_test import Push

_IOS = 1
_BATCH = 500
# One worker waits for one notification's answer, so they bound the streams in flight; APNs allows 1,000.
_WORKERS = 1_000
# What comes when the queue is full is lost, so it must hold all that is measured.
_QUEUE = 1_000_000
_NOTES = (
    "gorush says yes as soon as a notification is in its queue, in memory: a crash loses what waits, and nothing is "
    "retried or deduplicated.",
    "gorush reaches the simulators through an HTTP CONNECT proxy on the other core, whose CPU is not counted.",
)


def settings(port: int, proxy: str, credentials: SimulatorCredentials) -> bytes:
    """Return gorush's config.yml, as JSON, which is YAML: as quick as its settings allow, logging only errors."""
    return orjson.dumps(
        {
            "core": {
                "enabled": True, "address": "127.0.0.1", "port": str(port), "worker_num": _WORKERS,
                "queue_num": _QUEUE, "max_notification": _BATCH, "sync": False, "mode": "release",
                "http_proxy": proxy,
            },
            "grpc": {"enabled": False},
            "api": {
                "push_uri": "/api/push", "stat_go_uri": "/api/stat/go", "stat_app_uri": "/api/stat/app",
                "config_uri": "/api/config", "sys_stat_uri": "/sys/stats", "metric_uri": "/metrics",
                "health_uri": "/healthz",
            },
            "android": {"enabled": False},
            "huawei": {"enabled": False},
            "queue": {"engine": "local"},
            "ios": {
                "enabled": True, "key_path": str(credentials.apns_key), "key_type": "p8", "production": True,
                "max_concurrent_pushes": _WORKERS, "max_retry": 0, "key_id": KEY_ID, "team_id": TEAM_ID,
            },
            "log": {
                "format": "string", "access_log": os.devnull, "access_level": "error", "error_log": "stderr",
                "error_level": "error", "hide_token": True,
            },
            "stat": {"engine": "memory"},
        }
    )  # fmt: skip


def request(pushes: Sequence[Push]) -> bytes:
    """Return the body of POST /api/push."""
    notifications = [
        {"tokens": [push.token], "platform": _IOS, "title": push.title, "message": push.body, "topic": TOPIC}
        for push in pushes
    ]
    return orjson.dumps({"notifications": notifications})


def complaint(body: bytes) -> str:
    """Return what an answer of /api/push complains of: its logs are of failed pushes only."""
    answer = orjson.loads(body)
    if answer.get("success") != "ok":
        return str(answer)[:500]
    return f"{len(answer['logs'])} failed" if answer.get("logs") else ""


@dataclass(frozen=True, slots=True)
class Gorush:
    """gorush as a GatewayUnderTest and a Peer. binary: None finds it."""

    name: str = "gorush"
    provider: Provider = "apns"
    batch: int = _BATCH
    in_flight: int = 8
    notes: tuple[str, ...] = _NOTES
    mode: Mode = "fast"
    enough: int = 20_000
    binary: Path | None = None

    def version(self) -> str:
        """Return what the binary says. Raises NotInstalled."""
        said = subprocess.run([self._found(), "--version"], capture_output=True, text=True, timeout=30, check=False)
        number = re.search(r"\d+\.\d+\S*", said.stdout + said.stderr)
        return number[0].rstrip(",") if number else "unknown"

    def installation(self) -> tuple[Command, ...]:
        """Return the build from source."""
        target = {"GOBIN": str(home(self.name))}
        return (Command(("go", "install", "github.com/appleboy/gorush@latest"), target),)

    @asynccontextmanager
    async def start(self, found: Simulators) -> AsyncIterator[RunningPosting]:
        """Run it behind a proxy that leads to the simulators. Raises NotInstalled, PeerEnded."""
        binary = self._found()
        async with connect_proxy(apple_targets(found.ports)) as proxy:
            port = free_port()
            config = found.directory / "gorush.yml"
            config.write_bytes(settings(port, proxy, found.credentials))
            variables = {**GO_VARIABLES, "SSL_CERT_FILE": str(found.credentials.ca_certificate)}
            command = Command((binary, "-c", str(config)), variables, found.directory)
            api = Api(f"http://127.0.0.1:{port}", "/api/push", "/healthz", request, complaint)
            async with run_posting(command, found.directory / "gorush.log", api, self.in_flight) as running:
                await warm_up(running, found, (1, self.batch))
                yield running

    def _found(self) -> str:
        own = self.binary or home(self.name) / "gorush"
        binary = str(own) if own.exists() else shutil.which("gorush")
        if binary is None:
            raise NotInstalled(self.name)
        return binary
