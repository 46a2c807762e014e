"""What the gates say: one verdict each with its reason, and the decision that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

from core.policy.people import Channel, UserDevice


class Verdict(IntEnum):
    """What a gate says; the numbers are the contract's."""

    PASS = 1
    DEFER = 2
    SUPPRESS = 3
    IN_APP_ONLY = 4


class Gate(StrEnum):
    """The gates in the order they stand in; the first that does not pass a message decides."""

    CLASS = "class"
    CONSENT = "consent"
    PERMISSION = "permission"
    SUPPRESSION = "suppression"
    PREFERENCE = "preference"
    FREQUENCY_CAP = "frequency_cap"
    QUIET_HOURS = "quiet_hours"
    VENDOR_QUOTA = "vendor_quota"
    CHANNEL = "channel"


class Reason(StrEnum):
    """The rule that decided, as receipts and explanations name it; NONE for a pass without one."""

    NONE = ""
    SECURITY = "SECURITY"
    SUPPRESSED = "SUPPRESSED"
    USER_CATEGORY_CHANNEL = "USER_CATEGORY_CHANNEL"
    USER_CATEGORY = "USER_CATEGORY"
    USER_CHANNEL = "USER_CHANNEL"
    USER_ALL = "USER_ALL"
    APP_DEFAULT = "APP_DEFAULT"
    NO_CONSENT = "NO_CONSENT"
    NO_DEVICE = "NO_DEVICE"
    OS_DENIED = "OS_DENIED"
    FREQUENCY_CAP = "FREQUENCY_CAP"
    COUNTERS_FULL = "COUNTERS_FULL"
    QUIET_HOURS = "QUIET_HOURS"
    QUIET_HOURS_NO_ZONE = "QUIET_HOURS_NO_ZONE"
    EXPIRES_IN_QUIET_HOURS = "EXPIRES_IN_QUIET_HOURS"
    VENDOR_QUOTA = "VENDOR_QUOTA"
    COLLAPSED = "COLLAPSED"


class GateVerdict(NamedTuple):
    """One gate's verdict. detail: for people, what it looked at and found. until_unix_ms: with DEFER, else 0."""

    gate: Gate
    verdict: Verdict
    reason: Reason = Reason.NONE
    detail: str = ""
    until_unix_ms: int = 0


class Count(NamedTuple):
    """A message reserved against a user's or a device's caps, to commit when it was sent and to release otherwise.

    fresh: this decision reserved it; one that was counted before is committed again, but never released.
    """

    key: int
    tag: int
    mask: int
    fresh: bool


class HeldDevice(NamedTuple):
    """A device that does not get now what the user's other devices get: deferred (until is set) or suppressed."""

    device: UserDevice
    verdict: Verdict
    gate: Gate
    reason: Reason
    until_unix_ms: int = 0


class Hold(NamedTuple):
    """What the hour says: PASS, DEFER until then, or SUPPRESS because it would expire before."""

    verdict: Verdict
    reason: Reason
    until_unix_ms: int = 0


PASSES = Hold(Verdict.PASS, Reason.NONE)


class Decision(NamedTuple):
    """What becomes of a message to one user. gate: which decided, CHANNEL for a pass.

    until_unix_ms: with DEFER; the message then goes through all gates again. devices: with PASS and PUSH, those that
    get it now; held: the user's others, each to be receipted or deferred by itself. user_count, device_counts: what is
    reserved, the latter aligned with devices, or empty when none is counted. holds_until_unix_ms: with PASS, when an
    hour or a cap may say something else; 0 for never.
    """

    verdict: Verdict
    gate: Gate
    reason: Reason
    until_unix_ms: int
    channel: Channel
    devices: Sequence[UserDevice] = ()
    held: Sequence[HeldDevice] = ()
    user_count: Count | None = None
    device_counts: Sequence[Count | None] = ()
    holds_until_unix_ms: int = 0

    def counts(self) -> list[Count]:
        """Return all that is reserved."""
        return [one for one in (self.user_count, *self.device_counts) if one is not None]
