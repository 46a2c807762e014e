"""What a simulator run is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from adapters.simulators.faults import Faults

Provider = Literal["apns", "sandbox", "fcm"]
PROVIDERS: tuple[Provider, ...] = ("apns", "sandbox", "fcm")
PORTS_FILE = "ports.json"


class Ports(NamedTuple):
    """Where the simulators listen; control is plain HTTP, oauth HTTPS, the others HTTP/2 over TLS."""

    apns: int = 0
    sandbox: int = 0
    fcm: int = 0
    oauth: int = 0
    control: int = 0


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One run. directory: where credentials are made or found, and `ports.json` is written. ports: 0 is any free one.

    mode: "truthful" checks and remembers every message; "counting" checks, and counts answers only; "fast" answers
    without a look, every error_one_in-th an error if not 0, and knows no faults. topics: those that exist for APNs, any
    if None. keeps_times: remember when each message came. keeps_bodies: of how many of each provider's newest requests.
    workers: how many processes share the load and, each having shares_ports set, the ports. until_stdin_closes: stop
    also when standard input ends, to not outlive the starter.
    """

    directory: Path
    host: str = "127.0.0.1"
    ports: Ports = field(default_factory=Ports)
    mode: Literal["truthful", "counting", "fast"] = "truthful"
    error_one_in: int = 0
    topics: frozenset[str] | None = None
    token_updates_per_20_min: int = 4
    keeps_times: bool = False
    keeps_bodies: int = 0
    workers: int = 1
    shares_ports: bool = False
    until_stdin_closes: bool = False
    faults: Faults = field(default_factory=Faults)
