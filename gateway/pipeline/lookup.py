"""What planning looks up before it decides: users, their devices, owners of bare tokens, templates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from core.delivery import Notification
from core.errors import Unavailable
from core.model import NotificationClass, Target
from core.people import RecipientSource
from core.policy.people import Recipient, UserDevice
from core.policy.rules import AppRules
from gateway.logs import get_logger
from gateway.pipeline.clock import Clock
from gateway.pipeline.owners import Owners, OwnerSource
from gateway.pipeline.personal import Templates
from gateway.pipeline.policies import Policies
from gateway.template_book import TemplateBook

MAX_PAIRS = 10_000
# Of tokens whose owners are asked for: what is made of an answer takes some 1 us each.
_SLICE = 250
_RETRY_S = 0.5
_MINDED_MS = 1_000
T = TypeVar("T")


class Pair(NamedTuple):
    """A notification for one user. device: only for this one of theirs. total: how many it stands for, as a summary."""

    notification: Notification
    user_id: str
    device: UserDevice | None = None
    total: int = 1


class People(NamedTuple):
    """What is known of the users of some pairs of one app. marks: another once it is no longer true."""

    rules: AppRules
    recipients: Mapping[str, Recipient]
    devices: Mapping[str, Sequence[UserDevice]]
    templates: Templates
    marks: Mapping[str, int]

    def devices_of(self, pair: Pair) -> Sequence[UserDevice]:
        """Return the devices that a pair is for."""
        return self.devices.get(pair.user_id, ()) if pair.device is None else (pair.device,)


def _owned(one: Notification, targets: Sequence[Target], owners: Owners) -> Iterator[Pair]:
    for target in targets:
        owner, device = owners.get((target.provider, target.token), ("", UserDevice(target)))
        if not owner or owner not in one.user_ids:
            yield Pair(one, owner, device)


class Lookup:
    """Two statements for up to 10,000 users. stopped: tells when waiting for a store has no more use."""

    def __init__(
        self, *, people: RecipientSource, owners: OwnerSource, policies: Policies, book: TemplateBook, clock: Clock,
        stopped: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._people = people
        self._owners = owners
        self._policies = policies
        self._book = book
        self._clock = clock
        self._stopped = stopped
        self._minded: dict[str, tuple[bool, int]] = {}
        self._logger = get_logger("lookup")

    async def minds_transactional(self, app: str) -> bool:
        """Tell whether any user of an app may hold back transactional ones, as of a second ago. Raises Unavailable."""
        categories = self._policies.rules(app).categories
        if any(one.klass == NotificationClass.TRANSACTIONAL and one.user_may_disable for one in categories):
            return True
        minds, at_unix_ms = self._minded.get(app, (False, 0))
        now_unix_ms = self._clock.unix_ms()
        if not at_unix_ms <= now_unix_ms < at_unix_ms + _MINDED_MS:
            minds = await self._patiently(lambda: self._owners.minds_transactional(app))
            self._minded[app] = minds, now_unix_ms
        return minds

    async def pairs(self, app: str, notifications: Sequence[Notification]) -> list[Pair]:
        """Return each user of the notifications; tokens count for their owners. Raises Unavailable."""
        pairs: list[Pair] = []
        for one in notifications:
            pairs += [Pair(one, user) for user in dict.fromkeys(one.user_ids)]
            for start in range(0, len(one.targets), _SLICE):
                part = one.targets[start : start + _SLICE]
                owners = await self._patiently(partial(self._owners.owners, app, part))
                pairs += _owned(one, part, owners)
        return pairs

    async def people(self, app: str, pairs: Sequence[Pair]) -> People:
        """Return what is known of up to 10,000 pairs' users. Raises Unavailable."""
        templates = await self._templates(app, pairs)
        asked = any(template is not None and template.user_attributes for template in templates.values())
        users = list(dict.fromkeys(pair.user_id for pair in pairs if pair.user_id))
        held = any(pair.notification.klass >= NotificationClass.SERVICE for pair in pairs)
        marks = await self._marks(app, users) if held else {}
        recipients: Mapping[str, Recipient] = {}
        devices: Mapping[str, Sequence[UserDevice]] = {}
        if users:
            recipients = await self._patiently(lambda: self._people.recipients(app, users, asked))
            devices = await self._patiently(lambda: self._people.user_devices(app, users))
        return People(self._policies.rules(app), recipients, devices, templates, marks)

    def mark(self, app: str, user_id: str) -> int:
        """Return the user's mark as it is now."""
        return self._owners.mark(app, user_id)

    async def owners(self, app: str, targets: Sequence[Target]) -> Owners:
        """Return whose devices up to 10,000 tokens are now. Raises Unavailable."""
        return await self._patiently(partial(self._owners.owners, app, targets))

    async def _marks(self, app: str, users: Sequence[str]) -> Mapping[str, int]:
        """Read the marks, before the users themselves are."""
        marks: dict[str, int] = {}
        for start in range(0, len(users), _SLICE):
            if start:
                await asyncio.sleep(0)
            marks.update((user, self._owners.mark(app, user)) for user in users[start : start + _SLICE])
        return marks

    async def _templates(self, app: str, pairs: Sequence[Pair]) -> Templates:
        purposes = (pair.notification.purpose for pair in pairs)
        named = {(one.template_id, one.template_version) for one in purposes if one is not None and one.template_id}
        return {
            (app, name, version): await self._patiently(partial(self._book.version, app, name, version))
            for name, version in named
        }

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except Unavailable as error:
                # Accepted is accepted: it waits for the store as it would for a provider.
                if self._stopped():
                    raise
                self._logger.warning("store_unavailable", why=str(error))
                await asyncio.sleep(_RETRY_S)
