"""The gateway's own view, read from its /metrics while the demonstration runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

BREAKER = ("closed", "half open", "OPEN")
TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """queue: deliveries that wait, by class. breakers: state by provider. retried: by reason."""

    queue: Counter[str] = field(default_factory=Counter)
    breakers: dict[str, str] = field(default_factory=dict)
    retried: Counter[str] = field(default_factory=Counter)
    retired: int = 0
    pending: int = 0


async def read_gauges(session: aiohttp.ClientSession, web_port: int) -> Gauges | None:
    """Ask once; None when the gateway does not answer now."""
    try:
        async with session.get(
            f"http://127.0.0.1:{web_port}/metrics", timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        ) as answer:
            return parse(await answer.text())
    except (aiohttp.ClientError, TimeoutError):
        return None


def parse(exposition: str) -> Gauges:
    """Take what is shown out of the metrics."""
    queue: Counter[str] = Counter()
    retried: Counter[str] = Counter()
    breakers: dict[str, str] = {}
    sums: Counter[str] = Counter()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            match sample.name:
                case "walletpush_queue_depth":
                    queue[sample.labels["class"]] += int(sample.value)
                case "walletpush_breaker_state":
                    breakers[sample.labels["provider"]] = BREAKER[int(sample.value)]
                case "walletpush_deliveries_retried_total":
                    retried[sample.labels["reason"]] += int(sample.value)
                case "walletpush_devices_retired_total" | "walletpush_deliveries_pending":
                    sums[sample.name] += int(sample.value)
    retired, pending = sums["walletpush_devices_retired_total"], sums["walletpush_deliveries_pending"]
    return Gauges(queue, breakers, retried, retired, pending)
