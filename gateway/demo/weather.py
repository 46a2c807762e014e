"""The troubles of the demonstration: dead tokens, a provider that throttles, a provider that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.simulators.client import SimulatorClient
from adapters.simulators.faults import Faults
from adapters.simulators.token_book import TokenEntry
from gateway.demo.people import People
from gateway.demo.plan import Plan

FAIR = Faults(latency="lognormal", latency_ms=8, latency_spread=0.4)
THROTTLING = Faults(latency="lognormal", latency_ms=8, latency_spread=0.4, rate_429=0.05)
DOWN = Faults(latency="lognormal", latency_ms=8, latency_spread=0.4, outage="unavailable")
Mark = Callable[[str], None]


async def kill_devices(simulators: SimulatorClient, people: People) -> None:
    """Let the providers forget the dead devices; they died this moment, after they were registered."""
    gone = TokenEntry("unregistered")
    await simulators.set_tokens("apns", dict.fromkeys(people.dead_tokens(apns=True), gone))
    await simulators.set_tokens("fcm", dict.fromkeys(people.dead_tokens(apns=False), gone))


async def run_weather(simulators: SimulatorClient, plan: Plan, mark: Mark) -> None:
    """Let APNs throttle and fail as planned; mark: told what begins and what ends."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    steps = (
        (plan.throttled_s[0], THROTTLING, "APNs answers 5 % with 429"),
        (plan.throttled_s[1], FAIR, "APNs is well again"),
        (plan.outage_s[0], DOWN, "APNs is down: everything 503"),
        (plan.outage_s[1], FAIR, "APNs is back"),
    )
    for at_s, faults, text in steps:
        await asyncio.sleep(max(0.0, start_s + at_s - loop.time()))
        await simulators.set_faults("apns", faults)
        mark(text)
