"""Users, consents and preferences: from the settings to the parts of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from adapters.hotstate import shared_file
from adapters.people.changes import Resealed
from adapters.people.marks import MARKS_BYTES, ChangeMarks
from adapters.people.sealing import drop_keys, make_ring, read_ring, rotate_ring, settles_in_s
from adapters.people.source import SqliteRecipients
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.errors import InvalidRequest
from core.model import NotificationClass
from core.policy.rules import AppRules
from gateway.count_moves import CounterMoves
from gateway.logs import get_logger
from gateway.pipeline.clock import Clock
from gateway.scopes import Scopes
from gateway.secret import read_secret
from gateway.services.preferences import LinkMaker, Links, PreferenceServicer
from gateway.services.users import UserServicer
from gateway.settings.root import Settings
from gateway.web.links import LinkSealer, SealedLinks
from gateway.web.pages import Pages

MARKS_FILE = "people"
KEY_FILE = Path("keys") / "people.json"


class NoLinks:
    """Stands for links where nobody could follow them."""

    def make(self, app: str, user_id: str, category: str, channel: int, now_unix_ms: int) -> Links:
        """Refuse. Raises InvalidRequest."""
        raise InvalidRequest("app", "no links can be made: the gateway has no public address")


class RuleShelf(dict[str, AppRules]):
    """The rules of each app; what holds it sees those of a reload too."""

    def replace(self, settings: Settings) -> None:
        """Take the rules of new settings."""
        fresh = {app.id: app.rules() for app in settings.apps}
        self.clear()
        self.update(fresh)

    def spared(self, app: str) -> frozenset[str]:
        """Return an app's categories that are no marketing, which a no to all marketing leaves alone."""
        rules = self.get(app)
        known = rules.categories if rules else ()
        return frozenset(one.name for one in known if one.klass != NotificationClass.MARKETING)


@dataclass(frozen=True, slots=True)
class PeopleParts:
    """What a worker has of users."""

    people: SqlitePeople
    recipients: SqliteRecipients
    rules: RuleShelf
    users: UserServicer
    preferences: PreferenceServicer

    def set_scopes(self, scopes: Scopes) -> None:
        """Have the services use new scopes."""
        self.users.set_scopes(scopes)
        self.preferences.set_scopes(scopes)


def link_sealer(settings: Settings) -> LinkSealer:
    """Return what seals and opens links; with a key file, links that the gateway's own secret sealed still open."""
    return LinkSealer([*settings.web.link_keys(), read_secret(settings.data_dir)])


def link_maker(settings: Settings) -> LinkMaker:
    """Return what makes the links that messages carry."""
    web = settings.web
    return NoLinks() if web.public_url is None else SealedLinks(link_sealer(settings), web.public_url, web.link_days)


def key_file(settings: Settings) -> Path:
    """Return where the keys are that seal personal data."""
    named = settings.privacy.key_file
    return settings.data_dir / KEY_FILE if named is None else Path(named)


class PageBook:
    """The file of users beside the workers, for the pages; opened when the first of them is asked for."""

    def __init__(self, settings: Settings, rules: RuleShelf, clock: Clock) -> None:
        self._settings = settings
        self._rules = rules
        self._clock = clock
        self._lock = asyncio.Lock()
        self._opened: tuple[SqlitePeople, SqliteRegistry] | None = None

    async def open(self) -> SqlitePeople:
        """Return the file. Raises StoreFailure or Unavailable; the next call tries again."""
        async with self._lock:
            if self._opened is None:
                registry = await SqliteRegistry.open(self._settings.data_dir)
                try:
                    self._opened = await open_store(self._settings, registry, self._rules, self._clock), registry
                except BaseException:
                    await registry.close()
                    raise
            return self._opened[0]

    async def close(self) -> None:
        """Write what is queued and let go of the file, if it was opened."""
        async with self._lock:
            if self._opened is not None:
                people, registry = self._opened
                self._opened = None
                await people.close()
                await registry.close()


@dataclass(frozen=True, slots=True)
class PageParts:
    """What the supervisor has of users. pages: None where nobody outside could reach them."""

    pages: Pages | None
    rules: RuleShelf
    book: PageBook

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.book.close()


def make_pages(settings: Settings, clock: Clock) -> PageParts:
    """Make the pages of wallet users; opens nothing yet."""
    rules = RuleShelf()
    rules.replace(settings)
    book = PageBook(settings, rules, clock)
    if settings.web.public_url is None:
        return PageParts(None, rules, book)
    return PageParts(Pages(book.open, rules, link_sealer(settings), settings.web, clock), rules, book)


def prepare_people(settings: Settings) -> None:
    """Make what workers find ready: keys, if none are named, and shared marks. Raises StoreFailure."""
    path = key_file(settings)
    if settings.privacy.key_file is None:
        if (settings.data_dir / "people.db").exists():
            read_ring(path)
        elif make_ring(path):
            get_logger("people").warning("keys_made_beside_data", path=str(path), better="privacy.key_file")
    shared_file.create(shared_file.shared_directory(settings.data_dir) / MARKS_FILE, MARKS_BYTES)


def rotate_keys(settings: Settings) -> tuple[Path, str]:
    """Add a key to the key file, made if there is none; return where it is and the key's id. Raises StoreFailure."""
    path = key_file(settings)
    make_ring(path)
    return path, rotate_ring(path)


async def reseal_people(
    settings: Settings, progress: Callable[[int, int], None], *, drop: bool
) -> tuple[int, int]:
    """Seal all users anew with the newest key; return how many, and how many old keys were dropped.

    progress hears how many users were looked at and sealed. Raises StoreFailure, Unavailable.
    """
    path = key_file(settings)
    if drop:
        await asyncio.sleep(settles_in_s(path))
    registry = await SqliteRegistry.open(settings.data_dir)
    people = await SqlitePeople.open(settings.data_dir, path, registry)
    seen = changed = 0

    def step(done: Resealed) -> None:
        nonlocal seen, changed
        seen, changed = seen + done.seen, changed + done.changed
        progress(seen, changed)

    try:
        await people.reseal(step)
        return changed, drop_keys(path, people.newest_key) if drop else 0
    finally:
        await people.close()
        await registry.close()


async def open_people(
    settings: Settings, registry: SqliteRegistry, scopes: Scopes, counts: CounterMoves, clock: Clock
) -> PeopleParts:
    """Open the file of users and make the services on it. Raises StoreFailure or Unavailable."""
    rules = RuleShelf()
    rules.replace(settings)
    people = await open_store(settings, registry, rules, clock)
    recipients = SqliteRecipients(people, registry)
    return PeopleParts(
        people, recipients, rules, UserServicer(people, counts, scopes, clock),
        PreferenceServicer(people, recipients, rules, link_maker(settings), scopes, clock),
    )  # fmt: skip


async def open_store(settings: Settings, registry: SqliteRegistry, rules: RuleShelf, clock: Clock) -> SqlitePeople:
    """Open the file of users, with the marks that all processes heed. Raises StoreFailure or Unavailable."""
    shared = shared_file.shared_directory(settings.data_dir)
    return await SqlitePeople.open(
        settings.data_dir, key_file(settings), registry, marks=ChangeMarks(shared_file.attach(shared / MARKS_FILE)),
        spared=rules.spared, now_unix_ms=clock.unix_ms,
    )  # fmt: skip
