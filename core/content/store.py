"""The Protocol of what keeps templates, and what it gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from core.content.templates import TemplateSource


class StoredTemplate(NamedTuple):
    """A version as stored. current: the version that new notifications get."""

    app: str
    source: TemplateSource
    published_unix_ms: int
    publisher: str
    current: int
    retired: bool


class TemplateStore(Protocol):
    """Keeps every version of every template, unchanged."""

    async def publish(self, app: str, source: TemplateSource, publisher: str, now_unix_ms: int) -> StoredTemplate:
        """Store the next version (source.version is ignored) and make it current; a retired template comes back.

        Raises InvalidRequest if the class is not that of the first version, Unavailable; then nothing changed.
        """

    async def get(self, app: str, template_id: str, version: int = 0) -> StoredTemplate | None:
        """Return a version, 0 for the current one. Raises Unavailable."""

    async def list_current(self, app: str, after: str, limit: int) -> list[StoredTemplate]:
        """Return current versions with ids greater than `after`, by id. Raises Unavailable."""

    async def retire(self, app: str, template_id: str) -> bool:
        """Take no more notifications for it; return whether there is such a template. Raises Unavailable."""
