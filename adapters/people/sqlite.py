"""The embedded store of users, consents and preferences: one SQLite file for all workers of a host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from adapters.journal.group_commit import GroupCommit
from adapters.journal.sqlite_file import make_directory, open_readable, open_writable, waited_lock
from adapters.people import reading
from adapters.people.changes import (
    Answer,
    Change,
    Merge,
    Opened,
    Record,
    Remove,
    Reseal,
    Resealed,
    SetTooMany,
    Step,
    Stepped,
    Stored,
    Suppress,
    Unsuppress,
    Upsert,
)
from adapters.people.marks import ChangeMarks, RecipientMemory
from adapters.people.preferences import Spared
from adapters.people.sealing import Sealer
from adapters.people.statements import PEOPLE
from adapters.people.store import PeopleStore, claim
from adapters.people.turn import Turn
from adapters.registry.store import engine_of, mapped_errors
from core.errors import Refusal, StoreFailure, Unavailable, UnknownUser
from core.people import Consent, User, UserChange
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, QuietWindow, Recipient, Suppression

RESULT = TypeVar("RESULT")
MAX_USERS: Final = 10_000
# Through the system's page cache, which workers share.
MAPPED_BYTES: Final = 1 << 30
# A user's row with indexes, roughly; what the queue's bound is counted in.
USER_BYTES: Final = 1_024
CONSENT_BYTES: Final = 512
RESEAL_AT_ONCE: Final = 500
EXPORT_AT_ONCE: Final = 500
STEP_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class PeopleOptions:
    """queue_bytes: changes are refused above it. memory_users: looked up singly and remembered, with marks only."""

    queue_bytes: int = 64 << 20
    commit_bytes: int = 4 << 20
    memory_users: int = 50_000
    max_age_ms: int = 1_000


class DeviceMoves(Protocol):
    """The registry, as far as devices follow their user; adapters.registry.sqlite.SqliteRegistry."""

    async def move(self, app: str, from_user_id: str, into_user_id: str) -> int:
        """Give one user's devices to another; return how many."""

    async def remove_user(self, app: str, user_id: str) -> int:
        """Delete a user's devices; return how many."""


DEFAULTS: Final = PeopleOptions()


def nobody_spared(app: str) -> frozenset[str]:
    """Return no category: a no to every category then takes back each yes."""
    del app
    return frozenset()


def unix_ms() -> int:
    """Read the wall clock."""
    return time.time_ns() // 1_000_000


