"""Accepted notifications -> deliveries in their lanes: devices looked up, payloads rendered, one batch at a time."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping, Sequence

from core.delivery import Delivery, Flow, Notification, release_many
from core.errors import ContentRefused, Unavailable
from core.hashing import SipHash
from core.model import DeliveryState, NotificationClass, Target
from core.storage import DeviceRegistry, PartlyFinished
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.routes import Route
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway
from gateway.tracing.port import Tracer

# So many deliveries are made between two looks at the loop: at some 4 us each it stays free for a payment's answer.
_STRIDE = 128
_LOOKUP = 10_000
_MARKETING = int(NotificationClass.MARKETING)
_REGISTRY_RETRY_S = 0.5
_NOWHERE = Flow(0, (), ())
Finished = Mapping[Notification, PartlyFinished]
Devices = Mapping[str, Mapping[str, list[Target]]]
Pairs = list[tuple[Notification, Target]]


class _Work:
    """What one plan is to queue; the first `queued` pairs are."""

    __slots__ = ("pairs", "queued")

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.queued = 0


class Planner:
    """Turns notifications into queued deliveries, and ends those that have nowhere to go."""

    def __init__(
        self, *, registry: DeviceRegistry, queue: DeliveryQueue, flows: FlowBook,
        settler: Settler, dispatcher: Dispatcher, underway: Underway, schedule: Schedule,
        hasher: SipHash, metrics: Metrics, clock: Clock, tracer: Tracer | None = None,
    ) -> None:  # fmt: skip
        self._registry = registry
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
        self._campaigns = asyncio.Lock()
        self._logger = get_logger("planning")

    async def accept(self, notifications: list[Notification]) -> None:
        """Take what has just been accepted: plan it, or keep it for its send_at."""
        later = [notification for notification in notifications if notification.send_at_unix_ms]
        if later:
            self._schedule.add(later)
            notifications = [notification for notification in notifications if not notification.send_at_unix_ms]
        self._underway.add(notifications)
        urgent = [notification for notification in notifications if notification.klass != _MARKETING]
        if urgent:
            await self.plan_safely(urgent)
        if len(urgent) < len(notifications):
            # Campaigns are planned one after the other: together they would fill every turn of the loop.
            async with self._campaigns:
                await self.plan_safely([n for n in notifications if n.klass == _MARKETING])

    async def plan_safely(self, notifications: list[Notification], finished: Finished | None = None) -> None:
        """Plan at the top of a task: what cannot be planned, by a fault of ours, ends as failed and stops nothing."""
        work, started_ns = _Work(), self._clock.monotonic_ns()
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
            self._settler.end_unqueued(self._left_of(work), "INTERNAL")
        finally:
            if self._tracer is not None:
                self._tracer.planned(notifications, started_ns)
            release_many(notifications)

    async def plan(self, notifications: Sequence[Notification], finished: Finished | None, work: _Work) -> None:
        """Queue every delivery of the notifications; wait while the queue is full or the registry cannot be read.

        finished: what was final before a restart. work: tells at any moment what is not queued yet.
        Raises Unavailable when the dispatcher stopped; what is not queued then stays in the journal.
        """
        devices = await self._look_up(notifications)
        pairs = work.pairs
        nowhere: list[Notification] = []
        for notification in notifications:
            targets = notification.targets
            if notification.user_ids:
                targets = _with_devices(notification, devices[notification.app])
            if finished and notification in finished:
                targets = self._unfinished(notification, targets, finished[notification])
            # The count stands before the first of them may be answered.
            notification.open_deliveries = len(targets)
            if targets:
                pairs += [(notification, target) for target in targets]
            else:
                nowhere.append(notification)
        if nowhere:
            self._settler.end(nowhere, DeliveryState.FAILED, "NO_DEVICES")
        await self._queue_all(work)

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

    async def _queue_all(self, work: _Work) -> None:
        pairs = work.pairs
        while work.queued < len(pairs):
            if work.queued:
                await asyncio.sleep(0)
            stride = pairs[work.queued : work.queued + _STRIDE]
            # A campaign leaves room for what is urgent.
            kept = self._queue.capacity // 10 if stride[0][0].klass == _MARKETING else 0
            while self._queue.room - kept < len(stride):
                await self._queue.wait_for_room()
            deliveries = self._deliver(stride)
            self._queue.push(deliveries, self._clock.monotonic_ns())
            work.queued += len(stride)
            self._dispatcher.wake_all({delivery.route for delivery in deliveries})

    def _deliver(self, pairs: Pairs) -> list[Delivery]:
        keys = self._keys([target for _, target in pairs])
        made: list[Delivery] = []
        failed: dict[str, list[Delivery]] = {}
        last: Notification | None = None
        rendered: dict[int, tuple[bytes, object] | ContentRefused] = {}
        for (notification, target), key in zip(pairs, keys, strict=True):
            if notification is not last:
                rendered, last = {}, notification
            lane = self._flows.lane(notification, target)
            if lane is None:
                failed.setdefault("NO_ROUTE", []).append(_unsendable(notification, target, key))
                continue
            route, flow = lane
            parts = rendered.get(route.number)
            if parts is None:
                parts = rendered[route.number] = _render(route, notification)
            if isinstance(parts, ContentRefused):
                failed.setdefault(parts.reason, []).append(_unsendable(notification, target, key))
                continue
            delivery = Delivery(notification, target.token, parts[0], parts[1], key, target.registered_unix_ms,
                                target.provider, route.number, flow)  # fmt: skip
            # It may have been on the wire when the process ended.
            delivery.possibly_delivered = notification.recovered
            made.append(delivery)
        for reason, deliveries in failed.items():
            self._settler.end_unqueued(deliveries, reason)
        return made

    def _left_of(self, work: _Work) -> list[Delivery]:
        left = work.pairs[work.queued :]
        keys = self._keys([target for _, target in left])
        return [_unsendable(notification, target, key) for (notification, target), key in zip(left, keys, strict=True)]

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


def _render(route: Route, notification: Notification) -> tuple[bytes, object] | ContentRefused:
    try:
        return route.channel.render(notification)
    except ContentRefused as refused:
        return refused


def _unsendable(notification: Notification, target: Target, key: int) -> Delivery:
    return Delivery(notification, target.token, b"", None, key, 0, target.provider, 0, _NOWHERE)
