"""What the gates know of a notification."""

from __future__ import annotations

from dataclasses import dataclass

from core.model import NotificationClass
from core.policy.people import Channel

_PUSH = (Channel.PUSH,)


@dataclass(frozen=True, slots=True)
class Message:
    """A notification to one or many users of an app.

    category: never empty for marketing. channels: in the order of the sender's wish; one of them is chosen. tags: what
    caps may count, the template's included, frozen when it was accepted.
    """

    notification_id: bytes
    klass: NotificationClass
    category: str
    expires_unix_ms: int
    channels: tuple[Channel, ...] = _PUSH
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("a message needs a channel")

    @property
    def urgent(self) -> bool:
        """Whether neither quiet hours nor a device's permission hold it."""
        return self.klass <= NotificationClass.TRANSACTIONAL
