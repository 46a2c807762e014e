"""How a simulated server misbehaves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of every connection of a server; counts are per connection, 0 means never.

    silent: TLS comes up, SETTINGS never do. black_hole: requests are read and never answered. delay_ms: the handler
    sees requests this much later. goaway_after: at that many requests, GOAWAY whose last id leaves out the newest
    `goaway_unprocessed` of them, which are dropped; with goaway_graceful, the 2^31-1 notice goes before. abort_after:
    at that many requests the socket is reset, none of the batch answered. reset_one_in: every n-th request gets
    RST_STREAM `reset_code`.
    """

    silent: bool = False
    black_hole: bool = False
    delay_ms: int = 0
    goaway_after: int = 0
    goaway_unprocessed: int = 0
    goaway_graceful: bool = False
    goaway_debug: bytes = b""
    abort_after: int = 0
    reset_one_in: int = 0
    reset_code: int = 7
