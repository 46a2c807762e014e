"""All gates over batches, in their fixed order: one app's rules, its users' will, the hour, and what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.hashing import SipHash
from core.policy.decision import Count, Decision, GateVerdict
from core.policy.message import Message
from core.policy.people import Recipient, UserDevice
from core.policy.ports import CapCounters
from core.policy.rules import AppRules


class Policy:
    """The gates of one app, with what they remember between batches. Not for several threads at once."""

    def __init__(self, rules: AppRules, counters: CapCounters, hashes: SipHash, now_unix_ms: int) -> None:
        """hashes: under the same key in all workers, since its hashes name users and filters in shared counters.

        Raises ValueError when all filters of the counters are taken.
        """
        raise NotImplementedError

    def decide_many(
        self, message: Message, recipients: Sequence[Recipient], devices: Sequence[Sequence[UserDevice]],
        now_unix_ms: int,
    ) -> list[Decision]:  # fmt: skip
        """Take one message to n users through all gates and reserve it; return n decisions in the same order.

        devices: each user's, n. An unknown user is Recipient(user_id).
        """
        return self.decide_each([message] * len(recipients), recipients, devices, now_unix_ms)

    def decide_each(
        self, messages: Sequence[Message], recipients: Sequence[Recipient], devices: Sequence[Sequence[UserDevice]],
        now_unix_ms: int,
    ) -> list[Decision]:  # fmt: skip
        """Take n messages, each to one user, through all gates and reserve them; all three are aligned."""
        raise NotImplementedError

    def explain(
        self, message: Message, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
    ) -> list[GateVerdict]:
        """Return the verdict of every gate in their order, with details for people; nothing is reserved."""
        raise NotImplementedError

    def commit(self, counts: Iterable[Count], now_unix_ms: int) -> None:
        """Count what was sent; Decision.counts() gives what to name."""
        raise NotImplementedError

    def release(self, counts: Iterable[Count]) -> None:
        """Un-count what was reserved and then not sent."""
        raise NotImplementedError
