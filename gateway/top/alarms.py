"""What of a snapshot somebody should look at; bounds as in gateway/monitoring/rules/alerts.yml, but at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.top.figures import ClassFigures, RouteFigures, Snapshot, StoreFigures

OLDEST_S = {"security": 10.0, "transactional": 10.0, "service": 300.0, "marketing": 3_600.0}
URGENT = frozenset({"pending_security", "pending_transactional", "journal", "dedup_window"})
MAX_FAILED, MAX_RETRIED = 0.05, 0.2
MAX_PROVIDER_MS, MAX_COMMIT_MS, MAX_LAG_MS = 2_500.0, 250.0, 250.0
MAX_JOURNAL_FILL, MAX_DEDUP_FILL = 0.8, 0.85
Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One of them, in a few words."""

    severity: Severity
    text: str


def alarms(now: Snapshot) -> tuple[Alarm, ...]:
    """Return what is wrong, the worst first."""
    found = [*_of_workers(now)]
    for route in now.routes:
        found += _of_route(route)
    for one in now.classes:
        found += _of_class(one)
    found += _of_stores(now.stores)
    return tuple(sorted(found, key=lambda alarm: alarm.severity))


def _of_workers(now: Snapshot) -> Iterator[Alarm]:
    if now.workers_ready < now.workers:
        yield Alarm("critical", f"{now.workers_ready} of {now.workers} workers are ready")
    for resource, per_s in now.shed_per_s.items():
        severity: Severity = "critical" if resource in URGENT else "warning"
        yield Alarm(severity, f"{per_s:,.0f}/s turned away: {resource} is full")
    if now.on_hold:
        yield Alarm("warning", f"{now.on_hold:,} dead tokens on hold (walletpush holds)")


def _of_route(route: RouteFigures) -> Iterator[Alarm]:
    name = f"{route.provider} {route.app}"
    if route.breaker != "closed":
        severity: Severity = "critical" if route.breaker == "open" else "warning"
        yield Alarm(severity, f"{name}: breaker {route.breaker.replace('_', ' ')}")
    if not route.connections:
        yield Alarm("critical", f"{name}: no connection")
    ended = route.delivered_per_s + route.failed_per_s
    if ended and route.failed_per_s / ended > MAX_FAILED:
        yield Alarm("warning", f"{name}: {route.failed_per_s / ended:.0%} fail")
    if route.sent_per_s and route.retried_per_s / route.sent_per_s > MAX_RETRIED:
        yield Alarm("warning", f"{name}: {min(1.0, route.retried_per_s / route.sent_per_s):.0%} are repeated")
    if route.latency.p99_ms > MAX_PROVIDER_MS:
        yield Alarm("warning", f"{name}: answers after {route.latency.p99_ms / 1_000:.1f} s")


def _of_class(one: ClassFigures) -> Iterator[Alarm]:
    if one.oldest_s > OLDEST_S[one.name]:
        severity: Severity = "critical" if OLDEST_S[one.name] <= OLDEST_S["transactional"] else "warning"
        yield Alarm(severity, f"{one.name}: the oldest waits {one.oldest_s:,.0f} s")


def _of_stores(stores: StoreFigures) -> Iterator[Alarm]:
    if stores.journal_failing:
        yield Alarm("critical", "the journal cannot be written")
    if stores.journal_fill > MAX_JOURNAL_FILL:
        yield Alarm("warning", f"a journal is {stores.journal_fill:.0%} full")
    if stores.dedup_fill > MAX_DEDUP_FILL:
        yield Alarm("warning", f"the window of idempotency keys is {stores.dedup_fill:.0%} full")
    if stores.commit.p99_ms > MAX_COMMIT_MS:
        yield Alarm("warning", f"journal commits take {stores.commit.p99_ms:,.0f} ms")
    if stores.loop_lag.p99_ms > MAX_LAG_MS:
        yield Alarm("warning", f"event loops are {stores.loop_lag.p99_ms:,.0f} ms late")
