"""Sygnal, Matrix' push gateway: one notification per HTTP request, sent with aioapns before it is answered.

Source: https://github.com/element-hq/sygnal, its sygnal.yaml.sample and apnspushkin.py;
https://spec.matrix.org/latest/push-gateway-api/.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC, SimulatorCredentials
from adapters.simulators.settings import Provider
from bench.peers.connect_proxy import apple_targets, connect_proxy
from bench.peers.peer import Command, Mode, NotInstalled, home, warm_up
from bench.peers.posting import Api, RunningPosting, run_posting
from bench.stand import Simulators, free_port
from bench.under_test import Push

_PACKAGE = "matrix-sygnal"
_ASK = f"import importlib.metadata as m, sygnal.sygnal; print(m.version('{_PACKAGE}'))"
_NOTES = (
    "Sygnal keeps nothing: it answers after APNs has, and its caller, a Matrix homeserver, has to try again.",
    "Sygnal reaches the simulators through an HTTP CONNECT proxy on the other core, whose CPU is not counted.",
    "A request to Sygnal is one event for several devices, here of 10 with a payload each, which it serves one after "
    "the other.",
)


def settings(port: int, proxy: str, credentials: SimulatorCredentials) -> bytes:
    """Return sygnal.yaml, as JSON, which is YAML: logging only errors."""
    app = {
        "type": "apns", "keyfile": str(credentials.apns_key), "key_id": KEY_ID, "team_id": TEAM_ID, "topic": TOPIC,
        "platform": "production", "push_type": "alert", "inflight_request_limit": 1_000,
    }  # fmt: skip
    handlers = {"stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}}
    return orjson.dumps(
        {
            "http": {"port": port, "bind_addresses": ["127.0.0.1"]},
            "proxy": proxy,
            "log": {
                "setup": {"version": 1, "handlers": handlers, "root": {"handlers": ["stderr"], "level": "ERROR"}},
                "access": {"x_forwarded_for": False},
            },
            "apps": {TOPIC: app},
        }
    )


def request(pushes: Sequence[Push]) -> bytes:
    """Return the body of POST /_matrix/push/v1/notify. Without a type, a device's default_payload is what it gets."""
    devices = [
        {
            "app_id": TOPIC,
            "pushkey": base64.b64encode(bytes.fromhex(push.token)).decode(),
            "data": {"default_payload": {"aps": {"alert": {"title": push.title, "body": push.body}}}},
        }
        for push in pushes
    ]
    return orjson.dumps({"notification": {"event_id": f"${pushes[0].key}", "counts": {}, "devices": devices}})


def complaint(body: bytes) -> str:
    """Return what an answer complains of: tokens that are no more."""
    rejected = orjson.loads(body)["rejected"]
    return f"{len(rejected)} rejected" if rejected else ""


@dataclass(frozen=True, slots=True)
class Sygnal:
    """Sygnal as a GatewayUnderTest and a Peer. python: of the environment that has it; None finds it."""

    name: str = "sygnal"
    provider: Provider = "apns"
    batch: int = 10
    in_flight: int = 100
    notes: tuple[str, ...] = _NOTES
    mode: Mode = "counting"
    enough: int = 1_500
    python: Path | None = None

    def version(self) -> str:
        """Return the package's version. Raises NotInstalled."""
        python = self.python or home(self.name) / "bin" / "python"
        if not python.exists():
            raise NotInstalled(self.name)
        said = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60, check=False)
        if said.returncode:
            raise NotInstalled(self.name)
        return said.stdout.strip()

    def installation(self) -> tuple[Command, ...]:
        """Return an environment of its own, because its requirements are older than ours."""
        place = home(self.name)
        return (
            Command((sys.executable, "-m", "venv", str(place))),
            Command((str(place / "bin" / "pip"), "install", "--quiet", _PACKAGE)),
        )

    @asynccontextmanager
    async def start(self, found: Simulators) -> AsyncIterator[RunningPosting]:
        """Run it behind a proxy that leads to the simulators. Raises NotInstalled, PeerEnded."""
        self.version()
        python = self.python or home(self.name) / "bin" / "python"
        async with connect_proxy(apple_targets(found.ports)) as proxy:
            port = free_port()
            config = found.directory / "sygnal.yaml"
            config.write_bytes(settings(port, proxy, found.credentials))
            variables = {"SYGNAL_CONF": str(config), "SSL_CERT_FILE": str(found.credentials.ca_certificate)}
            command = Command((str(python), "-m", "sygnal.sygnal"), variables, found.directory)
            api = Api(f"http://127.0.0.1:{port}", "/_matrix/push/v1/notify", "/health", request, complaint)
            async with run_posting(command, found.directory / "sygnal.log", api, self.in_flight) as running:
                await warm_up(running, found, (1, self.batch))
                yield running
