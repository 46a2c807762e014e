"""@parse/node-apn, the APNs client of Node: no gateway, its process does what a gateway's last stage would.

Source: https://github.com/parse-community/node-apn, its README.md and doc/provider.markdown.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC
from adapters.simulators.settings import Provider
from bench.peers.lines import RunningLines, run_lines
from bench.peers.peer import Command, Mode, NotInstalled, home, warm_up
from bench.stand import Simulators

VERSION = "8.1.0"
_PACKAGE = "@parse/node-apn"
_SCRIPT = Path(__file__).with_name("node_apn.cjs")
# More clients are no faster on one core, and its documentation says one is enough below the limit of streams.
_CLIENTS = 1
_NOTES = (
    "node-apn is a client and no gateway: it takes requests as lines of JSON on its standard input, without a network, "
    "and keeps nothing; it answers when APNs has.",
)


@dataclass(frozen=True, slots=True)
class NodeApn:
    """node-apn as a GatewayUnderTest and a Peer."""

    name: str = "node-apn"
    provider: Provider = "apns"
    batch: int = 500
    in_flight: int = 2
    notes: tuple[str, ...] = _NOTES
    mode: Mode = "fast"
    enough: int = 20_000

    def version(self) -> str:
        """Return the package's version and Node's. Raises NotInstalled."""
        if not (self._modules() / _PACKAGE).is_dir():
            raise NotInstalled(self.name)
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=True)
        return f"{VERSION} on Node {node.stdout.strip().lstrip('v')}"

    def installation(self) -> tuple[Command, ...]:
        """Return the package's installation, without scripts."""
        words = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(self._place()))
        return (Command((*words, f"{_PACKAGE}@{VERSION}")),)

    @asynccontextmanager
    async def start(self, found: Simulators) -> AsyncIterator[RunningLines]:
        """Run its program over the simulators. Raises NotInstalled, PeerEnded."""
        self.version()
        keys = found.credentials
        words = (
            "node", str(_SCRIPT), "127.0.0.1", str(found.ports.apns), str(keys.ca_certificate), str(keys.apns_key),
            KEY_ID, TEAM_ID, TOPIC, str(_CLIENTS),
        )  # fmt: skip
        command = Command(words, {"NODE_PATH": str(self._modules()), "NODE_ENV": "production"})
        async with run_lines(command, found.directory / "node-apn.log") as running:
            # V8 compiles what is hot: the first thousands of requests take twice the CPU of those that follow.
            await warm_up(running, found, (1, *(self.batch,) * 10))
            yield running

    def _place(self) -> Path:
        return home(self.name) / VERSION

    def _modules(self) -> Path:
        return self._place() / "node_modules"
