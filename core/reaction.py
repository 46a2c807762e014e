"""A provider's Outcome -> what the gateway does next: a pure function of outcome, attempts and time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, IntEnum


class OutcomeKind(IntEnum):
    """What a provider's answer means, whatever its dialect."""

    DELIVERED = 0
    REJECTED = 1
    DEVICE_GONE = 2
    DEVICE_SUSPECT = 3
    DEVICE_THROTTLED = 4
    ROUTE_THROTTLED = 5
    PROVIDER_FAULT = 6
    NOT_SENT = 7
    UNKNOWN = 8
    CREDENTIAL_EXPIRED = 9
    CREDENTIAL_REJECTED = 10
    MISCONFIGURED = 11


@dataclass(frozen=True, slots=True)
class Outcome:
    """One provider answer as a value.

    status: the HTTP status, 0 when none came. reason: the provider's own word, bounded to 64 characters.
    retry_after_ms: what the provider asked for, 0 if nothing. gone_since_unix_ms: DEVICE_GONE only, 0 if not told.
    """

    kind: OutcomeKind
    status: int = 200
    reason: str = ""
    retry_after_ms: int = 0
    gone_since_unix_ms: int = 0


DELIVERED = Outcome(OutcomeKind.DELIVERED)


class Step(Enum):
    """What happens to the delivery."""

    CLOSE_DELIVERED = "close_delivered"
    CLOSE_FAILED = "close_failed"
    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Reaction:
    """The step for the delivery and what else must move.

    delay_ms: for RETRY. retire_device: drop the token from the registry, unless registered after gone_since_unix_ms.
    pause_route_ms: send nothing on the route that long. breaker_fault: counts against the route's breaker.
    trip_breaker: open it now. HOLD keeps the delivery queued until the breaker lets a probe through.
    """

    step: Step
    delay_ms: int = 0
    retire_device: bool = False
    possibly_delivered: bool = False
    pause_route_ms: int = 0
    breaker_fault: bool = False
    trip_breaker: bool = False
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform in [0, min(cap, base * 2**attempt)].

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base_ms: int = 500
    cap_ms: int = 60_000

    def delay_ms(self, attempt: int, rng: random.Random) -> int:
        """Draw the wait before attempt number `attempt` + 1; attempt counts from 1."""
        return rng.randint(0, min(self.cap_ms, self.base_ms << min(attempt - 1, 20)))
