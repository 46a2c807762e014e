"""The gateway that gets into trouble: two workers, three apps, small bounds, and what a trouble needs to reach it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from adapters.simulators.client import SimulatorClient
from adapters.simulators.credentials import KEY_ID, TEAM_ID
from bench.dashboard.traffic import SANDBOX_APP, Callers
from bench.stand import TOPIC, Simulators, Stand, StandOptions, gateway, simulators

WORKERS = 2
MAX_PENDING = 12_000
JOURNAL_BYTES = 16 << 20
DEDUP_ENTRIES = 80_000
# Impatient and small, so that a minute shows what takes a gateway an hour; attempts run out, breakers try again soon.
_SETTINGS = f"""
[dispatch]
max_pending = {MAX_PENDING}
max_attempts = 2
backoff_base_ms = 50
backoff_cap_ms = 400
breaker_open_s = 0.3
breaker_open_cap_s = 0.6
breaker_fault_share = 0.6
breaker_min_answers = 6
request_timeout_s = 8.0
[dedup]
capacity = {DEDUP_ENTRIES}
[journal]
max_bytes = {JOURNAL_BYTES}
[mass_death]
min_deaths = 40
max_share = 0.05
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a trouble may touch. certificate: the one that an app shows to Apple."""

    place: Stand
    callers: Callers
    simulator: SimulatorClient
    certificate: Path

    @property
    def config(self) -> Path:
        """The gateway's settings file."""
        return self.place.directory / "walletpush.toml"

    def journal(self, number: int) -> Path:
        """The file of a worker's journal."""
        return self.place.directory / "data" / f"journal-{number}.db"

    def worker(self, number: int) -> psutil.Process | None:
        """The worker of this number, None while it does not run."""
        for process in self.place.supervisor.children():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "--number" in words and words[words.index("--number") + 1] == str(number):
                return process
        return None


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """Run simulators, a gateway and the means to disturb both until left; logs and data stay in the directory."""
    options = StandOptions(mode="truthful", workers=WORKERS, pinned=False, directory=directory)
    async with simulators(options) as found:
        certificate = found.directory / "apns.crt"
        shutil.copy(found.credentials.client.certificate, certificate)
        settings = _apps(found, certificate) + _SETTINGS
        async with gateway(found, replace(options, settings=settings)) as place, place.simulator() as simulator:
            callers = Callers(place.address)
            try:
                await callers.reach(WORKERS)
                yield Scene(place, callers, simulator, certificate)
            finally:
                await callers.close()


def _apps(found: Simulators, certificate: Path) -> str:
    files, ports = found.credentials, found.ports
    hosts = f"""
topic = "{TOPIC}"
host = "127.0.0.1"
port = {ports.apns}
sandbox_host = "127.0.0.1"
sandbox_port = {ports.sandbox}
ca_file = {json.dumps(str(files.ca_certificate))}
"""
    return f"""
[[apps]]
id = "{SANDBOX_APP}"
[apps.policy]
quiet_windows = []
[apps.apns]
team_id = "{TEAM_ID}"
key_id = "{KEY_ID}"
key_file = {json.dumps(str(files.apns_key))}
sandbox_connections = 2
{hosts}
[[apps]]
id = "passes"
[apps.policy]
quiet_windows = []
[apps.apns]
cert_file = {json.dumps(str(certificate))}
cert_key_file = {json.dumps(str(files.client.key))}
connections = 1
{hosts}
"""
