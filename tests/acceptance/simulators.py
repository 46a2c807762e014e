"""The truthful simulators as a process of their own, asked and steered without a loop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from adapters.simulators.client import SimulatorClient, read_ports
from adapters.simulators.credentials import SimulatorCredentials, make_credentials
from adapters.simulators.faults import Faults
from adapters.simulators.settings import PORTS_FILE, Provider

T = TypeVar("T")
_START_S = 30.0
HEALTHY = Faults()


class Simulators:
    """Both providers; `stop` ends them."""

    def __init__(self, directory: Path) -> None:
        self.credentials: SimulatorCredentials = make_credentials(directory)
        with (directory / "simulators.log").open("ab") as log:
            words = [sys.executable, "-m", "adapters.simulators", str(directory), "--keep-bodies", "100"]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not (directory / PORTS_FILE).exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((directory / "simulators.log").read_text())
            time.sleep(0.02)
        self.ports = read_ports(directory)

    def stop(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def ask(self, call: Callable[[SimulatorClient], Awaitable[T]]) -> T:
        """Do one thing through the control API."""

        async def ask() -> T:
            async with SimulatorClient(self.ports.control) as client:
                return await call(client)

        return asyncio.run(ask())

    def reset(self) -> None:
        """Forget all messages, faults and tokens."""
        self.ask(lambda client: client.reset())

    def misbehave(self, faults: Faults, provider: Provider = "apns") -> None:
        """Let a provider misbehave from now on."""
        self.ask(lambda client: client.set_faults(provider, faults))

    def accepted(self, provider: Provider = "apns") -> int:
        """Return how many messages a provider accepted."""
        return self.ask(lambda client: client.summary(provider))["accepted"]

    def bodies(self, provider: Provider = "apns") -> list[str]:
        """Return the newest requests' bodies, oldest first."""
        return self.ask(lambda client: client.bodies(provider))

    def arrivals(self, message_id: str) -> list[dict[str, str | int]]:
        """Return the accepted requests with this apns-id."""
        return self.ask(lambda client: client.message("apns", message_id))["arrivals"]

    def refusals(self, message_id: str) -> int:
        """Return how many requests with this apns-id were refused."""
        return self.ask(lambda client: client.message("apns", message_id))["refusals"]

    def requests(self, provider: Provider = "apns") -> int:
        """Return how many requests a provider judged."""
        return self.ask(lambda client: client.summary(provider))["requests"]
