"""Gates, templates and waits: from the settings to the parts of one worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.templates.sqlite import SqliteTemplates
from core.content.links import LinkPolicy
from core.hashing import SipHash
from core.policy.ports import CapCounters
from gateway.metrics import Metrics
from gateway.people_parts import PeopleParts
from gateway.pipeline.clock import Clock
from gateway.pipeline.deferral import Deferrals
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.gated import GatedPlanner
from gateway.pipeline.lookup import Lookup
from gateway.pipeline.personal import Personal, Veil
from gateway.pipeline.policies import Policies
from gateway.pipeline.purposes import Purposes
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.routes import Routes
from gateway.pipeline.settle import Settler
from gateway.scopes import Scopes
from gateway.services.policy import PolicyServicer
from gateway.services.templates import TemplateServicer
from gateway.settings.root import Settings
from gateway.template_book import TemplateBook


@dataclass(frozen=True, slots=True)
class Ways:
    """How deliveries leave, as far as gates need it."""

    routes: Routes
    flows: FlowBook
    queue: DeliveryQueue
    dispatcher: Dispatcher
    settler: Settler
    hasher: SipHash
    metrics: Metrics
    clock: Clock


@dataclass(frozen=True, slots=True)
class PolicyParts:
    """What a worker has of gates and templates."""

    store: SqliteTemplates
    book: TemplateBook
    lookup: Lookup
    policies: Policies
    personal: Personal
    deferrals: Deferrals
    gates: GatedPlanner
    purposes: Purposes
    templates: TemplateServicer
    explaining: PolicyServicer

    def set_scopes(self, scopes: Scopes) -> None:
        """Have the services use new scopes."""
        self.templates.set_scopes(scopes)
        self.explaining.set_scopes(scopes)

    def set_rules(self, settings: Settings) -> None:
        """Take the rules of new settings."""
        rules = {app.id: app.rules() for app in settings.apps}
        self.policies.set_rules(rules)
        self.purposes.set_rules(rules)
        self.templates.set_rules(rules)
        self.book.set_links(links_of(settings))
        self.personal.set_veils(veils_of(settings))


def links_of(settings: Settings) -> Mapping[str, LinkPolicy]:
    """Return which links each app's templates may hold."""
    return {app.id: LinkPolicy(frozenset(app.deep_link_schemes)) for app in settings.apps}


def veils_of(settings: Settings) -> Mapping[str, Veil]:
    """Return what stands in the clear for the apps whose contents are sealed."""
    return {app.id: Veil(texts) for app in settings.apps if (texts := app.generic_texts())}


async def open_policy(
    settings: Settings, people: PeopleParts, counters: CapCounters, hashes: SipHash, scopes: Scopes, ways: Ways
) -> PolicyParts:
    """Open the store of templates and wire the gates. Raises StoreFailure or Unavailable."""
    clock, rules = ways.clock, {app.id: app.rules() for app in settings.apps}
    store = await SqliteTemplates.open(settings.data_dir)
    book = TemplateBook(store, links_of(settings), clock)
    policies = Policies(rules, counters, hashes, clock)
    personal = Personal(veils_of(settings))
    deferrals = Deferrals(clock)
    source = people.recipients
    lookup = Lookup(
        people=source, owners=source, policies=policies, book=book, clock=clock,
        stopped=lambda: ways.dispatcher.stopped,
    )  # fmt: skip
    gates = GatedPlanner(
        lookup=lookup, policies=policies, personal=personal, deferrals=deferrals, routes=ways.routes, flows=ways.flows,
        queue=ways.queue, dispatcher=ways.dispatcher, settler=ways.settler, hasher=ways.hasher, metrics=ways.metrics,
        clock=clock,
    )  # fmt: skip
    purposes = Purposes(rules, book)
    return PolicyParts(
        store, book, lookup, policies, personal, deferrals, gates, purposes,
        TemplateServicer(store, book, source, rules, scopes, clock),
        PolicyServicer(lookup, policies, personal, purposes, ways.routes, ways.flows, ways.hasher, scopes, clock),
    )  # fmt: skip
