"""How a simulator misbehaves: the settings, and the seeded dice that turn them into one request's bad luck."""

from __future__ import annotations

import random
import zlib
from bisect import bisect_right
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Millis = Annotated[float, Field(ge=0.0, le=600_000.0)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Faults:
    """What goes wrong; the default is a provider in good health. Shares are of requests, 0.0 to 1.0.

    latency: "fixed" waits latency_ms; "uniform" latency_ms plus up to latency_spread ms; "lognormal" has the median
    latency_ms and the sigma latency_spread. Answers wait on timers of one millisecond.
    dead_prefix: device tokens that start so are unregistered; dead_share: so are as many tokens, chosen by their hash.
    black_hole_rate: read and never answered. reset_rate: judged, then the connection is reset instead of an answer.
    goaway_after, reset_after: the request of a connection, counted from 1, at which it gets GOAWAY or is reset, 0 is
    never; one that is past it already is reset at its next request, but gets no GOAWAY. goaway_unprocessed: how many of
    the newest requests GOAWAY leaves out. goaway_graceful: 2^31-1 goes before.
    stream_reset_one_in: every n-th request of a connection gets RST_STREAM of stream_reset_code, 7 is REFUSED_STREAM.
    silent: TLS comes up, SETTINGS never do.
    outage: "unavailable" answers everything 503, "refusing" drops all connections and takes none; 0 as outage_s has no
    end.
    retry_after_s: sent with 429 and 503; 0 sends none.
    """

    latency: Literal["none", "fixed", "uniform", "lognormal"] = "none"
    latency_ms: Millis = 0.0
    latency_spread: Millis = 0.0
    rate_410: Share = 0.0
    rate_429: Share = 0.0
    rate_500: Share = 0.0
    rate_503: Share = 0.0
    black_hole_rate: Share = 0.0
    reset_rate: Share = 0.0
    dead_prefix: str = ""
    dead_share: Share = 0.0
    goaway_after: Count = 0
    goaway_unprocessed: Count = 0
    goaway_graceful: bool = False
    reset_after: Count = 0
    stream_reset_one_in: Count = 0
    stream_reset_code: Count = 7
    silent: bool = False
    max_concurrent_streams: Count = 1000
    outage: Literal["none", "unavailable", "refusing"] = "none"
    outage_s: Annotated[float, Field(ge=0.0)] = 0.0
    retry_after_s: Count = 0
    seed: int = 1


class Luck(IntEnum):
    """What befalls one request; GOOD means that it is judged on its merits."""

    GOOD = 0
    UNREGISTERED = 410
    THROTTLED = 429
    INTERNAL = 500
    UNAVAILABLE = 503
    SWALLOWED = 1
    RESET = 2


class Dice:
    """Rolls for each request under one setting of Faults; the same seed gives the same sequence."""

    def __init__(self, faults: Faults, clock_s: Callable[[], float]) -> None:
        self.faults = faults
        self._clock_s = clock_s
        self._random = random.Random(faults.seed)  # noqa: S311 - luck, not a secret
        self._outage_end_s = clock_s() + faults.outage_s if faults.outage_s else float("inf")
        self._dead_prefix = faults.dead_prefix.encode()
        self._dead_below = int(faults.dead_share * 2**32)
        self._thresholds, self._lucks = _thresholds(faults)
        self._outage = faults.outage == "unavailable"
        self._rates = self._thresholds[-1] > 0.0 if self._thresholds else False
        self.healthy = not (self._outage or self._rates or self._dead_prefix or self._dead_below)
        self.instant = faults.latency == "none"

    def roll(self, token: bytes) -> Luck:
        """Return what befalls a request for this device token."""
        if self.healthy:
            return Luck.GOOD
        if self._outage and self._clock_s() < self._outage_end_s:
            return Luck.UNAVAILABLE
        if self._is_dead(token):
            return Luck.UNREGISTERED
        if not self._rates:
            return Luck.GOOD
        return self._lucks[bisect_right(self._thresholds, self._random.random())]

    def delay_ms(self) -> float:
        """Return how long the next answer waits."""
        faults = self.faults
        match faults.latency:
            case "none":
                return 0.0
            case "fixed":
                return faults.latency_ms
            case "uniform":
                return faults.latency_ms + faults.latency_spread * self._random.random()
            case "lognormal":
                return faults.latency_ms * self._random.lognormvariate(0.0, faults.latency_spread)

    def _is_dead(self, token: bytes) -> bool:
        if self._dead_prefix and token.startswith(self._dead_prefix):
            return True
        return bool(self._dead_below) and zlib.crc32(token) < self._dead_below


def _thresholds(faults: Faults) -> tuple[list[float], list[Luck]]:
    shares = (
        (Luck.SWALLOWED, faults.black_hole_rate),
        (Luck.RESET, faults.reset_rate),
        (Luck.UNREGISTERED, faults.rate_410),
        (Luck.THROTTLED, faults.rate_429),
        (Luck.INTERNAL, faults.rate_500),
        (Luck.UNAVAILABLE, faults.rate_503),
    )
    bounds, total = [], 0.0
    for _, share in shares:
        total += share
        bounds.append(total)
    return bounds, [luck for luck, _ in shares] + [Luck.GOOD]
