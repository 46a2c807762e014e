"""The flows of notifications: which fair share and which token buckets a delivery counts against."""

from __future__ import annotations

from core.delivery import Flow, Notification
from core.hashing import SipHash
from gateway.pipeline.routes import Route
from gateway.settings import Limits

_MAX_FLOWS = 50_000


class FlowBook:
    """Makes each (route, tenant, campaign) its Flow once; forgets all at a bound, since they are cheap to make again."""

    def __init__(self, hasher: SipHash, limits: Limits) -> None:
        self._hasher = hasher
        self._limits = limits
        self._flows: dict[tuple[int, str, str], Flow] = {}

    def set_limits(self, limits: Limits) -> None:
        """Take new limits after a reload; what is queued already keeps its old ones."""
        self._limits = limits
        self._flows.clear()

    def of(self, route: Route, notification: Notification) -> Flow:
        """Return the flow of a notification on a route."""
        name = (route.number, notification.tenant, notification.campaign)
        flow = self._flows.get(name)
        if flow is None:
            if len(self._flows) >= _MAX_FLOWS:
                self._flows.clear()
            flow = self._flows[name] = self._make(route, *name[1:])
        return flow

    def _make(self, route: Route, tenant: str, campaign: str) -> Flow:
        provider = route.provider.name.lower()
        names = {
            f"provider\0{route.app}\0{provider}\0{route.environment}": self._limits.rule_of_provider(route.app, provider),
            f"app\0{route.app}": self._limits.rule_of_app(route.app),
            f"tenant\0{tenant}": self._limits.rule_of_tenant(tenant),
            f"campaign\0{tenant}\0{campaign}": self._limits.rule_of_campaign(campaign) if campaign else 0,
        }
        buckets = [self._hasher.hash64(name) for name in names]
        return Flow(self._hasher.hash64(f"flow\0{tenant}\0{campaign}"), buckets, list(names.values()))
