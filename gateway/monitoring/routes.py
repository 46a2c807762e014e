"""The dashboard of providers and apps: each route by itself, and the reasons that providers give."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from gateway.monitoring.overview import BREAKER_STATES
from gateway.monitoring.panels import JOB, LANE, ROUTE, Levels, Query, board, choice, lines, states

_RATE = "[$__rate_interval]"
_BY_ROUTE = "{{provider}} {{app}}"


def routes() -> Dashboard:
    """Return the dashboard."""
    return board(
        "walletpush-routes", "walletpush / Providers and apps",
        "Each app on each provider: requests, answers by reason, latency, connections, credentials and devices.",
        (
            choice("job", "Job", "walletpush_workers"),
            choice("provider", "Provider", "walletpush_deliveries_sent_total"),
            choice("app", "App", "walletpush_deliveries_sent_total"),
            choice("class", "Class", "walletpush_queue_depth"),
        ),
        (
            ("Requests and answers", _answers()),
            ("Latency and connections", _connections()),
            ("What holds deliveries back", _brakes()),
            ("Devices and credentials", _devices()),
        ),
    )  # fmt: skip


def _rate_of(metric: str, by: str = "provider, app", also: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{ROUTE}{also}}}{_RATE}))"


def _answers() -> Sequence[Builder[Panel]]:
    return (
        lines("Requests sent", "Requests written to a provider, repeated ones included.", "cps",
              Query(_rate_of("walletpush_deliveries_sent_total"), _BY_ROUTE), width=12),
        lines("Delivered", "Deliveries that a provider took.", "cps",
              Query(_rate_of("walletpush_deliveries_delivered_total"), _BY_ROUTE), width=12),
        lines("Failed by reason", "Deliveries given up, by the provider's own word for it.", "cps",
              Query(f"topk(10, {_rate_of('walletpush_deliveries_failed_total', 'provider, reason')})",
                    "{{provider}} {{reason}}"), runbook="WalletpushDeliveryErrors"),
        lines("Repeated by reason", "Attempts that will be made again, by the provider's own word for it.", "cps",
              Query(f"topk(10, {_rate_of('walletpush_deliveries_retried_total', 'provider, reason')})",
                    "{{provider}} {{reason}}"), runbook="WalletpushAttemptsRepeated"),
        lines("Answers that never came", "Requests written whose connection died or whose time ran out; the device may "
              "have heard.", "cps", Query(_rate_of("walletpush_deliveries_uncertain_total"), _BY_ROUTE)),
    )  # fmt: skip


def _connections() -> Sequence[Builder[Panel]]:
    return (
        lines("Latency, median", "From a request written to its answer, one value per batch.", "s",
              Query(f"job_provider_app:walletpush_provider_seconds:p50_rate5m{{{ROUTE}}}", _BY_ROUTE), width=6),
        lines("Latency, p99", "From a request written to its answer, one value per batch.", "s",
              Query(f"job_provider_app:walletpush_provider_seconds:p99_rate5m{{{ROUTE}}}", _BY_ROUTE),
              levels=Levels(1, 2.5), runbook="WalletpushProviderSlow", width=6),
        lines("Streams per connection", "Requests in flight on each connection; APNs allows about 1,000, FCM 100.",
              "short",
              Query(f"sum by (provider, app) (walletpush_streams{{{ROUTE}}}) "
                    f"/ (sum by (provider, app) (walletpush_connections{{{ROUTE}}}) > 0)", _BY_ROUTE), width=6),
        lines("Connections", "Connections that take requests, over all workers.", "short",
              Query(f"sum by (provider, app) (walletpush_connections{{{ROUTE}}})", _BY_ROUTE),
              runbook="WalletpushProviderUnreachable", width=6),
        lines("Connections opened", "Connections that came up.", "cps",
              Query(_rate_of("walletpush_connection_events_total", also=', event="opened"'), _BY_ROUTE)),
        lines("Connections lost and refused", "Connections that ended, and attempts that came to nothing.", "cps",
              Query(_rate_of("walletpush_connection_events_total", "provider, app, event", ', event!="opened"'),
                    "{{provider}} {{app}} {{event}}"), runbook="WalletpushProviderUnreachable"),
        states("Breakers", "While a breaker is open nothing but probes is sent; the worst worker's.",
               Query(f"max by (provider, app) (walletpush_breaker_state{{{ROUTE}}})", _BY_ROUTE), BREAKER_STATES,
               runbook="WalletpushBreakerOpen"),
    )  # fmt: skip


def _brakes() -> Sequence[Builder[Panel]]:
    return (
        lines("Breakers opened", "How often breakers opened.", "cps",
              Query(_rate_of("walletpush_breaker_opened_total"), _BY_ROUTE), runbook="WalletpushBreakerOpen", width=6),
        lines("Held by rate limits", "Deliveries that had to wait for a token.", "cps",
              Query(_rate_of("walletpush_deliveries_limited_total"), _BY_ROUTE), width=6),
        lines("Queue depth", "Deliveries that wait, of the classes chosen above.", "short",
              Query(f"sum by (provider, app) (walletpush_queue_depth{{{LANE}}})", _BY_ROUTE), width=6),
        lines("Queue age", "How long the oldest delivery has waited, of the classes chosen above.", "s",
              Query(f"max by (provider, app) (walletpush_queue_oldest_age_seconds{{{LANE}}})", _BY_ROUTE),
              runbook="WalletpushUrgentQueueOld", width=6),
    )  # fmt: skip


def _devices() -> Sequence[Builder[Panel]]:
    return (
        lines("Registered devices", "Devices in the registry, counted about twice a minute.", "short",
              Query(f"max by (provider, app) (walletpush_devices_registered{{{ROUTE}}})", _BY_ROUTE), width=6),
        lines("Dead tokens", "Tokens removed from the registry, and tokens that the mass-death guard kept.", "cps",
              Query(_rate_of("walletpush_devices_retired_total"), f"{_BY_ROUTE} removed"),
              Query(_rate_of("walletpush_devices_retire_held_total"), f"{_BY_ROUTE} kept"),
              runbook="WalletpushDeadTokens", width=6),
        lines("Tokens on hold", "Dead tokens that wait for somebody to look.", "short",
              Query(f'sum by (app) (walletpush_devices_on_hold{{{JOB}, app=~"$app"}})', "{{app}}"),
              runbook="WalletpushMassDeathHold", width=6),
        lines("Credentials", "Provider tokens made or fetched, and attempts that failed.", "cps",
              Query(_rate_of("walletpush_token_refreshes_total", "provider, app, result"),
                    "{{provider}} {{app}} {{result}}"), runbook="WalletpushCredentialRefreshFailing", width=6),
    )  # fmt: skip
