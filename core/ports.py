"""The Protocols that core and pipeline call and adapters implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.delivery import Delivery, Notification
from core.errors import ContentRefused
from core.reaction import Outcome

# Payload and envelope, or why the provider would not take it.
Rendered = tuple[bytes, object] | ContentRefused


class Sink(Protocol):
    """Who hears what a channel has to say; called on the event loop, never awaits."""

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Take the answers of some submitted deliveries: parallel lists, in the order the answers came."""

    def on_capacity(self, route: int) -> None:
        """Note that a route that had no capacity has some again."""


class Channel(Protocol):
    """The way to one provider for one app (a route): persistent connections, payload format, answer table."""

    def render(self, notification: Notification) -> tuple[bytes, object]:
        """Build payload and envelope, shared by all deliveries of the notification on this route.

        Raises ContentRefused when the provider would not take it (size, push type, missing topic).
        """

    def render_many(self, notifications: list[Notification]) -> list[Rendered]:
        """Do the same for a batch, in its order; what the provider would not take has its refusal instead."""

    @property
    def capacity(self) -> int:
        """How many deliveries submit would take now; 0 while disconnected, draining or without a credential."""

    def submit(self, deliveries: Sequence[Delivery], now_unix_ms: int) -> int:
        """Put a batch on the wire; return how many of its head were taken. Each taken one is answered exactly once."""

    async def start(self) -> None:
        """Begin connecting in the background; returns before the first connection is up."""

    async def close(self, drain_s: float) -> None:
        """Wait for what is in flight, at most drain_s, then close; what is left is answered UNKNOWN."""
