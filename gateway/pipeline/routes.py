"""The routes: one per app, provider and environment, each with its channel, breaker and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.breaker import Breaker
from core.in_flight_window import InFlightWindow
from core.model import Environment, Provider
from core.ports import Channel
from core.throttle import Throttle
from gateway.metrics import route_label


@dataclass(slots=True)
class Route:
    """One route and what is known of it now.

    throttle: after a provider's "too many". timer: the one wake-up that is scheduled. label: what metrics and logs
    call its provider.
    """

    number: int
    app: str
    provider: Provider
    environment: Environment
    breaker: Breaker
    channel: Channel = field(init=False)
    label: str = field(init=False)
    window: InFlightWindow = field(default_factory=InFlightWindow)
    throttle: Throttle = field(default_factory=Throttle)
    in_flight: int = 0
    timer: asyncio.TimerHandle | None = None
    timer_due_ns: int = 0

    def __post_init__(self) -> None:
        self.label = route_label(self.provider, self.environment)


class Routes:
    """All routes by number, and by (app, provider, environment)."""

    def __init__(self, routes: list[Route]) -> None:
        self._by_number = routes
        self._by_name = {(r.app, int(r.provider), int(r.environment)): r for r in routes}

    def __getitem__(self, number: int) -> Route:
        return self._by_number[number]

    def __iter__(self) -> Iterator[Route]:
        return iter(self._by_number)

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, route: Route) -> None:
        """Take in a route that a reload brought; its number is the next one."""
        self._by_number.append(route)
        self._by_name[(route.app, int(route.provider), int(route.environment))] = route

    def find(self, app: str, provider: int, environment: int) -> Route | None:
        """Return the route, or None when the app has none for it."""
        return self._by_name.get((app, provider, environment))
