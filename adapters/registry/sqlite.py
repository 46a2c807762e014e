"""The embedded registry of devices: one SQLite file for all workers of a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import orjson
from sqlalchemy import Engine

from adapters.journal.group_commit import GroupCommit
from adapters.journal.sqlite_file import make_directory, open_readable, open_writable, waited_lock
from adapters.registry.owners import read_owners
from adapters.registry.statements import COUNT, LIST_DEVICES, REGISTRY, TARGETS_OF, USER_DEVICES
from adapters.registry.store import Change, Erase, Move, Register, RegistryStore, Remove, engine_of, mapped_errors
from core.errors import Unavailable
from core.model import Device, Environment, Provider, Target
from core.policy.people import Permission, UserDevice

RESULT = TypeVar("RESULT")
MAX_USERS: Final = 10_000
# Through the system's page cache, which workers share, a lookup among a million devices takes 4.5 us instead of 7.5.
# Ten million devices are 2.7 GB: a user's take 16 us of CPU without a map, 13 with half of it, 11 with 2 GiB, which is
# the most that SQLite maps of a file.
MAPPED_BYTES: Final = 1 << 31
# A device's row with its place in two indexes, roughly; what the queue's bound is counted in.
DEVICE_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """devices_per_user: beyond it a user's oldest registrations go. queue_bytes: changes are refused above it."""

    devices_per_user: int = 50
    queue_bytes: int = 32 << 20
    commit_bytes: int = 1 << 20


DEFAULTS: Final = RegistryOptions()


class SqliteRegistry:
    """Implements core.storage.DeviceRegistry and DeviceRetirement; made by `open`, used on one event loop."""

    name = "registry"

    def __init__(self, path: Path, writer: Engine, reader: Engine, options: RegistryOptions) -> None:
        self._path = path
        self._closed = False
        self._reader = reader
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="registry-read")
        store = RegistryStore(writer, path, options.devices_per_user)
        self._writer: GroupCommit[Change, int] = GroupCommit(
            "registry", store, queue_bytes=options.queue_bytes, kept_bytes=0, commit_bytes=options.commit_bytes,
        )

    @classmethod
    async def open(cls, directory: Path, options: RegistryOptions = DEFAULTS) -> SqliteRegistry:
        """Open or create registry.db, beside other workers that do the same.

        Raises StoreFailure if it is damaged, foreign or of a newer version, Unavailable if it cannot be opened.
        """
        path = directory / "registry.db"
        writer, reader = await asyncio.to_thread(open_engines, path)
        return cls(path, writer, reader, options)

    async def register(self, devices: Sequence[Device]) -> None:
        """Insert or update; a token known under another user moves to this one.

        A registration older than the stored one is passed over. Raises Unavailable or Overloaded, then nothing changed.
        """
        if devices:
            await self._writer.submit(Register(devices), DEVICE_BYTES * len(devices))

    async def unregister(self, app: str, provider: Provider, tokens: Sequence[str]) -> int:
        """Delete tokens; return how many there were. Raises Unavailable or Overloaded, then nothing changed."""
        return await self._remove(app, [(int(provider), token, 0) for token in tokens])

    async def retire(self, app: str, gone: Sequence[tuple[Provider, str, int]]) -> int:
        """Delete each (provider, token, gone_since_unix_ms) not registered at or after that time; return how many.

        0 as time deletes whatever is registered. Raises Unavailable or Overloaded, then nothing changed.
        """
        return await self._remove(app, [(int(provider), token, since) for provider, token, since in gone])

    async def devices_of(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[Target]]:
        """Return the devices of up to 10,000 users; a user without any is not in the answer.

        Raises ValueError for more users, Unavailable if the registry cannot be read.
        """
        check_batch(user_ids)
        return await self._read(partial(read_targets, self._reader, app, user_ids)) if user_ids else {}

    async def user_devices(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[UserDevice]]:
        """Return the devices of up to 10,000 users with what policy asks of them; raises as devices_of does."""
        check_batch(user_ids)
        return await self._read(partial(read_user_devices, self._reader, app, user_ids)) if user_ids else {}

    async def owners(self, app: str, targets: Sequence[Target]) -> Mapping[tuple[int, str], tuple[str, UserDevice]]:
        """Return user and device by (provider, token), of up to 10,000 tokens; unknown ones are not in the answer.

        Raises ValueError for more, Unavailable if the registry cannot be read.
        """
        check_batch([target.token for target in targets])
        return await self._read(partial(read_owners, self._reader, app, targets)) if targets else {}

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        """Return a user's devices, newest registration first. Raises Unavailable if they cannot be read."""
        return await self._read(partial(read_devices, self._reader, app, user_id))

    async def export(self, app: str, user_id: str) -> AsyncIterator[tuple[str, Mapping[str, object]]]:
        """Give ("devices", row) for each of a user's devices, newest registration first. Raises Unavailable."""
        for device in await self.list_devices(app, user_id):
            yield "devices", {**asdict(device), "target": device.target._asdict()}

    async def move(self, app: str, from_user_id: str, into_user_id: str) -> int:
        """Give one user's devices to another; return how many. Raises Unavailable or Overloaded, then none moved."""
        return await self._writer.submit(Move(app, from_user_id, into_user_id), DEVICE_BYTES)

    async def remove_user(self, app: str, user_id: str) -> int:
        """Delete a user's devices; return how many. Raises Unavailable or Overloaded, then nothing changed."""
        return await self._writer.submit(Move(app, user_id), DEVICE_BYTES)

    async def erase(self, app: str, user_id: str) -> Mapping[str, int]:
        """Remove a user's devices, so that no file holds them any more; return counts by table. Raises Unavailable."""
        return {"devices": await self._writer.submit(Erase(app, user_id), DEVICE_BYTES)}

    async def look(self, query: Callable[[Engine], RESULT]) -> RESULT:
        """Ask something of the file in the reading thread. Raises Unavailable."""
        return await self._read(partial(query, self._reader))

    async def count(self, app: str, provider: Provider) -> int:
        """Return how many tokens are registered; walks an index: 90 ms for 500,000. Raises Unavailable."""
        return await self._read(partial(read_count, self._reader, app, provider))

    async def close(self) -> None:
        """Write what is queued, then let go of the file."""
        self._closed = True
        await asyncio.to_thread(self._read_thread.shutdown)
        self._reader.dispose()
        await self._writer.close()

    async def _remove(self, app: str, gone: Sequence[tuple[int, str, int]]) -> int:
        return await self._writer.submit(Remove(app, gone), DEVICE_BYTES * len(gone)) if gone else 0

    async def _read(self, query: Callable[[], RESULT]) -> RESULT:
        if self._closed:
            raise Unavailable(f"{self._path.stem} is closed")
        with mapped_errors(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._read_thread, query)


