"""Who is still let in when the gateway fills up: marketing is shed first, security last."""

from __future__ import annotations

from core.errors import Overloaded
from core.model import NotificationClass

_RETRY_AFTER_MS = 1_000


class Admission:
    """Bounds what is pending, by class: marketing up to marketing_share of max_pending, security up to all of it."""

    def __init__(self, max_pending: int, marketing_share: float, service_share: float) -> None:
        self._limits = (
            max_pending,
            int(max_pending * (1 + service_share) / 2),
            int(max_pending * service_share),
            int(max_pending * marketing_share),
        )

    def check(self, klass: int, pending: int, wanted: int) -> None:
        """Raise Overloaded if `wanted` more deliveries of a class do not fit beside what is pending.

        A notification larger than a whole share is let in while nothing is pending, or it never would be.
        """
        if pending + wanted > self._limits[klass] and pending:
            name = NotificationClass(klass).name.lower()
            raise Overloaded(f"the queue for {name} notifications", _RETRY_AFTER_MS)
