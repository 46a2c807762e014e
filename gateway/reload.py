"""Takes on changed settings at run time; connections whose settings did not change stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.errors import Failure, PushError
from core.model import Environment, Provider
from core.ports import Channel
from gateway import logs
from gateway.callers import CallerBook
from gateway.logs import get_logger
from gateway.pipeline.routes import Route
from gateway.scopes import Scopes
from gateway.settings.apps import ApnsSettings, AppSettings, FcmSettings
from gateway.settings.changes import changes, in_force
from gateway.settings.loading import SettingsError
from gateway.settings.root import Settings
from gateway.wiring import add_routes, providers_of, rule_book
from gateway.worker import Worker


class Reloader:
    """Applies new settings to a running worker; one reload at a time."""

    def __init__(
        self, worker: Worker, settings: Settings, read: Callable[[], Settings], tasks: asyncio.TaskGroup
    ) -> None:
        self._tasks = tasks
        self._worker = worker
        self._settings = settings
        self._read = read
        self._logger = get_logger("reload")
        self._rates = rule_book(settings).rates
        # Also those that an earlier, refused reload made before it failed are still to be started.
        self._started = len(worker.parts.routes)
        self._lock = asyncio.Lock()

    async def reload(self) -> None:
        """Read the settings again and take them on; wrong ones are logged and change nothing."""
        async with self._lock:
            try:
                fresh = await asyncio.to_thread(self._read)
                await self._apply(fresh)
            except (SettingsError, PushError) as error:
                self._logger.warning("reload_refused", why=str(error))
                self._worker.parts.metrics.reload("failed")
                return
            self._worker.parts.metrics.reload("ok")

    async def _apply(self, fresh: Settings) -> None:
        found = changes(self._settings, fresh)
        parts = self._worker.parts
        if found.restart:
            self._logger.warning("restart_needed", keys=list(found.restart))
        replaced = self._replaced(fresh, found.apps_changed)
        add_routes(fresh, parts.routes, parts.channels)
        await parts.channels.start()
        for route in list(parts.routes)[self._started :]:
            await route.channel.start()
            self._started += 1
        for route, channel in replaced:
            await channel.start()
            old, route.channel = route.channel, channel
            self._tasks.create_task(old.close(fresh.server.drain_s), name=f"drain of {route.label}")
            parts.dispatcher.wake(route)
        await asyncio.to_thread(parts.people.people.reload_keys)
        try:
            parts.policy.set_rules(fresh)
        except ValueError as too_many:
            raise Failure(str(too_many)) from too_many
        parts.people.rules.replace(fresh)
        rules = rule_book(fresh, self._rates)
        parts.buckets.set_rules(rules.rates)
        parts.flows.set_rules(rules)
        self._rates = rules.rates
        parts.interceptor.set_callers(CallerBook(fresh.callers))
        parts.set_scopes(Scopes(providers_of(fresh), parts.tags))
        self._worker.drain_s = fresh.server.drain_s
        logs.set_level(fresh.log.level)
        self._settings = in_force(self._settings, fresh)
        self._logger.info("reloaded", keys=list(found.keys))

    def _replaced(self, fresh: Settings, changed: frozenset[str]) -> list[tuple[Route, Channel]]:
        before = {app.id: app for app in self._settings.apps}
        made: list[tuple[Route, Channel]] = []
        for app in fresh.apps:
            for route in self._worker.parts.routes if app.id in changed else ():
                if route.app == app.id and _part(before[app.id], route) != (part := _part(app, route)) and part:
                    channel = self._worker.parts.channels.make(route.number, app, route.provider, route.environment)
                    made.append((route, channel))
        return made


def _part(app: AppSettings, route: Route) -> ApnsSettings | FcmSettings | None:
    part = app.apns if route.provider is Provider.APNS else app.fcm
    if isinstance(part, ApnsSettings) and route.environment is Environment.SANDBOX and not part.sandbox_connections:
        return None
    return part
