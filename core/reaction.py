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


# After these the delivery is never sent again.
FINAL_KINDS = frozenset({
    OutcomeKind.DELIVERED, OutcomeKind.REJECTED, OutcomeKind.DEVICE_GONE, OutcomeKind.DEVICE_SUSPECT,
    OutcomeKind.MISCONFIGURED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One provider answer as a value.

    status: the HTTP status, 0 when none came. reason: the provider's own word, bounded to 64 characters.
    retry_after_ms: what the provider asked for, or its documented least wait, 0 if nothing.
    gone_since_unix_ms: DEVICE_GONE only, 0 if not told. possibly_delivered: refused in word, yet at times it arrives.
    alert: an operator must look, whatever becomes of the delivery.
    """

    kind: OutcomeKind
    status: int = 200
    reason: str = ""
    retry_after_ms: int = 0
    gone_since_unix_ms: int = 0
    possibly_delivered: bool = False
    alert: bool = False


DELIVERED = Outcome(OutcomeKind.DELIVERED)


class Step(Enum):
    """What happens to the delivery."""

    CLOSE_DELIVERED = "close_delivered"
    CLOSE_FAILED = "close_failed"
    CLOSE_EXPIRED = "close_expired"
    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Reaction:
    """The step for the delivery and what else must move.

    delay_ms: for RETRY. retire_device: drop the token from the registry, unless registered after gone_since_unix_ms.
    suspect_device: count against the token, drop nothing. throttle_ms: what was asked of the whole route, for its
    throttle. breaker_fault: counts against the route's breaker. trip_breaker: open it now.
    HOLD keeps the delivery queued until the breaker lets a probe through.
    """

    step: Step
    delay_ms: int = 0
    retire_device: bool = False
    suspect_device: bool = False
    possibly_delivered: bool = False
    throttle_ms: int = 0
    breaker_fault: bool = False
    trip_breaker: bool = False
    alert: bool = False


CLOSE_DELIVERED = Reaction(Step.CLOSE_DELIVERED)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform in [0, min(cap, base * 2**attempt)].

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base_ms: int = 500
    cap_ms: int = 60_000

    def delay_ms(self, attempt: int, rng: random.Random) -> int:
        """Draw the wait before attempt number `attempt` + 1; attempt counts from 1."""
        return rng.randint(0, min(self.cap_ms, self.base_ms << min(max(attempt, 1) - 1, 20)))


def react(outcome: Outcome, attempts: int, expires_in_ms: int, backoff: Backoff, rng: random.Random) -> Reaction:
    """Decide what follows from one answer.

    attempts: made so far, this one included. A retry that would come at or after expiry closes the delivery instead,
    and keeps what else must move.
    """
    if outcome.kind is OutcomeKind.DELIVERED:
        return CLOSE_DELIVERED
    settled = _ALARMED if outcome.alert else _SETTLED
    reaction = settled.get(outcome.kind)
    if reaction is None:
        return _retry(outcome, attempts, expires_in_ms, backoff, rng)
    if reaction.step is Step.HOLD and expires_in_ms <= 0:
        return _HOLD_EXPIRED
    return reaction


_SETTLED = {
    OutcomeKind.REJECTED: Reaction(Step.CLOSE_FAILED),
    OutcomeKind.DEVICE_GONE: Reaction(Step.CLOSE_FAILED, retire_device=True),
    OutcomeKind.DEVICE_SUSPECT: Reaction(Step.CLOSE_FAILED, suspect_device=True),
    OutcomeKind.CREDENTIAL_REJECTED: Reaction(Step.HOLD, trip_breaker=True, alert=True),
    OutcomeKind.MISCONFIGURED: Reaction(Step.CLOSE_FAILED, trip_breaker=True, alert=True),
}
_ALARMED = _SETTLED | {
    OutcomeKind.REJECTED: Reaction(Step.CLOSE_FAILED, alert=True),
    OutcomeKind.DEVICE_GONE: Reaction(Step.CLOSE_FAILED, retire_device=True, alert=True),
    OutcomeKind.DEVICE_SUSPECT: Reaction(Step.CLOSE_FAILED, suspect_device=True, alert=True),
}
_HOLD_EXPIRED = Reaction(Step.CLOSE_EXPIRED, trip_breaker=True, alert=True)
_FAULTS = frozenset({OutcomeKind.PROVIDER_FAULT, OutcomeKind.UNKNOWN})
# The provider is well and processed nothing: a tenth of the wait is enough to spread the herd of a closed connection.
_UNPROCESSED = frozenset({OutcomeKind.NOT_SENT, OutcomeKind.CREDENTIAL_EXPIRED})


def _retry(outcome: Outcome, attempts: int, expires_in_ms: int, backoff: Backoff, rng: random.Random) -> Reaction:
    kind = outcome.kind
    draw_ms = backoff.delay_ms(attempts, rng)
    delay_ms = outcome.retry_after_ms + (draw_ms // 10 if kind in _UNPROCESSED else draw_ms)
    late = delay_ms >= expires_in_ms
    return Reaction(
        Step.CLOSE_EXPIRED if late else Step.RETRY,
        delay_ms=0 if late else delay_ms,
        possibly_delivered=outcome.possibly_delivered or kind is OutcomeKind.UNKNOWN,
        throttle_ms=outcome.retry_after_ms if kind is OutcomeKind.ROUTE_THROTTLED else 0,
        breaker_fault=kind in _FAULTS,
        alert=outcome.alert,
    )
