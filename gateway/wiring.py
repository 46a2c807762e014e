"""The one place that names concrete classes: settings -> the parts of a worker, and the supervisor over the workers."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.hotstate import shared_file
from adapters.hotstate.frequency_file import attach_frequency
from adapters.journal.options import JournalOptions
from adapters.journal.reader import JournalReader
from adapters.journal.sqlite import SqliteJournal, journal_path
from adapters.registry.sqlite import SqliteRegistry
from core.breaker import Breaker, BreakerSettings
from core.dedup import DedupWindow
from core.delivery import Delivery, Notification
from core.fanout import Fanout
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.mass_death import MassDeathSettings
from core.model import Environment, Provider
from core.reaction import Backoff, Outcome
from core.storage import Commit
from core.token_buckets import Rate, TokenBuckets
from gateway.callers import CallerBook
from gateway.channels import ChannelMaker
from gateway.count_moves import CounterMoves
from gateway.erasure_parts import ErasureParts, Holdings, Pipeline, open_erasure
from gateway.interceptors import CallInterceptor
from gateway.metrics import Metrics
from gateway.parts import Parts
from gateway.peers import Peers
from gateway.people_parts import PeopleParts, open_people
from gateway.pipeline.admission import Admission
from gateway.pipeline.archive import Archive
from gateway.pipeline.cancel import Canceller
from gateway.pipeline.clock import SystemClock
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.intake import Intake
from gateway.pipeline.limits import RuleBook, Scope
from gateway.pipeline.planning import Planner
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.reading import GeneralReader
from gateway.pipeline.recheck import Rechecker
from gateway.pipeline.restore import restore_own
from gateway.pipeline.retire import Retirer
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.revival import Reviver
from gateway.pipeline.routes import Route, Routes
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway
from gateway.policy_parts import PolicyParts, Ways, open_policy
from gateway.privacy.auditing import HOST, AuditInterceptor
from gateway.privacy_parts import Stores, open_privacy
from gateway.scopes import Scopes
from gateway.secret import load_secret
from gateway.server import PublicServer, Services, WorkerSocket
from gateway.services.delivery import DeliveryServicer
from gateway.services.devices import DeviceServicer
from gateway.services.tracking import Tracking
from gateway.services.workers import WorkerServicer
from gateway.settings.components import DispatchSettings, JournalSettings
from gateway.settings.root import Settings
from gateway.settings.values import Rate as RateSetting

if TYPE_CHECKING:
    from gateway.tracing.otel import OtelTracer

DEDUP_FILE = "dedup"
BUCKETS_FILE = "buckets"


class Answers:
    """core.ports.Sink: what channels tell goes to the settler, and wakes the dispatcher."""

    def __init__(self, routes: Routes, settler: Settler, dispatcher: Dispatcher) -> None:
        self._routes = routes
        self._settler = settler
        self._dispatcher = dispatcher

    def on_outcomes(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        """Settle a batch of answers and use the streams they freed."""
        self._dispatcher.wake(self._settler.settle(deliveries, outcomes))

    def on_capacity(self, route: int) -> None:
        """Use the capacity of a route."""
        self._dispatcher.wake(self._routes[route])


def rule_book(settings: Settings, earlier: Sequence[Rate] = ()) -> RuleBook:
    """Return the limits of the settings, FCM's own quota per app among them; earlier rates keep their numbers."""
    limits = settings.limits
    scopes: tuple[Scope, ...] = ("provider", "app", "tenant", "campaign")
    general = {scope: _rate(rate) for scope in scopes if (rate := getattr(limits, scope))}
    named: dict[tuple[Scope, str], Rate] = {}
    for app in settings.apps:
        if app.fcm is not None:
            # https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
            per_minute = app.fcm.quota_per_minute
            named["provider", f"fcm/{app.id}"] = Rate(Fraction(per_minute, 60), max(1, per_minute // 60))
    for scope in scopes:
        for name, rate in getattr(limits.overrides, scope).items():
            named[scope, name] = _rate(rate)
    return RuleBook(general, named, earlier)


def providers_of(settings: Settings) -> dict[str, frozenset[int]]:
    """Return the providers of each app."""
    return {
        app.id: frozenset(
            provider
            for provider, part in ((Provider.APNS, app.apns), (Provider.FCM, app.fcm))
            if part is not None
        )
        for app in settings.apps
    }


def journal_options(settings: Settings) -> JournalOptions:
    """Return the journal's limits; it keeps keys at least as long as the dedup window needs them."""
    own: JournalSettings = settings.journal
    return JournalOptions(
        queue_bytes=own.queue_bytes,
        commit_bytes=own.commit_bytes,
        retention_ms=max(own.retention_s, settings.dedup.window_s) * 1_000,
        max_bytes=own.max_bytes,
    )


def breaker_settings(settings: DispatchSettings) -> BreakerSettings:
    """Return how breakers behave."""
    return BreakerSettings(
        window_ms=int(settings.breaker_window_s * 1_000),
        min_answers=settings.breaker_min_answers,
        fault_percent=round(settings.breaker_fault_share * 100),
        open_ms=int(settings.breaker_open_s * 1_000),
        max_open_ms=int(settings.breaker_open_cap_s * 1_000),
        probes=settings.breaker_probes,
    )


def mass_death_settings(settings: Settings) -> MassDeathSettings:
    """Return how the mass-death guard behaves."""
    own = settings.mass_death
    return MassDeathSettings(
        window_ms=own.window_s * 1_000, min_deaths=own.min_deaths, death_percent=round(own.max_share * 100),
        hold_ms=own.hold_s * 1_000,
    )  # fmt: skip


def add_routes(settings: Settings, routes: Routes, maker: ChannelMaker) -> None:
    """Make the routes of all apps that have none yet, with their channels."""
    rng = random.Random()  # noqa: S311  # jitter
    for app in settings.apps:
        wanted = []
        if app.apns is not None:
            wanted.append((Provider.APNS, Environment.PRODUCTION))
            if app.apns.sandbox_connections:
                wanted.append((Provider.APNS, Environment.SANDBOX))
        if app.fcm is not None:
            wanted.append((Provider.FCM, Environment.PRODUCTION))
        for provider, environment in wanted:
            if routes.find(app.id, provider, environment) is None:
                breaker = Breaker(breaker_settings(settings.dispatch), rng)
                route = Route(len(routes), app.id, provider, environment, breaker)
                route.channel = maker.make(route.number, app, provider, environment)
                routes.add(route)


def archive_of(data_dir: Path) -> Archive:
    """Return the receipts of all journals in a data directory."""

    def numbers() -> list[int]:
        return sorted(int(path.stem.removeprefix("journal-")) for path in data_dir.glob("journal-*.db"))

    def reader(number: int) -> JournalReader | None:
        path = journal_path(data_dir, number)
        return JournalReader(path) if path.exists() else None

    return Archive(reader, numbers)


async def assemble(settings: Settings, number: int, tasks: asyncio.TaskGroup, *, listening: bool) -> Parts:
    """Open the stores and wire one worker. Raises PushError when something cannot be opened."""
    base = await _open(settings, number)
    sending = _wire_sending(base)
    scopes, peers = Scopes(providers_of(settings), base.secret.derive("tags")), Peers(settings.data_dir / "run")
    moves = CounterMoves(base.counters, base.secret.derive("policy"))
    people = await open_people(settings, base.registry, scopes, moves, base.clock)
    hashes = base.secret.derive("policy")
    policy = await open_policy(settings, people, base.counters, hashes, scopes, _ways(base, sending))
    taking = _wire_taking(base, sending, policy, scopes, tasks)
    tracking = Tracking(archive=taking.archive, canceller=taking.canceller, peers=peers, scopes=scopes, number=number)
    erasure = await _open_erasure(base, sending, taking, policy, people, moves, peers)
    stores = Stores(people, base.registry, base.counters, base.metrics)
    privacy = await open_privacy(settings, base.secret, stores, erasure.eraser, scopes, base.clock)
    audit, host_audit = AuditInterceptor(privacy.auditor), AuditInterceptor(privacy.auditor, lambda: HOST)
    interceptor = CallInterceptor(CallerBook(settings.callers), base.metrics, base.tracer)
    delivery = DeliveryServicer(taking.intake, tracking, scopes)
    devices = DeviceServicer(base.registry, people.recipients, scopes, base.clock)
    services = Services(
        delivery, devices, people.users, people.preferences, policy.templates, policy.explaining, privacy.service
    )
    siblings = WorkerServicer(taking.canceller, scopes, sending.retirer, erasure.local)
    return Parts(
        number=number, journal=base.journal, registry=base.registry, archive=taking.archive, routes=sending.routes,
        channels=sending.channels, queue=sending.queue, flows=sending.flows, intake=taking.intake,
        dispatcher=sending.dispatcher, settler=sending.settler, retirer=sending.retirer, schedule=taking.schedule,
        reviver=taking.reviver, tracking=tracking, peers=peers, interceptor=interceptor, metrics=base.metrics,
        socket=WorkerSocket(settings.data_dir / "run", number, host_audit, siblings), clock=base.clock,
        delivery=delivery, devices=devices, siblings=siblings, buckets=base.buckets, dedup=base.dedup,
        tags=base.secret.derive("tags"), privacy=privacy, eraser=erasure.eraser,
        tracer=base.tracer, people=people, policy=policy, rechecker=taking.rechecker,
        server=PublicServer(settings.server, interceptor, audit, services) if listening else None,
    )  # fmt: skip


async def _open_erasure(
    base: _Base, sending: _Sending, taking: _Taking, policy: PolicyParts, people: PeopleParts,
    moves: CounterMoves, peers: Peers,
) -> ErasureParts:  # fmt: skip
    holdings = Holdings(base.settings.data_dir, people.people, base.registry, moves, peers)
    pipeline = Pipeline(
        base.journal, base.underway, taking.schedule, taking.reviver, sending, policy.deferrals, policy.gates
    )
    return await open_erasure(pipeline, holdings, journal_options(base.settings), base.secret, base.metrics, base.clock)


def _ways(base: _Base, sending: _Sending) -> Ways:
    return Ways(
        sending.routes, sending.flows, sending.queue, sending.dispatcher, sending.settler,
        base.secret.derive("devices"), base.metrics, base.clock,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Base:
    """What everything else stands on."""

    settings: Settings
    secret: SipHash
    clock: SystemClock
    metrics: Metrics
    journal: SqliteJournal
    registry: SqliteRegistry
    dedup: DedupWindow
    buckets: TokenBuckets
    counters: FrequencyCounters
    rules: RuleBook
    underway: Underway
    tracer: OtelTracer | None


@dataclass(frozen=True, slots=True)
class _Sending:
    """From the lanes to the providers and back."""

    routes: Routes
    queue: DeliveryQueue
    flows: FlowBook
    retirer: Retirer
    retries: RetryWheel
    settler: Settler
    dispatcher: Dispatcher
    channels: ChannelMaker


@dataclass(frozen=True, slots=True)
class _Taking:
    """From the callers to the lanes."""

    schedule: Schedule
    reviver: Reviver
    archive: Archive
    canceller: Canceller
    intake: Intake
    rechecker: Rechecker


async def _open(settings: Settings, number: int) -> _Base:
    metrics, clock = Metrics([app.id for app in settings.apps]), SystemClock()
    shared = shared_file.shared_directory(settings.data_dir)
    journal = await SqliteJournal.open(
        settings.data_dir, number, journal_options(settings), observe=lambda commit: _observe(metrics, commit)
    )
    dedup = DedupWindow(shared_file.attach(shared / DEDUP_FILE), number)
    await restore_own(dedup, journal, number, clock.unix_ms())
    dedup.begin()
    rules = rule_book(settings)
    return _Base(
        settings=settings, secret=load_secret(settings.data_dir), clock=clock, metrics=metrics, journal=journal,
        registry=await SqliteRegistry.open(settings.data_dir), dedup=dedup, rules=rules, underway=Underway(),
        buckets=TokenBuckets(shared_file.attach(shared / BUCKETS_FILE), rules.rates),
        counters=attach_frequency(settings.data_dir), tracer=make_tracer(settings, number, metrics, clock),
    )  # fmt: skip


def _wire_sending(base: _Base) -> _Sending:
    own, clock, metrics = base.settings.dispatch, base.clock, base.metrics
    routes = Routes([])
    queue = DeliveryQueue(Fanout(own.max_pending, own.batch_size, int(own.linger_ms * 1_000_000)))
    retirer = Retirer(base.registry, mass_death_settings(base.settings), metrics, clock)
    retries = RetryWheel(clock, lambda due: dispatcher.requeue(due))
    settler = Settler(
        routes=routes, queue=queue, retries=retries,
        journal=base.journal, underway=base.underway, retirer=retirer, metrics=metrics, clock=clock,
        backoff=Backoff(own.backoff_base_ms, own.backoff_cap_ms), max_attempts=own.max_attempts,
        rng=random.Random(), tracer=base.tracer,  # noqa: S311  # jitter
    )  # fmt: skip
    dispatcher = Dispatcher(
        routes=routes, queue=queue, settler=settler, buckets=base.buckets, metrics=metrics, clock=clock,
        batch_size=own.batch_size,
    )  # fmt: skip
    channels = ChannelMaker(Answers(routes, settler, dispatcher), own.request_timeout_s)
    add_routes(base.settings, routes, channels)
    flows = FlowBook(base.secret.derive("flows"), base.rules, routes)
    return _Sending(routes, queue, flows, retirer, retries, settler, dispatcher, channels)


def _wire_taking(
    base: _Base, sending: _Sending, policy: PolicyParts, scopes: Scopes, tasks: asyncio.TaskGroup
) -> _Taking:
    own, clock, metrics, journal = base.settings.dispatch, base.clock, base.metrics, base.journal
    schedule = Schedule(clock)
    planner = Planner(
        registry=base.registry, routes=sending.routes, queue=sending.queue, flows=sending.flows,
        settler=sending.settler, dispatcher=sending.dispatcher, underway=base.underway, schedule=schedule,
        hasher=base.secret.derive("devices"), metrics=metrics, clock=clock, tracer=base.tracer, gates=policy.gates,
    )  # fmt: skip
    reviver = Reviver(
        journal=journal, scopes=scopes, underway=base.underway, planner=planner, settler=sending.settler,
        schedule=schedule, metrics=metrics,
    )  # fmt: skip
    archive = archive_of(base.settings.data_dir)
    canceller = Canceller(
        journal=journal, underway=base.underway, schedule=schedule, reviver=reviver, settler=sending.settler,
        archive=archive, waiting=policy.gates,
    )  # fmt: skip
    intake = Intake(
        journal=journal, dedup=base.dedup, hasher=base.secret.derive("idempotency"),
        admission=Admission(own.max_pending, own.marketing_share, own.service_share),
        precheck=lambda notification: check_content(sending.routes, notification),
        reader=GeneralReader(policy.purposes), pending=lambda: sending.queue.in_use + len(policy.deferrals),
        accepted=planner.accept, tasks=tasks, metrics=metrics, clock=clock, tracer=base.tracer,
    )  # fmt: skip
    rechecker = Rechecker(
        lookup=policy.lookup, policies=policy.policies, deferrals=policy.deferrals, routes=sending.routes,
        queue=sending.queue, dispatcher=sending.dispatcher, settler=sending.settler, contents=reviver.content_of,
        metrics=metrics, clock=clock,
    )  # fmt: skip
    sending.dispatcher.set_sieve(rechecker)
    return _Taking(schedule, reviver, archive, canceller, intake, rechecker)


def make_tracer(settings: Settings, number: int, metrics: Metrics, clock: SystemClock) -> OtelTracer | None:
    """Return what traces one worker's notifications; None, and nothing of it is imported, where that is off."""
    own = settings.tracing
    if own.endpoint is None:
        return None
    from gateway.tracing.otel import OtelTracer, TraceLimits
    from gateway.tracing.otlp import OtlpExport
    from gateway.tracing.sender import SenderLimits, SpanSender

    host = socket.gethostname()
    resource: dict[str, str | int] = {
        "service.name": own.service_name, "service.version": version("walletpush"),
        "service.instance.id": f"{host}-{number}", "host.name": host,
    }  # fmt: skip
    export = OtlpExport(own.endpoint, own.headers(), resource, ca_file=own.ca_file, insecure=own.insecure)
    limits = SenderLimits(own.queue_spans, own.batch_spans, own.interval_s, own.timeout_s)
    sender = SpanSender(export, limits, metrics.spans_sent, metrics.spans_dropped)
    bounds = TraceLimits(own.sample_ratio, own.max_per_batch, own.max_requests, own.max_open)
    return OtelTracer(sender, bounds, clock)


def check_content(routes: Routes, notification: Notification) -> None:
    """Raise ContentRefused if a provider that the notification may reach would not take its content."""
    wanted = {(int(target.provider), int(target.environment)) for target in notification.targets}
    for route in routes:
        named = (int(route.provider), int(route.environment)) in wanted
        if route.app == notification.app and (named or notification.user_ids):
            route.channel.render(notification)


def _rate(rate: RateSetting) -> Rate:
    return Rate(Fraction(rate.per_s).limit_denominator(1_000_000), rate.burst)


def _observe(metrics: Metrics, commit: Commit) -> None:
    metrics.journal_commit(commit.messages + commit.updates, commit.payload_bytes, commit.duration_ns / 1e9)
