"""How the client connects, batches, bounds itself and retries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tls:
    """ca_file: PEM bundle to trust, None is gRPC's own. cert_file, key_file: for mTLS. server_name: if another."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse half a key pair."""
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")


@dataclass(frozen=True, slots=True)
class Batching:
    """When a chunk of the stream is closed: by count, by size, or by its first message's wait.

    With nothing in flight a chunk leaves at once, so that a lone caller never waits. With max_in_flight of them in
    flight one that is not full waits for an answer: a slow gateway gets fewer and larger chunks and no longer queue.
    """

    max_messages: int = 500
    max_bytes: int = 1 << 20
    max_latency_ms: float = 2.0
    max_in_flight: int = 8

    def __post_init__(self) -> None:
        """Hold to the contract's 1,000 notifications a chunk."""
        if not 1 <= self.max_messages <= 1_000:
            raise ValueError("max_messages must be 1 to 1,000")
        if self.max_bytes < 1 or self.max_in_flight < 1 or self.max_latency_ms < 0:
            raise ValueError("max_bytes and max_in_flight must be positive and max_latency_ms not negative")


@dataclass(frozen=True, slots=True)
class FlowControl:
    """How much `send` may have under way, and whether more of it waits or raises FlowControlFull."""

    max_messages: int = 50_000
    max_bytes: int = 64 << 20
    when_full: Literal["wait", "refuse"] = "wait"


@dataclass(frozen=True, slots=True)
class Retry:
    """What is transient is tried again until deadline_s after the call, with full jitter, base_s * 2**n up to cap_s.

    stall_s: a stream that acknowledges nothing for so long is given up and what it carried sent on a new one.
    """

    deadline_s: float = 30.0
    base_s: float = 0.05
    cap_s: float = 2.0
    stall_s: float = 10.0
