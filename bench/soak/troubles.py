"""What goes wrong with the providers in a soak, one trouble at a time, at both of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from adapters.simulators.faults import Faults

# As a provider at some distance: what is in flight is bounded by streams and time, not by the simulator's speed.
FAIR = Faults(latency="lognormal", latency_ms=8, latency_spread=0.4, max_concurrent_streams=500)
_REFUSED_STREAM, _INTERNAL_ERROR = 7, 2


class Again(Enum):
    """What is done to all connections when a trouble begins and every second of it."""

    NOTHING = "nothing"
    GOAWAY = "goaway"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Trouble:
    """deaths: devices die with it, and come back under another token when it is over."""

    name: str
    what: str
    apns: Faults = FAIR
    fcm: Faults = FAIR
    again: Again = Again.NOTHING
    deaths: bool = False


def _both(name: str, what: str, faults: Faults, again: Again = Again.NOTHING) -> Trouble:
    return Trouble(name, what, faults, faults, again)


TROUBLES = (
    _both(
        "429s", "three of ten answers are 429, with Retry-After of 10 s", replace(FAIR, rate_429=0.3, retry_after_s=10)
    ),
    _both("503s", "every answer is 503, with Retry-After of 5 s", replace(FAIR, outage="unavailable", retry_after_s=5)),
    _both(
        "GOAWAYs", "GOAWAY every second and at the 200th request, 20 left out",
        replace(FAIR, goaway_after=200, goaway_unprocessed=20), Again.GOAWAY,
    ),
    Trouble(
        "RST_STREAMs", "every tenth stream is reset: refused by APNs, an internal error of FCM",
        replace(FAIR, stream_reset_one_in=10, stream_reset_code=_REFUSED_STREAM),
        replace(FAIR, stream_reset_one_in=10, stream_reset_code=_INTERNAL_ERROR),
    ),
    _both(
        "resets", "one of a hundred requests, and every second, resets connections", replace(FAIR, reset_rate=0.01),
        Again.DISCONNECT,
    ),
    _both("black hole", "everything is read and nothing answered", replace(FAIR, black_hole_rate=1.0)),
    Trouble("dead tokens", "one of a hundred devices dies", deaths=True),
    _both("no streams", "MAX_CONCURRENT_STREAMS is 0", replace(FAIR, max_concurrent_streams=0)),
    Trouble(
        "unreachable", "APNs takes no connection; FCM takes them and says nothing",
        replace(FAIR, outage="refusing"), replace(FAIR, silent=True), Again.DISCONNECT,
    ),
)  # fmt: skip
BY_NAME = {trouble.name: trouble for trouble in TROUBLES}
