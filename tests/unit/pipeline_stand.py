"""A whole pipeline of real parts between a fake journal, a fake registry and fake channels, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from core.breaker import Breaker, BreakerSettings
from core.dedup import DedupWindow
from core.delivery import Delivery, Notification
from core.fanout import Fanout
from core.hashing import SipHash
from core.mass_death import MassDeathSettings
from core.model import Environment, NotificationState, Provider, Receipt
from core.notification_id import parse_id, parse_id_text
from core.reaction import Backoff, Outcome
from core.token_buckets import TokenBuckets
from gateway.convert import Scope
from gateway.metrics import Metrics
from gateway.pipeline.admission import Admission
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.intake import Intake, Taken
from gateway.pipeline.limits import RuleBook
from gateway.pipeline.planning import Gates, Planner
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.reading import GeneralReader
from gateway.pipeline.retire import Retirer
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.revival import Reviver
from gateway.pipeline.routes import Route, Routes
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway
from gateway.scopes import Scopes
from gateway.tracing.port import Tracer
from protos.walletpush.v1 import notification_pb2 as pb
from tests.unit.pipeline_fakes import FakeChannel, FakeJournal, FakeRegistry
from tests.unit.virtual_time import LoopClock

HASHER = SipHash(bytes(range(16)))
PROVIDERS = {"app": frozenset({1, 2})}
NO_RULES = RuleBook({}, {})
APNS, FCM = 0, 1


@dataclass(frozen=True, slots=True)
class StandOptions:
    """What tests vary; capacity: of the queue and of admission, unless admitted says otherwise."""

    capacity: int = 10_000
    admitted: int = 0
    batch_size: int = 256
    rules: RuleBook = NO_RULES
    streams: int = 1_000
    max_attempts: int = 5
    dedup_capacity: int = 4_096
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    mass_death: MassDeathSettings = field(default_factory=MassDeathSettings)
    tracer: Tracer | None = None
    gates: Callable[[Stand], Gates] | None = None


class Stand:
    """The parts, wired as in production; use `stand`."""

    def __init__(self, options: StandOptions, tasks: asyncio.TaskGroup) -> None:
        self.clock = LoopClock()
        self.journal, self.registry, self.metrics = FakeJournal(), FakeRegistry(), Metrics(["app"])
        self.routes = Routes([])
        self.queue = DeliveryQueue(Fanout(options.capacity, options.batch_size, 0))
        self.underway, self.schedule = Underway(), Schedule(self.clock)
        self.flows = FlowBook(HASHER.derive("flows"), options.rules, self.routes)
        self.retirer = Retirer(self.registry, options.mass_death, self.metrics, self.clock)
        self.retries = RetryWheel(self.clock, lambda due: self.dispatcher.requeue(due))
        self.settler = Settler(
            routes=self.routes, queue=self.queue, retries=self.retries, journal=self.journal, underway=self.underway,
            retirer=self.retirer, metrics=self.metrics, clock=self.clock, backoff=Backoff(500, 60_000),
            max_attempts=options.max_attempts, rng=random.Random(7), tracer=options.tracer,
        )  # fmt: skip
        buckets = bytearray(TokenBuckets.required_bytes(1_024))
        TokenBuckets.create(buckets, 1_024)
        self.dispatcher = Dispatcher(
            routes=self.routes, queue=self.queue, settler=self.settler,
            buckets=TokenBuckets(buckets, options.rules.rates), metrics=self.metrics, clock=self.clock,
            batch_size=options.batch_size,
        )  # fmt: skip
        self.channels = [FakeChannel(number, self, options.streams) for number in (APNS, FCM)]
        for number, provider in enumerate((Provider.APNS, Provider.FCM)):
            breaker = Breaker(options.breaker, random.Random(3))
            route = Route(number, "app", provider, Environment.PRODUCTION, breaker)
            route.channel = self.channels[number]
            self.routes.add(route)
        self.apns, self.fcm = self.channels
        self.planner = Planner(
            registry=self.registry, routes=self.routes, queue=self.queue, flows=self.flows, settler=self.settler,
            dispatcher=self.dispatcher, underway=self.underway, schedule=self.schedule,
            hasher=HASHER.derive("devices"), metrics=self.metrics, clock=self.clock, tracer=options.tracer,
            gates=options.gates(self) if options.gates else None,
        )  # fmt: skip
        self.scopes = Scopes(PROVIDERS, HASHER.derive("tags"))
        self.reviver = Reviver(
            journal=self.journal, scopes=self.scopes, underway=self.underway, planner=self.planner,
            settler=self.settler, schedule=self.schedule, metrics=self.metrics,
        )  # fmt: skip
        self.prechecked: list[str] = []
        memory = bytearray(DedupWindow.required_bytes(options.dedup_capacity))
        DedupWindow.create(memory, options.dedup_capacity, 3_600_000)
        self.dedup = DedupWindow(memory, 0)
        self.intake = Intake(
            journal=self.journal, dedup=self.dedup, hasher=HASHER.derive("keys"), reader=GeneralReader(),
            admission=Admission(options.admitted or options.capacity, 0.8, 0.9), precheck=self._precheck,
            pending=lambda: self.queue.in_use, accepted=self.planner.accept, tasks=tasks, metrics=self.metrics,
            clock=self.clock, tracer=options.tracer,
        )  # fmt: skip

    def _precheck(self, notification: Notification) -> None:
        self.prechecked.append(notification.content.title if notification.content else "")
        self.apns.render(notification)

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        self.dispatcher.wake(self.settler.settle(deliveries, outcomes))

    def on_capacity(self, route: int) -> None:
        self.dispatcher.wake(self.routes[route])

    def scope(self, tenant: str = "bank") -> Scope:
        """Return what bounds a caller of this tenant."""
        return self.scopes.of_tenant(tenant)

    async def submit(self, *messages: pb.Notification, tenant: str = "bank") -> list[Taken]:
        """Hand in messages of one caller."""
        return await self.intake.submit(self.scope(tenant), messages)

    async def accept(self, *messages: pb.Notification) -> list[str]:
        """Hand in messages that must be accepted; return their ids."""
        taken = await self.submit(*messages)
        assert [one.error for one in taken] == [None] * len(messages)
        return [one.notification_id for one in taken]

    def find(self, notification_id: str) -> Notification:
        """Return a notification that is under way."""
        _, _, segment, index = parse_id(parse_id_text(notification_id))
        found = self.underway.find(segment, index)
        assert found is not None
        return found

    async def receipts(self) -> list[Receipt]:
        """Return all receipts so far."""
        await self.settler.flush()
        return self.journal.receipts()

    async def reasons(self) -> list[str]:
        """Return the reasons of all receipts so far."""
        return [receipt.reason for receipt in await self.receipts()]

    async def states(self) -> list[NotificationState]:
        """Return how the notifications ended, in the order of their ends."""
        await self.settler.flush()
        return [state for _, _, state in self.journal.closings()]

    async def assert_at_rest(self) -> None:
        """Everything accepted has ended exactly once, and nothing is held any more."""
        await self.settler.flush()
        closed = [(segment, index) for segment, index, _ in self.journal.closings()]
        assert sorted(closed) == sorted(self.journal.accepted())
        assert (self.queue.in_use, len(self.retries), self.intake.taking) == (0, 0, 0)
        assert [route.in_flight for route in self.routes] == [0, 0]
        assert list(self.underway) == []


@asynccontextmanager
async def stand(options: StandOptions = StandOptions()) -> AsyncIterator[Stand]:
    """Run a pipeline with its background tasks until left."""
    async with asyncio.TaskGroup() as tasks:
        made = Stand(options, tasks)
        background = [
            tasks.create_task(work)
            for work in (
                made.settler.record(), made.retirer.run(), made.dispatcher.sweep(),
                made.schedule.run(made.reviver.release),
            )
        ]  # fmt: skip
        try:
            yield made
        finally:
            # As a worker drains: whoever waits for room is let go.
            made.dispatcher.stop()
            for task in background:
                task.cancel()


async def settle_down(seconds: float = 0.05) -> None:
    """Let everything that is ready happen."""
    await asyncio.sleep(seconds)


def message(
    key: str, *tokens: str, klass: int = pb.NOTIFICATION_CLASS_TRANSACTIONAL, title: str = "", users: Sequence[str] = ()
) -> pb.Notification:
    """Return a notification to Apple devices (tokens in hex) and users; its title is its key unless given."""
    return pb.Notification(
        idempotency_key=key, app="app", notification_class=klass, user_ids=users,  # type: ignore[arg-type]
        devices=[pb.DeviceToken(provider=pb.PROVIDER_APNS, token=token) for token in tokens],
        content=pb.Content(title=title or key),
    )  # fmt: skip
