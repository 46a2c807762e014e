"""What the planner asks beside the users' records: whose a device token is, who changed, and who stopped payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.model import Target
from core.policy.people import UserDevice

# By (provider, token): the user and the device.
Owners = Mapping[tuple[int, str], tuple[str, UserDevice]]


class OwnerSource(Protocol):
    """Reads of the registry and of the suppressions."""

    def mark(self, app: str, user_id: str) -> int:
        """Return a number that is another one after the user's record or preferences changed; at once."""

    async def owners(self, app: str, targets: Sequence[Target]) -> Owners:
        """Return whose devices these are; one that is not registered is not in the answer. Raises Unavailable."""

    async def minds_transactional(self, app: str) -> bool:
        """Tell whether any user of the app holds back transactional notifications. Raises Unavailable."""
