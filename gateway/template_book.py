"""Templates ready to render: compiled once per version, and which version is current, as of a second ago at most."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from core.content.links import HTTPS_ONLY, LinkPolicy
from core.content.rendering import CompiledTemplate, compile_template
from core.content.store import StoredTemplate, TemplateStore
from gateway.pipeline.clock import Clock

_MAX_COMPILED = 2_000
_MAX_CURRENT = 10_000
_CURRENT_MS = 1_000


class Current(NamedTuple):
    """What is known of a template's current version. version: 0 where there is none to send."""

    version: int
    at_unix_ms: int


class TemplateBook:
    """Bounded: the versions used least recently are compiled again when they are wanted again."""

    def __init__(self, store: TemplateStore, links: Mapping[str, LinkPolicy], clock: Clock) -> None:
        self._store = store
        self._links = links
        self._clock = clock
        self._compiled: OrderedDict[tuple[str, str, int], CompiledTemplate] = OrderedDict()
        self._current: OrderedDict[tuple[str, str], Current] = OrderedDict()

    def links_of(self, app: str) -> LinkPolicy:
        """Return which links an app's templates may hold."""
        return self._links.get(app, HTTPS_ONLY)

    def set_links(self, links: Mapping[str, LinkPolicy]) -> None:
        """Take the links of reloaded settings, for what is compiled from now on."""
        self._links = links

    async def current(self, app: str, template_id: str) -> CompiledTemplate | None:
        """Return the current version; None for an unknown or retired template. Raises Unavailable."""
        known = self._current.get((app, template_id))
        now_unix_ms = self._clock.unix_ms()
        if known is None or known.at_unix_ms + _CURRENT_MS < now_unix_ms:
            stored = await self._store.get(app, template_id)
            known = Current(stored.current if stored and not stored.retired else 0, now_unix_ms)
            self._note(app, template_id, known)
        return await self.version(app, template_id, known.version) if known.version else None

    async def version(self, app: str, template_id: str, version: int) -> CompiledTemplate | None:
        """Return one version, retired or not; None if there is none. Raises Unavailable."""
        key = (app, template_id, version)
        compiled = self._compiled.get(key)
        if compiled is None:
            stored = await self._store.get(app, template_id, version)
            if stored is None:
                return None
            compiled = self._compiled[key] = await self.compile(stored)
            if len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return compiled

    async def compile(self, stored: StoredTemplate) -> CompiledTemplate:
        """Compile a version off the loop: a large one takes a second. Raises TemplateRefused."""
        return await asyncio.to_thread(compile_template, stored.source, self.links_of(stored.app))

    def changed(self, app: str, template_id: str) -> None:
        """Forget which version is current: it was just published or retired here."""
        self._current.pop((app, template_id), None)

    def _note(self, app: str, template_id: str, known: Current) -> None:
        self._current[app, template_id] = known
        self._current.move_to_end((app, template_id))
        if len(self._current) > _MAX_CURRENT:
            self._current.popitem(last=False)
