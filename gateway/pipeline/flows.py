"""The lanes of notifications: by which route a target is reached, and which flow its delivery counts against there."""

from __future__ import annotations

from core.delivery import Flow, Notification
from core.hashing import SipHash
from core.model import Target
from gateway.pipeline.limits import NO_LIMIT, RuleBook
from gateway.pipeline.routes import Route, Routes

_MAX_LANES = 50_000
Lane = tuple[int, Flow]


class FlowBook:
    """Makes each lane once; forgets all at a bound, as they are cheap to make again."""

    def __init__(self, hasher: SipHash, rules: RuleBook, routes: Routes) -> None:
        self._hasher = hasher
        self._rules = rules
        self._routes = routes
        self._lanes: dict[tuple[str, str, str, int, int], Lane] = {}

    def set_rules(self, rules: RuleBook) -> None:
        """Take new limits after a reload; what is queued already keeps its old ones."""
        self._rules = rules
        self._lanes.clear()

    def lane(self, notification: Notification, target: Target) -> Lane | None:
        """Return the route's number and the flow of a delivery; None if the app has no route to the target."""
        name = (notification.app, notification.tenant, notification.campaign, target.provider, target.environment)
        return self._lanes.get(name) or self._find(notification, target, name)

    def _find(
        self, notification: Notification, target: Target, name: tuple[str, str, str, int, int]
    ) -> Lane | None:
        route = self._routes.find(notification.app, target.provider, target.environment)
        if route is None:
            return None
        if len(self._lanes) >= _MAX_LANES:
            self._lanes.clear()
        lane = self._lanes[name] = route.number, self._make(route, notification.tenant, notification.campaign)
        return lane

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
