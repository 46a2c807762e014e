"""The preview page of the supervisor, and the store of templates that it reads beside the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from adapters.templates.sqlite import SqliteTemplates
from gateway.pipeline.clock import Clock
from gateway.policy_parts import links_of
from gateway.settings.root import Settings
from gateway.template_book import TemplateBook
from gateway.web.listener import guard_of
from gateway.web.preview import PreviewPage


class PreviewParts:
    """Made with the settings; the store is opened when a stored template is asked for first, closed at the end."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = asyncio.Lock()
        self._opened: tuple[SqliteTemplates, TemplateBook] | None = None
        self.page = PreviewPage(clock, guard_of(settings), self._apps, self._open_book)

    def replace(self, settings: Settings) -> None:
        """Take the apps and links of reloaded settings; who may see the page stays until the next start."""
        self._settings = settings
        if self._opened is not None:
            self._opened[1].set_links(links_of(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        async with self._lock:
            if self._opened is not None:
                await self._opened[0].close()
                self._opened = None

    def _apps(self) -> Sequence[str]:
        return [app.id for app in self._settings.apps]

    async def _open_book(self) -> TemplateBook:
        """Return templates ready to render. Raises StoreFailure or Unavailable; the next call tries again."""
        async with self._lock:
            if self._opened is None:
                store = await SqliteTemplates.open(self._settings.data_dir)
                self._opened = store, TemplateBook(store, links_of(self._settings), self._clock)
            return self._opened[1]
