"""What another gateway offers beyond being run: how it gets onto this machine, and how much of it is a measurement."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from bench.received import Received
from bench.stand import Simulators
from bench.under_test import GatewayUnderTest, RunningGateway, pushes

Mode = Literal["fast", "counting"]
# Collecting garbage less often gives Go peers a seventh of their rate, for some MiB: https://go.dev/doc/gc-guide.
GO_VARIABLES = {"GOGC": "400"}
_PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


class NotInstalled(RuntimeError):
    """A peer is not on this machine."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not installed: python -m bench.peers install {name}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start. environment: added to ours, which loses its HTTP proxies first."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None

    def variables(self) -> dict[str, str]:
        """Return the whole environment."""
        kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXY_VARIABLES}
        return {**kept, **self.environment}


class Peer(GatewayUnderTest, Protocol):
    """Another gateway.

    mode: of the simulators it needs; "counting" where it matches answers by apns-id, which the fast ones do not echo.
    enough: how many pushes make a measurement of some seconds. start() sends a few pushes before it returns.
    """

    @property
    def mode(self) -> Mode:
        """The fastest mode of the simulators that it works with."""

    @property
    def enough(self) -> int:
        """How many pushes to measure with."""

    def version(self) -> str:
        """Return its version. Raises NotInstalled."""

    def installation(self) -> Sequence[Command]:
        """Return what to run to have it below `home(name)`, in this order; nothing of it is run."""


def home(name: str) -> Path:
    """Return the directory that holds a peer, outside of the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "walletpush-bench" / "peers" / name


async def warm_up(running: RunningGateway, found: Simulators, batches: Sequence[int]) -> None:
    """Send batches of these sizes, and wait after each until APNs has it: a new connection has one stream until then.

    Raises NotTaken, Stalled.
    """
    made = list(pushes(sum(batches), "warm"))
    async with found.simulator() as simulator:
        received = Received(simulator)
        for size in batches:
            await received.begin()
            await running.send(running.prepare(made[:size]))
            await received.reach(size)
            del made[:size]
