"""The flows of notifications: which fair share and which token buckets a delivery counts against."""

from __future__ import annotations

from core.delivery import Flow, Notification
from core.hashing import SipHash
from gateway.pipeline.limits import NO_LIMIT, RuleBook
from gateway.pipeline.routes import Route

_MAX_FLOWS = 50_000


class FlowBook:
    """Makes each (route, tenant, campaign) its Flow once; forgets all at a bound, as they are cheap to make again."""

    def __init__(self, hasher: SipHash, rules: RuleBook) -> None:
        self._hasher = hasher
        self._rules = rules
        self._flows: dict[tuple[int, str, str], Flow] = {}

    def set_rules(self, rules: RuleBook) -> None:
        """Take new limits after a reload; what is queued already keeps its old ones."""
        self._rules = rules
        self._flows.clear()

    def of(self, route: Route, notification: Notification) -> Flow:
        """Return the flow of a notification on a route."""
        name = (route.number, notification.tenant, notification.campaign)
        flow = self._flows.get(name)
        if flow is None:
            if len(self._flows) >= _MAX_FLOWS:
                self._flows.clear()
            flow = self._flows[name] = self._make(route, notification.tenant, notification.campaign)
        return flow

    def _make(self, route: Route, tenant: str, campaign: str) -> Flow:
        rule_of, provider = self._rules.rule_of, route.provider.name.lower()
        per_app = rule_of("provider", f"{provider}/{route.app}")
        rules = (
            per_app or rule_of("provider", provider),
            rule_of("app", route.app),
            rule_of("tenant", tenant),
            rule_of("campaign", campaign) if campaign else NO_LIMIT,
        )
        names = (
            f"provider\0{provider}\0{route.app if per_app else ''}",
            f"app\0{route.app}",
            f"tenant\0{tenant}",
            f"campaign\0{tenant}\0{campaign}",
        )
        return Flow(self._hasher.hash64(f"flow\0{tenant}\0{campaign}"), [self._hasher.hash64(n) for n in names], rules)
