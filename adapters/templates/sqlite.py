"""Templates in an SQLite file that all workers of a host share; implements core.content.store.TemplateStore."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select
from sqlalchemy.dialects.sqlite import insert

from adapters.journal.sqlite_file import make_directory, open_writable, waited_lock
from adapters.registry.store import engine_of
from adapters.registry.threaded_file import ThreadedFile
from adapters.templates.source_json import from_json, to_json
from adapters.templates.tables import TEMPLATES, heads, versions
from core.content.store import StoredTemplate
from core.content.templates import TemplateSource
from core.errors import InvalidRequest
from core.model import NotificationClass

_SELECT = select(versions, heads.c.current, heads.c.retired).join(
    heads, (heads.c.app == versions.c.app) & (heads.c.template_id == versions.c.template_id)
)


class SqliteTemplates:
    """Made by `open`, used on one event loop."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._file = ThreadedFile(path, engine)

    @classmethod
    async def open(cls, directory: Path) -> SqliteTemplates:
        """Open or create templates.db.

        Raises StoreFailure if it is damaged, foreign or of a newer version, Unavailable if it cannot be opened.
        """
        path = directory / "templates.db"
        return cls(path, await asyncio.to_thread(_open_engine, path))

    async def publish(self, app: str, source: TemplateSource, publisher: str, now_unix_ms: int) -> StoredTemplate:
        """Store the next version and make it current, as core.content.store says."""
        work = partial(_publish, app=app, source=source, publisher=publisher, now_unix_ms=now_unix_ms)
        return await self._file.write(work)

    async def get(self, app: str, template_id: str, version: int = 0) -> StoredTemplate | None:
        """Return a version, 0 for the current one."""
        return await self._file.read(partial(_get, app=app, template_id=template_id, version=version))

    async def list_current(self, app: str, after: str, limit: int) -> list[StoredTemplate]:
        """Return current versions with ids greater than `after`, by id."""
        return await self._file.read(partial(_list_current, app=app, after=after, limit=limit))

    async def retire(self, app: str, template_id: str) -> bool:
        """Take no more notifications for a template; return whether there is one."""
        return await self._file.write(partial(_retire, app=app, template_id=template_id))

    async def close(self) -> None:
        """Let go of the file."""
        await self._file.close()


def _open_engine(path: Path) -> Engine:
    make_directory(path.parent)
    with waited_lock(path.with_suffix(".lock")):
        connection = open_writable(path, TEMPLATES)
    connection.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
    return engine_of(connection)


def _publish(
    connection: Connection, app: str, source: TemplateSource, publisher: str, now_unix_ms: int
) -> StoredTemplate:
    known = connection.execute(
        select(heads.c.klass).where(heads.c.app == app, heads.c.template_id == source.template_id)
    ).scalar_one_or_none()
    if known is not None and known != source.klass:
        first = NotificationClass(known).name.lower()
        raise InvalidRequest("template.notification_class", f"is {first} in earlier versions and cannot change")
    latest = connection.execute(
        select(func.max(versions.c.version)).where(
            versions.c.app == app, versions.c.template_id == source.template_id
        )
    ).scalar_one()
    version = (latest or 0) + 1
    stored = replace(source, version=version)
    connection.execute(
        versions.insert().values(
            app=app, template_id=source.template_id, version=version, source=to_json(stored),
            published_unix_ms=now_unix_ms, publisher=publisher,
        )
    )  # fmt: skip
    head = {"current": version, "retired": False}
    connection.execute(
        insert(heads)
        .values(app=app, template_id=source.template_id, klass=int(source.klass), **head)
        .on_conflict_do_update(index_elements=["app", "template_id"], set_=head)
    )
    return StoredTemplate(app, stored, now_unix_ms, publisher, version, retired=False)


def _get(connection: Connection, app: str, template_id: str, version: int) -> StoredTemplate | None:
    wanted = heads.c.current if version == 0 else version
    query = _SELECT.where(
        versions.c.app == app, versions.c.template_id == template_id, versions.c.version == wanted
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _stored(row)


def _list_current(connection: Connection, app: str, after: str, limit: int) -> list[StoredTemplate]:
    query = (
        _SELECT.where(versions.c.app == app, versions.c.template_id > after, versions.c.version == heads.c.current)
        .order_by(versions.c.template_id)
        .limit(limit)
    )
    return [_stored(row) for row in connection.execute(query)]


def _retire(connection: Connection, app: str, template_id: str) -> bool:
    named = heads.update().where(heads.c.app == app, heads.c.template_id == template_id)
    return connection.execute(named.values(retired=True)).rowcount > 0


def _stored(row: Row[Any]) -> StoredTemplate:
    return StoredTemplate(
        row.app, from_json(row.source), row.published_unix_ms, row.publisher, row.current, row.retired
    )