class SqlitePeople:
    """Implements core.people's UserStore and PreferenceStore; made by `open`, used on one event loop."""

    name = "people"

    def __init__(
        self, path: Path, store: PeopleStore, reader: Engine, sealer: Sealer, devices: DeviceMoves,
        options: PeopleOptions, marks: ChangeMarks | None, now_unix_ms: Callable[[], int],
    ) -> None:
        self._path = path
        self._closed = False
        self._reader = reader
        self._sealer = sealer
        self._devices = devices
        self._turn = Turn(path.with_name("people.turn"))
        self._marks = marks
        self._now_unix_ms = now_unix_ms
        self._memory = RecipientMemory(marks, options.memory_users, options.max_age_ms) if marks else None
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="people-read")
        self._writer: GroupCommit[Change, Answer] = GroupCommit(
            "people", store, queue_bytes=options.queue_bytes, kept_bytes=0, commit_bytes=options.commit_bytes,
        )

    @classmethod
    async def open(
        cls, directory: Path, key_file: Path, devices: DeviceMoves, *, marks: ChangeMarks | None = None,
        spared: Spared = nobody_spared, options: PeopleOptions = DEFAULTS, now_unix_ms: Callable[[], int] = unix_ms,
    ) -> SqlitePeople:
        """Open or create people.db, beside other workers that do the same.

        spared: an app's categories that are no marketing. marks: shared memory; without it nothing is remembered.
        Raises StoreFailure if the file is damaged, foreign, of a newer version or sealed with other keys, Unavailable
        if it cannot be opened.
        """
        path = directory / "people.db"
        sealer = await asyncio.to_thread(Sealer, key_file)
        writer, reader = await asyncio.to_thread(open_engines, path, sealer)
        store = PeopleStore(writer, path, sealer, spared, marks, now_unix_ms)
        return cls(path, store, reader, sealer, devices, options, marks, now_unix_ms)

    async def recipients(self, app: str, user_ids: Sequence[str], attributes: bool) -> Mapping[str, Recipient]:
        """Return what is known of up to 10,000 users; an unknown one is not in the answer.

        One at a time comes from memory, if it was asked before and did not change; attributes never do. Raises
        ValueError for more users, Unavailable.
        """
        if len(user_ids) > MAX_USERS:
            raise ValueError(f"at most {MAX_USERS} users at a time, not {len(user_ids)}")
        if not user_ids:
            return {}
        if len(user_ids) == 1 and not attributes and self._memory is not None:
            return await self._remembered(self._memory, app, user_ids[0])
        return await self._read(partial(reading.recipients, self._reader, self._sealer, app, user_ids, attributes))

    def mark(self, app: str, user_id: str) -> int:
        """Return a number that is another one once the user changed; always 0 without shared marks."""
        return self._marks.of((user_id, app)) if self._marks is not None else 0

    def touch(self, app: str, user_ids: Iterable[str]) -> None:
        """Have every worker take these users as changed; call it after the commit of what is kept elsewhere."""
        if self._marks is not None:
            self._marks.touch((user_id, app) for user_id in user_ids)

    async def minds_transactional(self, app: str) -> bool:
        """Tell whether any user of the app holds back transactional notifications. Raises Unavailable."""
        return await self._read(partial(reading.minds_transactional, self._reader, app))

    async def upsert(self, changes: Sequence[UserChange], now_unix_ms: int) -> list[bool]:
        """Store all in one commit; return for each whether it was new.

        Raises InvalidRequest when an external id is another user's or a user would have too many attributes (its field
        begins with changes[n].user), Unavailable or Overloaded; then nothing changed.
        """
        answer = await self._submit(Upsert(changes, now_unix_ms), USER_BYTES * len(changes)) if changes else []
        assert isinstance(answer, list)
        return [one is True for one in answer]

    async def upsert_each(self, changes: Sequence[UserChange], now_unix_ms: int) -> Stored:
        """Store in one commit what can be; return for each whether it was new, or why it was refused.

        Raises Unavailable or Overloaded; then nothing changed.
        """
        answer = await self._submit(Upsert(changes, now_unix_ms, True), USER_BYTES * len(changes)) if changes else []
        assert isinstance(answer, list)
        return answer

    async def get(self, app: str, user_id: str) -> User | None:
        """Return a user. Raises Unavailable."""
        return await self._read(partial(reading.user, self._reader, self._sealer, app, user_id))

    async def find(self, app: str, system: str, external_id: str) -> User | None:
        """Return the user with this id in another system. Raises Unavailable."""
        return await self._read(partial(reading.found, self._reader, self._sealer, app, system, external_id))

    async def merge(self, app: str, from_user_id: str, into_user_id: str, now_unix_ms: int) -> int:
        """Make two users one; return how many devices moved. Raises UnknownUser, Unavailable.

        Devices move first: what a crash leaves undone between the two files is done when it is called again.
        """
        if from_user_id == into_user_id:
            raise ValueError("a user cannot be merged into themselves")
        async with self._turn.taken():
            for user_id in (from_user_id, into_user_id):
                if await self.get(app, user_id) is None:
                    raise UnknownUser(f"user {user_id} is not known")
            moved = await self._devices.move(app, from_user_id, into_user_id)
            await self._submit(Merge(app, from_user_id, into_user_id, now_unix_ms), 4 * USER_BYTES)
            return moved

    async def delete(self, app: str, user_id: str) -> bool:
        """Remove a user with devices and preferences, keeping the history of consents; return whether there was one."""
        async with self._turn.taken():
            devices = await self._devices.remove_user(app, user_id)
            answer = await self._submit(Remove(app, user_id, history=False), USER_BYTES)
        assert isinstance(answer, dict)
        return bool(devices or answer["users"])

    async def record(self, app: str, user_id: str, consents: Sequence[Consent], now_unix_ms: int) -> None:
        """Append to the history and change what is in force, in one commit.

        A no for every category or channel takes back each yes it covers; what is older than what stands against it is
        history alone. Raises ValueError for a yes to every category or channel; Unavailable, then nothing changed.
        """
        if consents:
            await self.update(app, user_id, consents, None, now_unix_ms)

    async def update(
        self, app: str, user_id: str, consents: Sequence[Consent], windows: Sequence[QuietWindow] | None,
        now_unix_ms: int,
    ) -> None:  # fmt: skip
        """Record consents and, unless None, replace the windows, in one commit; create the user. Raises as record."""
        if any(one.granted and (one.category == EVERY_CATEGORY or one.channel == EVERY_CHANNEL) for one in consents):
            raise ValueError("only a no can be said of every category or channel")
        size = USER_BYTES + CONSENT_BYTES * len(consents)
        await self._submit(Record(app, user_id, consents, now_unix_ms, windows), size)

    async def set_quiet_windows(self, app: str, user_id: str, windows: Sequence[QuietWindow]) -> None:
        """Replace a user's windows. Raises Unavailable."""
        await self.update(app, user_id, (), windows, self._now_unix_ms())

    async def history(self, app: str, user_id: str, before: int, limit: int) -> list[tuple[int, Consent]]:
        """Return lines with numbers below `before` (0: all), newest first, each with its number. Raises Unavailable."""
        return await self._read(partial(reading.history, self._reader, app, user_id, before, limit))

    async def suppress(self, app: str, user_id: str, suppression: Suppression) -> None:
        """Add a suppression, or replace the one of the same category and channel. Raises Unavailable."""
        await self._submit(Suppress(app, user_id, suppression), USER_BYTES)

    async def unsuppress(self, app: str, user_id: str, category: str, channel: int) -> bool:
        """Remove a suppression; return whether there was one. Raises Unavailable."""
        return await self._submit(Unsuppress(app, user_id, category, channel), USER_BYTES) is True

    async def set_too_many(self, app: str, user_id: str, too_many: bool) -> None:
        """Note whether the user finds it too many. Raises Unavailable."""
        await self._submit(SetTooMany(app, user_id, too_many), USER_BYTES)

    async def opened(self, app: str, opened: Mapping[str, int]) -> None:
        """Note when users opened the app or a notification (user id -> Unix ms); older times change nothing."""
        if opened:
            await self._submit(Opened(app, opened), 128 * len(opened))

    async def export(self, app: str, user_id: str) -> AsyncIterator[tuple[str, Mapping[str, object]]]:
        """Give (table, row) for all that is held of a user, decrypted. Raises Unavailable."""
        for row in await self._read(partial(reading.everything, self._reader, self._sealer, app, user_id)):
            yield row
        before = 0
        while lines := await self.history(app, user_id, before, EXPORT_AT_ONCE):
            for before, consent in lines:
                yield "consents", {"number": before, **asdict(consent)}

    async def erase(self, app: str, user_id: str) -> Mapping[str, int]:
        """Remove all of it, the history too, and empty the log; return counts by table. Raises Unavailable."""
        answer = await self._submit(Remove(app, user_id, history=True), USER_BYTES)
        assert isinstance(answer, dict)
        return answer

    async def look(self, query: Callable[[Engine], RESULT]) -> RESULT:
        """Ask something of the file in the reading thread. Raises Unavailable."""
        return await self._read(partial(query, self._reader))

    async def change(self, work: Callable[[Connection], Stepped]) -> Stepped:
        """Do a short piece of upkeep in the writing thread, within one commit. Raises Unavailable or Overloaded."""
        answer = await self._submit(Step(work), STEP_BYTES)
        assert isinstance(answer, Stepped)
        return answer

    async def reseal(self, progress: Callable[[Resealed], None]) -> int:
        """Seal everything with the newest key, a few hundred users at a time; return how many were sealed anew.

        progress hears of each step. Raises Unavailable; what was done stays done.
        """
        self._sealer.reload()
        at, changed = Resealed("", "", 1, 0), 0
        while at.seen:
            answer = await self._submit(Reseal(at.user_id, at.app, RESEAL_AT_ONCE), RESEAL_AT_ONCE * USER_BYTES)
            assert isinstance(answer, Resealed)
            at, changed = answer, changed + answer.changed
            progress(at)
        return changed

    @property
    def newest_key(self) -> bytes:
        """The id of the key that seals now."""
        return self._sealer.newest

    def reload_keys(self) -> None:
        """Seal with the newest key of the file from now on. Raises StoreFailure if it cannot be read."""
        self._sealer.reload()

    async def close(self) -> None:
        """Write what is queued, then let go of the file."""
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        self._reader.dispose()
        await self._writer.close()
        if self._marks is not None:
            self._marks.close()

    async def _remembered(self, memory: RecipientMemory, app: str, user_id: str) -> Mapping[str, Recipient]:
        key = (user_id, app)
        now_ms = time.monotonic_ns() // 1_000_000
        kept = memory.find(key, now_ms)
        if kept is None:
            mark = memory.mark(key)
            found = await self._read(partial(reading.recipients, self._reader, self._sealer, app, [user_id], False))
            kept = (found.get(user_id),)
            memory.keep(key, mark, now_ms, kept[0])
        return {} if kept[0] is None else {user_id: kept[0]}

    async def _submit(self, change: Change, size: int) -> Answer:
        answer = await self._writer.submit(change, size)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def _read(self, query: Callable[[], RESULT]) -> RESULT:
        if self._closed:
            raise Unavailable(f"{self._path.stem} is closed")
        with mapped_errors(self._path):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._read_thread, query)
            except StoreFailure as failure:
                raise Unavailable(str(failure)) from failure


def open_engines(path: Path, sealer: Sealer) -> tuple[Engine, Engine]:
    """Open the file once for writing and once for reading; only one worker at a time may create or migrate it."""
    make_directory(path.parent)
    with waited_lock(path.with_suffix(".lock")):
        writer = open_writable(path, PEOPLE)
        with mapped_errors(path):
            claim(writer, path, sealer)
    with mapped_errors(path):
        # What is erased must be gone from the file. The log may grow to 16 MB before it is copied back, since an
        # import touches most pages many times.
        for setting in ("secure_delete = ON", "wal_autocheckpoint = 4000", "cache_size = -65536"):
            writer.execute(f"PRAGMA {setting}").fetchall()
        reader = open_readable(path, PEOPLE)
        reader.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}").fetchall()
        reader.execute("PRAGMA cache_size = -65536")
    return engine_of(writer), engine_of(reader)
