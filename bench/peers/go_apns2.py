"""sideshow/apns2, the APNs client that gorush is built on: no gateway, and so the least that gorush can cost.

Source: https://github.com/sideshow/apns2, its README.md and _example.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC
from adapters.simulators.settings import Provider
from bench.peers.lines import RunningLines, run_lines
from bench.peers.peer import GO_VARIABLES, Command, Mode, NotInstalled, home, warm_up
from bench.stand import Simulators

VERSION = "0.25.0"
# The client asks for one of 2022; gorush is built with a current one.
_NET = "golang.org/x/net@v0.62.0"
_SOURCE = Path(__file__).with_name("go_apns2.go")
_WORKERS = 500
_NOTES = (
    "go-apns2 is the client inside gorush and no gateway: it takes requests as lines of JSON on its standard input, "
    "without a network, and keeps nothing; it answers when APNs has.",
)


@dataclass(frozen=True, slots=True)
class GoApns2:
    """The client as a GatewayUnderTest and a Peer."""

    name: str = "go-apns2"
    provider: Provider = "apns"
    batch: int = 500
    in_flight: int = 4
    notes: tuple[str, ...] = _NOTES
    mode: Mode = "fast"
    enough: int = 20_000

    def version(self) -> str:
        """Return the client's version. Raises NotInstalled."""
        if not self._binary().exists():
            raise NotInstalled(self.name)
        return VERSION

    def installation(self) -> tuple[Command, ...]:
        """Return the build of its program in a module of its own."""
        place = str(self._place())
        return (
            Command(("mkdir", "-p", place)),
            Command(("cp", str(_SOURCE), f"{place}/main.go")),
            Command(("rm", "-f", f"{place}/go.mod", f"{place}/go.sum")),
            *(
                Command(("go", "-C", place, *words))
                for words in (
                    ("mod", "init", "walletpush.bench/go_apns2"),
                    ("get", f"github.com/sideshow/apns2@v{VERSION}", _NET),
                    ("build", "-o", str(self._binary()), "."),
                )
            ),
        )

    @asynccontextmanager
    async def start(self, found: Simulators) -> AsyncIterator[RunningLines]:
        """Run its program over the simulators. Raises NotInstalled, PeerEnded."""
        self.version()
        keys = found.credentials
        host = f"127.0.0.1:{found.ports.apns}"
        words = (str(self._binary()), host, str(keys.apns_key), KEY_ID, TEAM_ID, TOPIC, str(_WORKERS))
        command = Command(words, {**GO_VARIABLES, "SSL_CERT_FILE": str(keys.ca_certificate)})
        async with run_lines(command, found.directory / "go-apns2.log") as running:
            await warm_up(running, found, (1, self.batch))
            yield running

    def _place(self) -> Path:
        return home(self.name) / VERSION

    def _binary(self) -> Path:
        return self._place() / "go_apns2"
