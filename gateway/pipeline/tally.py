"""What is reserved against frequency caps for deliveries under way: counted once sent, given back if none is."""

from __future__ import annotations

from collections.abc import Sequence

from core.delivery import Delivery
from core.model import DeliveryState
from core.policy.decision import Count
from core.policy.gates import Policy

# Half of the hour that a reservation holds, so that none that is sent has expired.
HOLDS_MS = 1_800_000

class Tally:
    """A user's share of one message: one count for all their devices, and the devices' own; and how long it holds.

    left: deliveries that have not ended. user_id: whose decision it is, "" for nobody's; single: it is for one device
    alone; total: as a summary of so many. mark: of the user, as decided. holds_until_unix_ms: when it must be decided
    anew at the latest, 0 for one that always holds. settled_unix_ms: until when marks that move again change nothing.
    """

    __slots__ = (
        "counts", "decided_unix_ms", "holds_until_unix_ms", "left", "mark", "policy", "sent", "settled_unix_ms",
        "single", "total", "user_id",
    )  # fmt: skip

    def __init__(self, policy: Policy, counts: Sequence[Count], left: int) -> None:
        self.policy = policy
        self.counts = counts
        self.left = left
        self.sent = self.single = False
        self.user_id = ""
        self.total = 1
        self.mark = self.decided_unix_ms = self.holds_until_unix_ms = self.settled_unix_ms = 0

    def hold(self, user_id: str, mark: int, until_unix_ms: int, now_unix_ms: int) -> None:
        """Note whose decision it is, made now, and when it may be another (0: never)."""
        self.user_id, self.mark, self.decided_unix_ms = user_id, mark, now_unix_ms
        latest = now_unix_ms + HOLDS_MS
        self.holds_until_unix_ms = min(until_unix_ms or latest, latest)

    def holds(self, policy: Policy, mark: int, now_unix_ms: int) -> bool:
        """Tell whether the decision still stands. policy, mark: the app's and the user's as they are now."""
        # A clock that was set back may have come to a night again, and would believe what is settled for too long.
        if not self.decided_unix_ms <= now_unix_ms < self.holds_until_unix_ms or policy is not self.policy:
            return False
        return mark == self.mark or now_unix_ms < self.settled_unix_ms

    def ended(self, state: int, *, possibly_delivered: bool, now_unix_ms: int) -> None:
        """Note that one of the deliveries ended; what may have reached the device counts as sent."""
        self.left -= 1
        if state == DeliveryState.DELIVERED or possibly_delivered:
            self.sent = True
        if self.left == 0:
            self.close(now_unix_ms)

    def close(self, now_unix_ms: int) -> None:
        """Count what was sent, or give back what was not."""
        if not self.counts:
            return
        if self.sent:
            self.policy.commit(self.counts, now_unix_ms)
        else:
            self.policy.release(self.counts)


def settle_tallies(
    deliveries: list[Delivery], places: Sequence[int], states: bytes | bytearray, now_unix_ms: int
) -> None:
    """Note the ends of the deliveries at these places. states: parallel to deliveries, final."""
    for place in places:
        delivery = deliveries[place]
        tally = delivery.tally
        if isinstance(tally, Tally):
            tally.ended(states[place], possibly_delivered=delivery.possibly_delivered, now_unix_ms=now_unix_ms)
            delivery.tally = None
