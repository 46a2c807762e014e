"""Accepted notifications -> deliveries in their lanes: devices looked up, payloads rendered, one batch at a time."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from core.delivery import Notification, count_classes, has_later, has_users, release_many
from core.errors import Unavailable
from core.expansion import Expansion
from core.hashing import SipHash
from core.model import DeliveryState, NotificationClass, Target
from core.storage import DeviceRegistry, PartlyFinished
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.routes import Routes
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway
from gateway.tracing.port import Tracer

# So many deliveries are made between two looks at the loop: at some 2 us each it stays free for a payment's answer.
_STRIDE = 128
_LOOKUP = 10_000
_SERVICE, _MARKETING = int(NotificationClass.SERVICE), int(NotificationClass.MARKETING)
_REGISTRY_RETRY_S = 0.5
Finished = Mapping[Notification, PartlyFinished]
Devices = Mapping[str, Mapping[str, list[Target]]]


class Gates(Protocol):
    """Who plans what does not go by class and content alone; gateway.pipeline.gated.GatedPlanner."""

    def concerns(self, notifications: list[Notification]) -> bool:
        """Tell at small cost whether any of a batch may have to pass."""

    async def split(self, notifications: list[Notification]) -> tuple[list[Notification], list[Notification]]:
        """Return what goes by class and content alone, and what must pass. Raises Unavailable."""

    async def plan(self, notifications: list[Notification], finished: Finished) -> None:
        """Take every user of the notifications through the gates. Raises Unavailable."""

    def release(self, notifications: Iterable[Notification]) -> None:
        """Let go of the contents that nobody waits for any more."""


class Planner:
    """Turns notifications into queued deliveries, and ends those that have nowhere to go.

    gates: for whom consent, hours, caps and templates count; without it all go by class and content.
    """

    def __init__(
        self, *, registry: DeviceRegistry, routes: Routes, queue: DeliveryQueue, flows: FlowBook,
        settler: Settler, dispatcher: Dispatcher, underway: Underway, schedule: Schedule,
        hasher: SipHash, metrics: Metrics, clock: Clock, tracer: Tracer | None = None, gates: Gates | None = None,
    ) -> None:  # fmt: skip
        self._registry = registry
        self._routes = routes
        self._queue = queue
        self._flows = flows
        self._settler = settler
        self._dispatcher = dispatcher
        self._underway = underway
        self._schedule = schedule
        self._hasher = hasher
        self._metrics = metrics
        self._clock = clock
        self._tracer = tracer
        self._gates = gates
        self._turns = {_SERVICE: asyncio.Lock(), _MARKETING: asyncio.Lock()}
        self._logger = get_logger("planning")

    async def accept(self, notifications: list[Notification]) -> None:
        """Take what has just been accepted: plan it, or keep it for its send_at."""
        if has_later(notifications):
            self._schedule.add([notification for notification in notifications if notification.send_at_unix_ms])
            notifications = [notification for notification in notifications if not notification.send_at_unix_ms]
        self._underway.add(notifications)
        counts = count_classes(notifications)
        if not counts[_SERVICE] and not counts[_MARKETING]:
            await self.plan_safely(notifications)
            return
        urgent = [notification for notification in notifications if notification.klass < _SERVICE]
        if urgent:
            await self.plan_safely(urgent)
        for klass, turn in self._turns.items():
            if counts[klass]:
                # Waves are planned one after the other: together they would fill every turn of the loop.
                async with turn:
                    await self.plan_safely([n for n in notifications if n.klass == klass])

    async def plan_safely(self, notifications: list[Notification], finished: Finished | None = None) -> None:
        """Plan at the top of a task: what cannot be planned, by a fault of ours, ends as failed and stops nothing."""
        work, started_ns = Expansion(), self._clock.monotonic_ns()
        try:
            await self.plan(notifications, finished, work)
            seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
            self._metrics.stage_seconds("plan", seconds, len(notifications))
        except Unavailable as error:
            self._logger.info("planning_stopped", why=str(error))
        except Exception:  # the top of a task; the journal would bring it back at each start
            self._logger.error("planning_failed", exc_info=True)
            self._metrics.task_failure("planning")
            unplanned = [n for n in notifications if not n.open_deliveries and not n.outcome_bits]
            self._settler.end(unplanned, DeliveryState.FAILED, "INTERNAL")
            self._settler.end_unqueued(work.refused(self._hasher), "INTERNAL")
        finally:
            if self._tracer is not None:
                self._tracer.planned(notifications, started_ns)
            if self._gates is None:
                release_many(notifications)
            else:
                self._gates.release(notifications)

    async def plan(self, notifications: list[Notification], finished: Finished | None, work: Expansion) -> None:
        """Queue every delivery of the notifications; wait while the queue is full or the registry cannot be read.

        finished: what was final before a restart. work: tells at any moment what is not queued yet.
        Raises Unavailable when the dispatcher stopped; what is not queued then stays in the journal.
        """
        gated: list[Notification] = []
        if self._gates is not None and self._gates.concerns(notifications):
            notifications, gated = await self._gates.split(notifications)
        devices = await self._look_up(notifications) if has_users(notifications) else {}
        nowhere = work.add(notifications, self._targets_of(devices, finished) if devices or finished else None)
        if nowhere:
            self._settler.end(nowhere, DeliveryState.FAILED, "NO_DEVICES")
        await self._queue_all(work)
        if self._gates is not None and gated:
            # What must be decided comes after what need not.
            await self._gates.plan(gated, finished or {})

    def _targets_of(
        self, devices: Devices, finished: Finished | None
    ) -> Callable[[Notification], tuple[Target, ...]]:
        def targets_of(notification: Notification) -> tuple[Target, ...]:
            targets = notification.targets
            if notification.user_ids:
                targets = _with_devices(notification, devices[notification.app])
            if finished and notification in finished:
                targets = self._unfinished(notification, targets, finished[notification])
            return targets

        return targets_of

    async def _look_up(self, notifications: Sequence[Notification]) -> Devices:
        wanted: dict[str, dict[str, None]] = {}
        for notification in notifications:
            if notification.user_ids:
                wanted.setdefault(notification.app, {}).update(dict.fromkeys(notification.user_ids))
        found: dict[str, dict[str, list[Target]]] = {}
        for app, names in wanted.items():
            users, found[app] = list(names), {}
            for start in range(0, len(users), _LOOKUP):
                found[app].update(await self._devices_of(app, users[start : start + _LOOKUP]))
        return found

    async def _devices_of(self, app: str, users: list[str]) -> Mapping[str, list[Target]]:
        while True:
            try:
                return await self._registry.devices_of(app, users)
            except Unavailable as error:
                # Accepted is accepted: it waits for the registry as it would for a provider.
                if self._dispatcher.stopped:
                    raise
                self._logger.warning("registry_unavailable", why=str(error))
                await asyncio.sleep(_REGISTRY_RETRY_S)

    def _unfinished(
        self, notification: Notification, targets: tuple[Target, ...], done: PartlyFinished
    ) -> tuple[Target, ...]:
        notification.outcome_bits = done.outcome_bits
        keys = self._keys(targets)
        return tuple(t for t, key in zip(targets, keys, strict=True) if key not in done.device_keys)

    async def _queue_all(self, work: Expansion) -> None:
        while work:
            if work.taken:
                await asyncio.sleep(0)
            # A campaign leaves room for what is urgent.
            kept = self._queue.capacity // 10 if work.klass == _MARKETING else 0
            while self._queue.room - kept < min(len(work), _STRIDE):
                await self._queue.wait_for_room()
            self._queue_stride(work)

    def _queue_stride(self, work: Expansion) -> None:
        stride = work.assign(_STRIDE, self._flows.lane)
        rendered = {
            number: self._routes[number].channel.render_many(notifications)
            for number, notifications in stride.wanted.items()
        }
        deliveries, failed = stride.deliver(rendered, self._hasher)
        for reason, unsendable in failed.items():
            self._settler.end_unqueued(unsendable, reason)
        self._queue.push(deliveries, self._clock.monotonic_ns())
        work.take(len(stride))
        self._dispatcher.wake_all(rendered)

    def _keys(self, targets: Sequence[Target]) -> array[int]:
        keys = array("Q", bytes(8 * len(targets)))
        self._hasher.hash64_many([target.token for target in targets], keys)
        return keys


def _with_devices(notification: Notification, devices: Mapping[str, list[Target]]) -> tuple[Target, ...]:
    targets = {(target.provider, target.token): target for target in notification.targets}
    for user in notification.user_ids:
        for target in devices.get(user, ()):
            # The registered one knows when it was registered, which the 410 rule needs.
            targets[(target.provider, target.token)] = target
    return tuple(targets.values())
