"""The troubles of the demonstration: dead tokens, a provider that throttles, a provider that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from adapters.simulators.client import SimulatorClient
from adapters.simulators.faults import Faults
from adapters.simulators.settings import Provider
from adapters.simulators.token_book import TokenEntry
from gateway.demo.people import People
from gateway.demo.plan import Plan

# Real providers answer some milliseconds later, and are not the bottleneck that these are on the same host: with the
# 1,000 streams a connection that APNs allows, a campaign would queue inside the simulator instead of in our lanes.
FAIR = Faults(latency="lognormal", latency_ms=8, latency_spread=0.4, max_concurrent_streams=100)
THROTTLING = replace(FAIR, rate_429=0.05)
DOWN = replace(FAIR, outage="unavailable", retry_after_s=1)
Mark = Callable[[str], None]


async def kill_devices(simulators: SimulatorClient, people: People) -> None:
    """Let the providers forget the dead devices; they died this moment, after they were registered."""
    gone = TokenEntry("unregistered")
    await simulators.set_tokens("apns", dict.fromkeys(people.dead_tokens(apns=True), gone))
    await simulators.set_tokens("fcm", dict.fromkeys(people.dead_tokens(apns=False), gone))


async def run_weather(simulators: SimulatorClient, plan: Plan, mark: Mark) -> None:
    """Let the providers throttle and fail as planned; mark: told what begins and what ends."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for at_s, provider, faults, text in _steps(plan):
        await asyncio.sleep(max(0.0, start_s + at_s - loop.time()))
        await simulators.set_faults(provider, faults)
        mark(text)


def _steps(plan: Plan) -> tuple[tuple[float, Provider, Faults, str], ...]:
    return (
        (plan.throttled_s[0], "apns", THROTTLING, "APNs answers 5 % with 429"),
        (plan.throttled_s[1], "apns", FAIR, "APNs is well again"),
        (plan.apns_outage_s[0], "apns", DOWN, "APNs is down: everything 503"),
        (plan.apns_outage_s[1], "apns", FAIR, "APNs is back"),
        (plan.fcm_outage_s[0], "fcm", DOWN, "FCM is down: everything 503"),
        (plan.fcm_outage_s[1], "fcm", FAIR, "FCM is back"),
    )
