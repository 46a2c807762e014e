"""What is shown of a gateway, reckoned from the change between two readings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.model import NotificationClass
from gateway.metrics import BREAKER_STATES, BreakerState
from gateway.top.reading import Buckets, Change

CLASSES = tuple(one.name.lower() for one in sorted(NotificationClass))
_NONE = Buckets(())


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of what ended since the last look, in ms; NaN, in JSON null, if nothing did."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class of notifications over all routes; latency: from accepted to the last answer."""

    name: str
    accepted_per_s: float
    duplicate_per_s: float
    answered_per_s: float
    waiting: int
    oldest_s: float
    latency: Latency


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One app on one provider; latency: from request written to answered."""

    provider: str
    app: str
    sent_per_s: float
    delivered_per_s: float
    failed_per_s: float
    retried_per_s: float
    waiting: int
    oldest_s: float
    in_flight: int
    connections: int
    breaker: BreakerState
    latency: Latency


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """A lane in which something waits."""

    provider: str
    app: str
    name: str
    waiting: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process; cpu: 1 is a whole core."""

    name: str
    cpu: float
    resident_bytes: int
    open_files: int


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Journals and the dedup window; fills: 1 is full. loop_lag: of the workers' event loops."""

    commit: Latency
    loop_lag: Latency
    journal_bytes: int
    journal_fill: float
    journal_backlog_bytes: int
    journal_failing: bool
    dedup_fill: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; rates and latencies over the seconds before it."""

    at_unix_s: float
    seconds: float
    version: str
    workers: int
    workers_ready: int
    pending: int
    calls_under_way: int
    on_hold: int
    accepted_per_s: float
    delivered_per_s: float
    rejected_per_s: dict[str, float]
    shed_per_s: dict[str, float]
    classes: tuple[ClassFigures, ...]
    routes: tuple[RouteFigures, ...]
    lanes: tuple[LaneFigures, ...]
    stores: StoreFigures
    processes: tuple[ProcessFigures, ...]


def snapshot(change: Change, at_unix_s: float) -> Snapshot:
    """Return what there is to show now."""
    now = change.now
    delivered = change.total_per_s("walletpush_deliveries_delivered_total")
    return Snapshot(
        at_unix_s=at_unix_s, seconds=change.seconds, version=_version(change),
        workers=int(now.total("walletpush_workers")), workers_ready=int(now.total("walletpush_workers_ready")),
        pending=int(now.total("walletpush_deliveries_pending")),
        calls_under_way=int(now.total("walletpush_rpcs_active")),
        on_hold=int(now.total("walletpush_devices_on_hold")),
        accepted_per_s=change.total_per_s("walletpush_notifications_accepted_total"), delivered_per_s=delivered,
        rejected_per_s=_happening(change, "walletpush_notifications_rejected_total", "reason"),
        shed_per_s=_happening(change, "walletpush_queue_full_total", "resource"),
        classes=_classes(change), routes=_routes(change), lanes=_lanes(change), stores=_stores(change),
        processes=_processes(change),
    )  # fmt: skip


def _classes(change: Change) -> tuple[ClassFigures, ...]:
    accepted = change.per_s("walletpush_notifications_accepted_total", "class")
    duplicate = change.per_s("walletpush_notifications_duplicate_total", "class")
    latency = change.buckets("walletpush_delivery_seconds", "class")
    waiting = change.now.by("walletpush_queue_depth", "class")
    return tuple(
        ClassFigures(
            name=name, accepted_per_s=accepted.get((name,), 0.0), duplicate_per_s=duplicate.get((name,), 0.0),
            answered_per_s=latency.get((name,), _NONE).count / change.seconds, waiting=int(waiting.get((name,), 0)),
            oldest_s=_oldest(change, "class", name), latency=_latency(latency.get((name,), _NONE)),
        )
        for name in CLASSES
    )  # fmt: skip


def _routes(change: Change) -> tuple[RouteFigures, ...]:
    names = "provider", "app"
    now = change.now
    sent, delivered, failed, retried = (
        change.per_s(f"walletpush_deliveries_{what}_total", *names)
        for what in ("sent", "delivered", "failed", "retried")
    )
    waiting, streams = now.by("walletpush_queue_depth", *names), now.by("walletpush_streams", *names)
    oldest: dict[tuple[str, ...], float] = {}
    for (provider, app, _), age_s in _ages(change).items():
        oldest[provider, app] = max(age_s, oldest.get((provider, app), 0.0))
    connections, breaker = now.by("walletpush_connections", *names), now.by("walletpush_breaker_state", *names)
    latency = change.buckets("walletpush_provider_seconds", *names)
    return tuple(
        RouteFigures(
            provider=key[0], app=key[1], sent_per_s=sent.get(key, 0.0), delivered_per_s=delivered.get(key, 0.0),
            failed_per_s=failed.get(key, 0.0), retried_per_s=retried.get(key, 0.0), waiting=int(waiting.get(key, 0)),
            oldest_s=oldest.get(key, 0.0), in_flight=int(streams.get(key, 0)), connections=int(connections.get(key, 0)),
            breaker=BREAKER_STATES[int(breaker.get(key, 0))], latency=_latency(latency.get(key, _NONE)),
        )
        for key in sorted({key for found in (waiting, connections, breaker, sent) for key in found})
    )  # fmt: skip


def _lanes(change: Change) -> tuple[LaneFigures, ...]:
    ages = _ages(change)
    depths = change.now.by("walletpush_queue_depth", "provider", "app", "class")
    return tuple(
        LaneFigures(provider=key[0], app=key[1], name=key[2], waiting=int(depth), oldest_s=ages.get(key, 0.0))
        for key, depth in sorted(depths.items())
        if depth
    )


def _stores(change: Change) -> StoreFigures:
    now = change.now
    limit = now.largest("walletpush_dedup_limit_entries")
    return StoreFigures(
        commit=_latency(change.buckets("walletpush_journal_commit_seconds").get((), _NONE)),
        loop_lag=_latency(change.buckets("walletpush_event_loop_lag_seconds").get((), _NONE)),
        journal_bytes=int(now.total("walletpush_journal_size_bytes")),
        journal_fill=now.largest("walletpush_journal_fill_ratio"),
        journal_backlog_bytes=int(now.total("walletpush_journal_backlog_bytes")),
        journal_failing=now.largest("walletpush_journal_failing") > 0,
        dedup_fill=now.largest("walletpush_dedup_entries") / limit if limit else 0.0,
    )


def _processes(change: Change) -> tuple[ProcessFigures, ...]:
    resident = change.now.by("walletpush_process_resident_memory_bytes", "process")
    files = change.now.by("walletpush_process_open_files", "process")
    cpu = change.per_s("walletpush_process_cpu_seconds_total", "process")
    return tuple(
        ProcessFigures(name=key[0], cpu=cpu.get(key, 0.0), resident_bytes=int(size), open_files=int(files.get(key, 0)))
        for key, size in sorted(resident.items())
    )


def _latency(buckets: Buckets) -> Latency:
    p50, p90, p99 = (buckets.quantile(q) * 1_000 if buckets.count else math.nan for q in (0.5, 0.9, 0.99))
    return Latency(int(buckets.count), p50, p90, p99)


def _ages(change: Change) -> dict[tuple[str, ...], float]:
    return change.now.by("walletpush_queue_oldest_age_seconds", "provider", "app", "class")


def _oldest(change: Change, label: str, value: str) -> float:
    series = change.now.of("walletpush_queue_oldest_age_seconds")
    return max((age for labels, age in series.items() if (label, value) in labels), default=0.0)


def _happening(change: Change, name: str, label: str) -> dict[str, float]:
    return {key[0]: rate for key, rate in sorted(change.per_s(name, label).items()) if rate}


def _version(change: Change) -> str:
    return next((dict(labels).get("version", "") for labels in change.now.of("walletpush_build_info")), "")
