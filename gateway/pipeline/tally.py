"""What is reserved against frequency caps for deliveries under way: counted once sent, given back if none is."""

from __future__ import annotations

from collections.abc import Sequence

from core.delivery import Delivery
from core.model import DeliveryState
from core.policy.decision import Count
from core.policy.gates import Policy


class Tally:
    """A user's share of one message: one count for all their devices, and the devices' own.

    left: deliveries that have not ended.
    """

    __slots__ = ("counts", "left", "policy", "sent")

    def __init__(self, policy: Policy, counts: Sequence[Count], left: int) -> None:
        self.policy = policy
        self.counts = counts
        self.left = left
        self.sent = False

    def ended(self, state: int, *, possibly_delivered: bool, now_unix_ms: int) -> None:
        """Note that one of the deliveries ended; what may have reached the device counts as sent."""
        self.left -= 1
        if state == DeliveryState.DELIVERED or possibly_delivered:
            self.sent = True
        if self.left == 0:
            self.close(now_unix_ms)

    def close(self, now_unix_ms: int) -> None:
        """Count what was sent, or give back what was not."""
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
