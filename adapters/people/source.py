"""What the hot path reads of users: one statement on the file of users, one on the registry of devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.model import Target
from core.policy.people import Recipient, UserDevice


class SqliteRecipients:
    """Implements core.people.RecipientSource and the planner's questions about tokens over the two files."""

    def __init__(self, people: SqlitePeople, registry: SqliteRegistry) -> None:
        self._people = people
        self._registry = registry

    async def recipients(self, app: str, user_ids: Sequence[str], attributes: bool) -> Mapping[str, Recipient]:
        """Return what is known of up to 10,000 users; an unknown one is not in the answer. Raises Unavailable."""
        return await self._people.recipients(app, user_ids, attributes)

    async def user_devices(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[UserDevice]]:
        """Return the devices of up to 10,000 users; a user without any is not in the answer. Raises Unavailable."""
        return await self._registry.user_devices(app, user_ids)

    async def owners(self, app: str, targets: Sequence[Target]) -> Mapping[tuple[int, str], tuple[str, UserDevice]]:
        """Return whose devices up to 10,000 tokens are; unknown ones are not in the answer. Raises Unavailable."""
        return await self._registry.owners(app, targets)

    def mark(self, app: str, user_id: str) -> int:
        """Return a number that is another one once the user changed; read it before the user."""
        return self._people.mark(app, user_id)

    def touch(self, app: str, user_ids: Iterable[str]) -> None:
        """Have every worker take these users as changed, since their devices are."""
        self._people.touch(app, user_ids)

    async def minds_transactional(self, app: str) -> bool:
        """Tell whether any user of the app holds back transactional notifications. Raises Unavailable."""
        return await self._people.minds_transactional(app)
