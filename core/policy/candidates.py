"""A message to one user on its way through the gates."""

from __future__ import annotations

from collections.abc import Sequence

from core.policy.decision import PASSES, Count, Decision, Gate, HeldDevice, Hold, Reason, Verdict
from core.policy.message import Message
from core.policy.people import Category, Channel, Permission, Recipient, UserDevice
from core.policy.permission import showing


class Candidate:
    """What the user's will lets through; `decision` is set by the first gate behind it that does not pass.

    place: in the batch. known: the user's devices. devices: those that get a push, fewer from gate to gate. key: of the
    user, for counters. spread: a hash of user and notification. hold: what the hour says of all devices together.
    holds_until_s: when an hour or a cap may say something else, 0 where none matters.
    """

    __slots__ = (
        "category", "channel", "decision", "device_counts", "devices", "held", "hold", "holds_until_s", "key", "known",
        "message", "place", "recipient", "spread", "tag", "user_count",
    )  # fmt: skip

    def __init__(
        self, place: int, message: Message, category: Category, recipient: Recipient, channel: Channel,
        devices: Sequence[UserDevice],
    ) -> None:  # fmt: skip
        self.place = place
        self.message = message
        self.category = category
        self.recipient = recipient
        self.channel = channel
        self.known = devices
        self.devices = showing(message, devices) if channel == Channel.PUSH else ()
        self.held: Sequence[HeldDevice] = ()
        if channel == Channel.PUSH and len(self.devices) < len(devices):
            self.held = [
                HeldDevice(device, Verdict.SUPPRESS, Gate.PERMISSION, Reason.OS_DENIED)
                for device in devices
                if device.permission == Permission.DENIED
            ]
        self.key = self.tag = self.spread = self.holds_until_s = 0
        self.hold: Hold = PASSES
        self.user_count: Count | None = None
        self.device_counts: Sequence[Count | None] = ()
        self.decision: Decision | None = None

    def holds(self, until_s: int) -> None:
        """Note a moment at which the decision may be another."""
        self.holds_until_s = min(self.holds_until_s or until_s, until_s)

    def stop(self, gate: Gate, verdict: Verdict, reason: Reason, until_unix_ms: int = 0) -> None:
        """Decide."""
        channel = Channel.IN_APP if verdict == Verdict.IN_APP_ONLY else self.channel
        self.decision = Decision(verdict, gate, reason, until_unix_ms, channel)

    def end(self) -> Decision:
        """Return what was decided; what no gate stopped is sent."""
        if self.decision is not None:
            return self.decision
        return Decision(
            Verdict.PASS, Gate.CHANNEL, Reason.NONE, 0, self.channel, self.devices, self.held, self.user_count,
            self.device_counts, self.holds_until_s * 1_000,
        )  # fmt: skip