def open_engines(path: Path) -> tuple[Engine, Engine]:
    """Open the file once for writing and once for reading; only one worker at a time may create or migrate it."""
    make_directory(path.parent)
    with waited_lock(path.with_suffix(".lock")):
        writer = open_writable(path, REGISTRY)
    with mapped_errors(path):
        # What is erased must be gone from the file.
        for setting in ("wal_autocheckpoint = 1000", "secure_delete = ON"):
            writer.execute(f"PRAGMA {setting}").fetchall()
        reader = open_readable(path, REGISTRY)
        reader.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}").fetchall()
        reader.execute("PRAGMA cache_size = -65536")
    return engine_of(writer), engine_of(reader)


def read_targets(reader: Engine, app: str, user_ids: Sequence[str]) -> dict[str, list[Target]]:
    """Ask for all users' devices at once; see TARGETS_OF for the shape of the answer."""
    with reader.connect() as connection:
        answer = connection.execute(TARGETS_OF, {"app": app, "users": orjson.dumps(user_ids).decode()}).scalar_one()
    targets: dict[str, list[Target]] = {}
    providers = {int(provider): provider for provider in Provider}
    environments = {int(environment): environment for environment in Environment}
    for user_id, provider, token, environment, registered_unix_ms in orjson.loads(answer):
        target = Target(providers[provider], token, environments[environment], registered_unix_ms)
        if user_id in targets:
            targets[user_id].append(target)
        else:
            targets[user_id] = [target]
    return targets


def read_user_devices(reader: Engine, app: str, user_ids: Sequence[str]) -> dict[str, list[UserDevice]]:
    """Ask for all users' devices at once; see USER_DEVICES for the shape of the answer."""
    with reader.connect() as connection:
        answer = connection.execute(USER_DEVICES, {"app": app, "users": orjson.dumps(user_ids).decode()}).scalar_one()
    devices: dict[str, list[UserDevice]] = {}
    providers = {int(provider): provider for provider in Provider}
    environments = {int(environment): environment for environment in Environment}
    permissions = {int(permission): permission for permission in Permission}
    for user_id, provider, token, environment, registered_unix_ms, locale, zone, permission, maker, key in orjson.loads(
        answer
    ):
        target = Target(providers[provider], token, environments[environment], registered_unix_ms)
        device = UserDevice(target, locale, zone, permissions[permission], maker, bytes.fromhex(key) if key else b"")
        devices.setdefault(user_id, []).append(device)
    return devices


def check_batch(user_ids: Sequence[str]) -> None:
    """Raise ValueError for more users than one question takes."""
    if len(user_ids) > MAX_USERS:
        raise ValueError(f"at most {MAX_USERS} users at a time, not {len(user_ids)}")


def read_devices(reader: Engine, app: str, user_id: str) -> list[Device]:
    """Ask for one user's devices."""
    with reader.connect() as connection:
        rows = connection.execute(LIST_DEVICES, {"app": app, "user_id": user_id}).all()
    return [
        Device(
            row.app, row.user_id,
            Target(Provider(row.provider), row.token, Environment(row.environment), row.registered_unix_ms),
            row.locale, row.time_zone, row.app_version, row.permission, bytes.fromhex(row.encryption_key),
            row.manufacturer,
        )
        for row in rows
    ]


def read_count(reader: Engine, app: str, provider: Provider) -> int:
    """Ask how many tokens there are."""
    with reader.connect() as connection:
        return connection.execute(COUNT, {"app": app, "provider": int(provider)}).scalar_one()
