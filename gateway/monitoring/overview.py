"""The dashboard that an operator looks at first."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from gateway.monitoring.panels import CLASS, JOB, LANE, ROUTE, Levels, Query, board, choice, lines, number, states

BREAKER_STATES = (("closed", "green"), ("half open", "yellow"), ("open", "red"))
_RATE = "[$__rate_interval]"
_URGENT = 'class=~"security|transactional"'
_COMMITS = f"sum by (le) (rate(walletpush_journal_commit_seconds_bucket{{{JOB}}}{_RATE}))"


def overview() -> Dashboard:
    """Return the dashboard."""
    return board(
        "walletpush-overview", "walletpush / Overview",
        "Traffic, deliveries, what waits, how long it takes, and how much of the latency budget is left.",
        (
            choice("job", "Job", "walletpush_workers"),
            choice("provider", "Provider", "walletpush_deliveries_sent_total"),
            choice("app", "App", "walletpush_deliveries_sent_total"),
            choice("class", "Class", "walletpush_notifications_accepted_total"),
        ),
        (
            ("Is it well?", _health()),
            ("Traffic", _traffic()),
            ("Whom, when and what", _rules()),
            ("Providers", _providers()),
            ("What waits", _waiting()),
            ("Latency", _latency()),
            ("Latency objective: 99.9 % of urgent notices within a second", _objective()),
            ("Resources", _resources()),
        ),
    )  # fmt: skip


def _health() -> Sequence[Builder[Panel]]:
    return (
        number("Accepted", "Notifications made durable and acknowledged.", "cps",
               Query(f"sum(rate(walletpush_notifications_accepted_total{{{CLASS}}}{_RATE}))")),
        number("Delivered", "Deliveries that a provider took.", "cps",
               Query(f"sum(rate(walletpush_deliveries_delivered_total{{{ROUTE}}}{_RATE}))")),
        number("Error rate", "Share of the deliveries given up, dead tokens not counted; the worst route's.",
               "percentunit", Query(f"max(job_provider_app:walletpush_delivery_errors:ratio_rate5m{{{ROUTE}}})"),
               levels=Levels(0.01, 0.05), runbook="WalletpushDeliveryErrors"),
        number("Oldest urgent notice", "How long the oldest security or transactional notice waits.", "s",
               Query(f"max(walletpush_queue_oldest_age_seconds{{{ROUTE}, {_URGENT}}})"),
               levels=Levels(2, 10), runbook="WalletpushUrgentQueueOld"),
        number("Late, last hour", "Share of urgent notices that took longer than a second; the objective is at most "
               "0.1 %.", "percentunit", Query(f"max(job_class:walletpush_late:ratio_rate1h{{{CLASS}}})"),
               levels=Levels(0.001, 0.0144), runbook="WalletpushLatencyBudgetBurnsFast"),
        number("Workers ready", "Share of the workers that take notifications.", "percentunit",
               Query(f"sum(walletpush_workers_ready{{{JOB}}}) / sum(walletpush_workers{{{JOB}}})"),
               levels=Levels(1, 0.5), runbook="WalletpushWorkersMissing"),
    )  # fmt: skip


def _traffic() -> Sequence[Builder[Panel]]:
    return (
        lines("Accepted by class", "Notifications made durable and acknowledged.", "cps",
              Query(f"sum by (class) (rate(walletpush_notifications_accepted_total{{{CLASS}}}{_RATE}))", "{{class}}"),
              stacked=True),
        lines("Turned away", "Refused by reason, repeated by their key, and shed because something bounded is full.",
              "cps",
              Query(f"sum by (reason) (rate(walletpush_notifications_rejected_total{{{JOB}}}{_RATE}))", "{{reason}}"),
              Query(f"sum(rate(walletpush_notifications_duplicate_total{{{CLASS}}}{_RATE}))", "duplicate"),
              Query(f"sum by (resource) (rate(walletpush_queue_full_total{{{JOB}}}{_RATE}) > 0)", "full: {{resource}}"),
              runbook="WalletpushShed"),
        lines("Delivery outcomes", "What became of deliveries, by provider.", "cps",
              Query(f"sum by (provider) (rate(walletpush_deliveries_delivered_total{{{ROUTE}}}{_RATE}))",
                    "{{provider}} delivered"),
              Query(f"sum by (provider) (rate(walletpush_deliveries_failed_total{{{ROUTE}}}{_RATE}))",
                    "{{provider}} failed"),
              Query(f"sum by (provider) (rate(walletpush_deliveries_retried_total{{{ROUTE}}}{_RATE}))",
                    "{{provider}} to be repeated"),
              Query(f"sum(rate(walletpush_deliveries_expired_total{{{CLASS}}}{_RATE}))", "expired in the queue"),
              runbook="WalletpushDeliveryErrors"),
    )  # fmt: skip


def _rules() -> Sequence[Builder[Panel]]:
    return (
        lines("Held back by reason", "Deliveries not made: by the user's word, the hour, a cap, the content.", "cps",
              Query(f"sum by (reason) (rate(walletpush_deliveries_suppressed_total{{{CLASS}}}{_RATE}))", "{{reason}}"),
              stacked=True),
        lines("Told to wait by reason", "Users whose message waits for an hour or for room under a cap.", "cps",
              Query(f"sum by (reason) (rate(walletpush_deliveries_deferred_total{{{CLASS}}}{_RATE}))", "{{reason}}"),
              stacked=True),
        lines("Frequency counters", "How full they are; without room marketing waits.", "percentunit",
              Query(f"walletpush_frequency_entries{{{JOB}}} / walletpush_frequency_limit_entries{{{JOB}}}",
                    "{{instance}}"), levels=Levels(0.7, 0.85), runbook="WalletpushFrequencyCountersFill"),
    )  # fmt: skip


def _providers() -> Sequence[Builder[Panel]]:
    return (
        lines("Error rate", "Share of the deliveries given up, dead tokens not counted.", "percentunit",
              Query(f"job_provider_app:walletpush_delivery_errors:ratio_rate5m{{{ROUTE}}}", "{{provider}} {{app}}"),
              levels=Levels(0.01, 0.05), runbook="WalletpushDeliveryErrors"),
        lines("Dead tokens", "Share of the devices that their provider calls gone.", "percentunit",
              Query(f"job_provider_app:walletpush_dead_tokens:ratio_rate5m{{{ROUTE}}}", "{{provider}} {{app}}"),
              levels=Levels(0.05, 0.1), runbook="WalletpushDeadTokens"),
        states("Breakers", "While a breaker is open nothing but probes is sent; the worst worker's.",
               Query(f"max by (provider, app) (walletpush_breaker_state{{{ROUTE}}})", "{{provider}} {{app}}"),
               BREAKER_STATES, runbook="WalletpushBreakerOpen"),
        lines("Provider latency", "From a request written to its answer, one value per batch.", "s",
              Query(f"job_provider_app:walletpush_provider_seconds:p50_rate5m{{{ROUTE}}}", "{{provider}} {{app}} p50"),
              Query(f"job_provider_app:walletpush_provider_seconds:p99_rate5m{{{ROUTE}}}", "{{provider}} {{app}} p99"),
              runbook="WalletpushProviderSlow"),
        lines("Requests in flight", "Streams that a provider has not answered.", "short",
              Query(f"sum by (provider, app) (walletpush_streams{{{ROUTE}}})", "{{provider}} {{app}}")),
        lines("Connections", "Connections that take requests, over all workers.", "short",
              Query(f"sum by (provider, app) (walletpush_connections{{{ROUTE}}})", "{{provider}} {{app}}"),
              runbook="WalletpushProviderUnreachable"),
    )  # fmt: skip


def _waiting() -> Sequence[Builder[Panel]]:
    return (
        lines("Queue depth by lane", "Deliveries that wait for a stream, a rate limit or a breaker.", "short",
              Query(f"sum by (class) (walletpush_queue_depth{{{LANE}}})", "{{class}}"), stacked=True),
        lines("Queue age by lane", "How long the oldest delivery of a lane has waited.", "s",
              Query(f"max by (class) (walletpush_queue_oldest_age_seconds{{{LANE}}})", "{{class}}"),
              runbook="WalletpushUrgentQueueOld"),
        lines("Pending", "Accepted deliveries without a final state: waiting, on the wire, or between attempts.",
              "short", Query(f"sum(walletpush_deliveries_pending{{{JOB}}})", "pending"), runbook="WalletpushShed"),
    )  # fmt: skip


def _latency() -> Sequence[Builder[Panel]]:
    return (
        lines("Delivery latency, median", "From accepted to the provider's last answer, retries included.", "s",
              Query(f"job_class:walletpush_delivery_seconds:p50_rate5m{{{CLASS}}}", "{{class}}")),
        lines("Delivery latency, p99", "From accepted to the provider's last answer, retries included.", "s",
              Query(f"job_class:walletpush_delivery_seconds:p99_rate5m{{{CLASS}}}", "{{class}}"),
              runbook="WalletpushLatencyBudgetBurnsFast"),
        lines("Journal commit", "Every accepted notification waits for a commit.", "s",
              Query(f"histogram_quantile(0.5, {_COMMITS})", "p50"),
              Query(f"histogram_quantile(0.99, {_COMMITS})", "p99"),
              runbook="WalletpushJournalSlow"),
    )  # fmt: skip


def _objective() -> Sequence[Builder[Panel]]:
    windows = ("5m", "30m", "1h", "6h", "3d")
    burn = [
        Query(f"max(job_class:walletpush_late:ratio_rate{window}{{{CLASS}}}) / 0.001", window) for window in windows
    ]
    return (
        lines("Burn rate", "How many times faster than allowed the latency budget is used up, by window. 14.4 in the "
              "last hour and 5 minutes, or 6 in 6 hours and 30 minutes, wakes somebody.", "short", *burn,
              levels=Levels(6, 14.4), runbook="WalletpushLatencyBudgetBurnsFast", width=12),
        lines("Late notices", "Share of urgent notices that took longer than a second, by class.", "percentunit",
              Query(f"job_class:walletpush_late:ratio_rate5m{{{CLASS}}}", "{{class}}"), levels=Levels(0.001, 0.0144),
              runbook="WalletpushLatencyBudgetBurns", width=12),
    )  # fmt: skip


def _resources() -> Sequence[Builder[Panel]]:
    return (
        lines("Memory", "Resident memory, what processes share counted in each.", "bytes",
              Query(f"sum by (process) (walletpush_process_resident_memory_bytes{{{JOB}}})", "{{process}}"),
              stacked=True, runbook="WalletpushMemoryGrows"),
        lines("CPU", "Cores in use.", "short",
              Query(f"sum by (process) (rate(walletpush_process_cpu_seconds_total{{{JOB}}}{_RATE}))", "{{process}}"),
              stacked=True),
        lines("Event loop lag, p99", "How late timers run; everything in a worker waits as long.", "s",
              Query(f"job_instance:walletpush_event_loop_lag_seconds:p99_rate5m{{{JOB}}}", "{{instance}}"),
              levels=Levels(0.05, 0.25), runbook="WalletpushEventLoopBlocked"),
    )  # fmt: skip
