"""What a worker is made of."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.journal.sqlite import SqliteJournal
from adapters.registry.sqlite import SqliteRegistry
from core.dedup import DedupWindow
from core.hashing import SipHash
from core.token_buckets import TokenBuckets
from gateway.channels import ChannelMaker
from gateway.erasure.eraser import UserEraser
from gateway.interceptors import CallInterceptor
from gateway.metrics import Metrics
from gateway.peers import Peers
from gateway.people_parts import PeopleParts
from gateway.pipeline.archive import Archive
from gateway.pipeline.clock import Clock
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.intake import Intake
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.recheck import Rechecker
from gateway.pipeline.retire import Retirer
from gateway.pipeline.revival import Reviver
from gateway.pipeline.routes import Routes
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.policy_parts import PolicyParts
from gateway.privacy_parts import PrivacyParts
from gateway.scopes import Scopes
from gateway.server import PublicServer, WorkerSocket
from gateway.services.delivery import DeliveryServicer
from gateway.services.devices import DeviceServicer
from gateway.services.tracking import Tracking
from gateway.services.workers import WorkerServicer
from gateway.tracing.port import CallTracer


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of; the public server is absent in a worker that only finishes an old journal's work."""

    number: int
    journal: SqliteJournal
    registry: SqliteRegistry
    archive: Archive
    routes: Routes
    channels: ChannelMaker
    queue: DeliveryQueue
    flows: FlowBook
    intake: Intake
    dispatcher: Dispatcher
    settler: Settler
    rechecker: Rechecker
    retirer: Retirer
    schedule: Schedule
    reviver: Reviver
    tracking: Tracking
    peers: Peers
    socket: WorkerSocket
    interceptor: CallInterceptor
    delivery: DeliveryServicer
    devices: DeviceServicer
    people: PeopleParts
    policy: PolicyParts
    privacy: PrivacyParts
    eraser: UserEraser
    siblings: WorkerServicer
    buckets: TokenBuckets
    dedup: DedupWindow
    tags: SipHash
    metrics: Metrics
    clock: Clock
    tracer: CallTracer | None
    server: PublicServer | None

    def set_scopes(self, scopes: Scopes) -> None:
        """Have everything that asks for scopes use new ones."""
        self.delivery.set_scopes(scopes)
        self.devices.set_scopes(scopes)
        self.people.set_scopes(scopes)
        self.policy.set_scopes(scopes)
        self.privacy.set_scopes(scopes)
        self.siblings.set_scopes(scopes)
        self.reviver.set_scopes(scopes)
