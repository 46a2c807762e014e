"""What the gateway counts; `metric_table` lists it for people. Each call takes a whole batch, never one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from core.model import Environment, NotificationClass, Provider
from gateway.metric_families import Spec, counters, gauges, histograms

BreakerState = Literal["closed", "half_open", "open"]
Result = Literal["ok", "failed"]
Stage = Literal["intake", "journal", "plan", "queue"]
Task = Literal["deferral", "erasure", "intake", "planning", "recheck", "record", "retention", "revival", "rpc"]
BREAKER_STATES: tuple[BreakerState, ...] = ("closed", "half_open", "open")
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ROWS = (1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10000.0)
ROUTE = ("provider", "app")
# What is bounded and sheds; those of pending are by class, as marketing goes first and payments last.
RESOURCES = (*(f"pending_{one.name.lower()}" for one in NotificationClass), "journal", "dedup_window", "retirements")
TASKS: tuple[Task, ...] = get_args(Task)
# What users' words, hours and caps keep back, of the classes that mind them.
HELD_CLASSES = (NotificationClass.SERVICE, NotificationClass.MARKETING)
HELD = {
    "suppressed": ("NO_CONSENT", "USER_CATEGORY_CHANNEL", "SUPPRESSED", "FREQUENCY_CAP", "VENDOR_QUOTA", "COLLAPSED"),
    "deferred": ("QUIET_HOURS", "FREQUENCY_CAP", "VENDOR_QUOTA"),
}

COUNTERS = {
    "accepted": Spec("walletpush_notifications_accepted", ("class",), "Notifications durable and acknowledged."),
    "duplicate": Spec("walletpush_notifications_duplicate", ("class",), "Notifications whose key was known."),
    "rejected": Spec("walletpush_notifications_rejected", ("reason",), "Notifications refused, by error."),
    "suppressed": Spec("walletpush_deliveries_suppressed", ("class", "reason"), "Deliveries not made, by reason."),
    "deferred": Spec("walletpush_deliveries_deferred", ("class", "reason"), "Users told to wait by a rule, by reason."),
    "expired": Spec("walletpush_deliveries_expired", ("class",), "Deliveries too late to be sent."),
    "cancelled": Spec("walletpush_deliveries_cancelled", ("class",), "Deliveries withdrawn by their caller."),
    "sent": Spec("walletpush_deliveries_sent", ROUTE, "Requests written to a provider, retries included."),
    "delivered": Spec("walletpush_deliveries_delivered", ROUTE, "Deliveries the provider took."),
    "failed": Spec("walletpush_deliveries_failed", (*ROUTE, "reason"), "Deliveries given up, by reason."),
    "retried": Spec("walletpush_deliveries_retried", (*ROUTE, "reason"), "Attempts that will be repeated, by reason."),
    "possibly_delivered": Spec("walletpush_deliveries_uncertain", ROUTE, "Requests written whose answer never came."),
    "recovered": Spec("walletpush_notifications_recovered", (), "Unfinished notifications found at start."),
    "retired": Spec("walletpush_devices_retired", ROUTE, "Dead device tokens removed from the registry."),
    "mass_death": Spec("walletpush_devices_retire_held", ROUTE, "Dead device tokens kept by the mass-death guard."),
    "limited": Spec("walletpush_deliveries_limited", ROUTE, "Deliveries that had to wait for a rate limit."),
    "queue_full": Spec("walletpush_queue_full", ("resource",), "Requests shed because a bounded resource was full."),
    "connection": Spec("walletpush_connection_events", (*ROUTE, "event"), "Connections opened, lost, refused."),
    "breaker_opened": Spec("walletpush_breaker_opened", ROUTE, "Times a breaker opened."),
    "token_refresh": Spec("walletpush_token_refreshes", (*ROUTE, "result"), "Provider credentials made or fetched."),
    "journal_bytes": Spec("walletpush_journal_written_bytes", (), "Bytes committed."),
    "commit_failed": Spec("walletpush_journal_commit_failures", (), "Commits that the disk did not take."),
    "rpc": Spec("walletpush_rpcs", ("method", "code"), "Calls ended, by gRPC code."),
    "task_failure": Spec("walletpush_task_failures", ("task",), "Unforeseen errors caught at the top of a task."),
    "purged": Spec("walletpush_purged_rows", ("table",), "Rows removed because their retention ended."),
    "reload": Spec("walletpush_reloads", ("result",), "Times the settings were read again."),
    "spans": Spec("walletpush_spans_sent", (), "Spans of traces that the receiver took."),
    "spans_dropped": Spec("walletpush_spans_dropped", ("reason",), "Spans of traces that were dropped, by reason."),
    "gc": Spec("walletpush_gc_collections", ("generation",), "Runs of Python's cycle collector."),
    "gc_pause": Spec("walletpush_gc_pause_seconds", ("generation",), "Time in Python's cycle collector."),
}
GAUGES = {
    "pending": Spec("walletpush_deliveries_pending", (), "Accepted deliveries that have no final state."),
    "queue_depth": Spec("walletpush_queue_depth", (*ROUTE, "class"), "Deliveries that wait, by lane."),
    "queue_age": Spec("walletpush_queue_oldest_age_seconds", (*ROUTE, "class"), "Age of a lane's oldest.", "livemax"),
    "connections": Spec("walletpush_connections", ROUTE, "Provider connections that take requests."),
    "streams": Spec("walletpush_streams", ROUTE, "Requests a provider has not answered."),
    "breaker": Spec("walletpush_breaker_state", ROUTE, "0 closed, 1 half open, 2 open; the worst worker's.", "livemax"),
    "journal_size": Spec("walletpush_journal_size_bytes", (), "Size of the journal files."),
    "journal_fill": Spec("walletpush_journal_fill_ratio", (), "Fill of the fullest journal; 1 is full.", "livemax"),
    "journal_backlog": Spec("walletpush_journal_backlog_bytes", (), "Bytes that wait to be committed."),
    "journal_failing": Spec("walletpush_journal_failing", (), "1 if some journal's last commit failed.", "livemax"),
    "dedup_entries": Spec("walletpush_dedup_entries", (), "Idempotency keys in the window.", "livemax"),
    "dedup_limit": Spec("walletpush_dedup_limit_entries", (), "Keys that the window can hold.", "livemax"),
    "on_hold": Spec("walletpush_devices_on_hold", ("app",), "Dead tokens that the mass-death guard holds now."),
    "rpcs_active": Spec("walletpush_rpcs_active", (), "Calls under way."),
}
HISTOGRAMS = {
    "stage": Spec("walletpush_stage_seconds", ("stage",), "Time a batch spends in a stage.", buckets=SECONDS),
    "delivery": Spec("walletpush_delivery_seconds", ("class",), "From accepted to the last answer.", buckets=SECONDS),
    "provider": Spec("walletpush_provider_seconds", ROUTE, "From request written to answered.", buckets=SECONDS),
    "commit": Spec("walletpush_journal_commit_seconds", (), "Time of a journal commit.", buckets=SECONDS),
    "commit_rows": Spec("walletpush_journal_commit_rows", (), "Rows in a journal commit.", buckets=ROWS),
    "rpc": Spec("walletpush_rpc_seconds", ("method",), "Time of a call; streams when they end.", buckets=SECONDS),
    "loop_lag": Spec("walletpush_event_loop_lag_seconds", (), "How late the loop runs a timer.", buckets=SECONDS),
}


def route_label(provider: int, environment: int = Environment.PRODUCTION) -> str:
    """Return the provider label of a route: apns, apns_sandbox, fcm."""
    suffix = "_sandbox" if environment == Environment.SANDBOX else ""
    return Provider(provider).name.lower() + suffix


def metric_table() -> str:
    """Return a Markdown table of every metric, for the documentation."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for kind, specs in (("counter", COUNTERS), ("gauge", GAUGES), ("histogram", HISTOGRAMS)):
        suffix = "_total" if kind == "counter" else ""
        rows += [f"| `{s.name}{suffix}` | {kind} | {', '.join(s.labels)} | {s.help} |" for s in specs.values()]
    return "\n".join(rows) + "\n"


class Metrics:
    """Counts of one process. provider is a `route_label`; n is how many of the batch; seconds are seconds.

    A call costs one dict hit and one value, some 1 us; with several workers the value lies in a file
    (call `write_worker_files` first).
    """

    def __init__(self, apps: Iterable[str] = (), registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        known = {"app": tuple(apps)}
        self._counters = {name: counters(spec, self.registry, known) for name, spec in COUNTERS.items()}
        self._gauges = {name: gauges(spec, self.registry, known) for name, spec in GAUGES.items()}
        self._histograms = {name: histograms(spec, self.registry, known) for name, spec in HISTOGRAMS.items()}
        self._accepted = self._counters["accepted"].child
        self._sent = self._counters["sent"].child
        self._delivered = self._counters["delivered"].child
        self._stage = self._histograms["stage"].child
        self._delivery = self._histograms["delivery"].child
        self._provider = self._histograms["provider"].child
        self._rpc = self._counters["rpc"].child
        self._rpc_seconds = self._histograms["rpc"].child
        self._rpcs_active = self._gauges["rpcs_active"].child()
        self._show_zeros()

    def _show_zeros(self) -> None:
        # rate() and increase() see nothing of a counter that begins at 1: what is seldom must be there before.
        for klass in NotificationClass:
            for name in ("accepted", "duplicate", "expired", "cancelled"):
                self._counters[name].child(klass)
        for name, labels in (("queue_full", RESOURCES), ("task_failure", TASKS), ("reload", ("ok", "failed"))):
            for label in labels:
                self._counters[name].child(label)
        self._counters["commit_failed"].child()
        for klass in HELD_CLASSES:
            for name, reasons in HELD.items():
                for reason in reasons:
                    self._counters[name].child(klass, reason)

    def show_route(self, provider: str, app: str) -> None:
        """Show a route's counters at 0, so that their first event is seen as a growth."""
        for name, spec in COUNTERS.items():
            if spec.labels == ROUTE:
                self._counters[name].child(provider, app)

    def accepted(self, klass: NotificationClass | int, n: int) -> None:
        """Count notifications that are durable and acknowledged."""
        self._accepted(klass).inc(n)

    def duplicate(self, klass: NotificationClass | int, n: int) -> None:
        """Count notifications whose idempotency key was known."""
        self._counters["duplicate"].child(klass).inc(n)

    def rejected(self, reason: str, n: int) -> None:
        """Count notifications that were refused; reason is the error's class or the verdict on its key."""
        self._counters["rejected"].child(reason).inc(n)

    def suppressed(self, klass: NotificationClass | int, reason: str, n: int) -> None:
        """Count deliveries that policy stopped."""
        self._counters["suppressed"].child(klass, reason).inc(n)

    def deferred(self, klass: NotificationClass | int, reason: str, n: int) -> None:
        """Count users of notifications whom a rule told to wait."""
        self._counters["deferred"].child(klass, reason).inc(n)

    def expired(self, klass: NotificationClass | int, n: int) -> None:
        """Count deliveries that were too late."""
        self._counters["expired"].child(klass).inc(n)

    def cancelled(self, klass: NotificationClass | int, n: int) -> None:
        """Count deliveries that their caller withdrew."""
        self._counters["cancelled"].child(klass).inc(n)

    def sent(self, provider: str, app: str, n: int) -> None:
        """Count requests written to a provider."""
        self._sent(provider, app).inc(n)

    def delivered(self, provider: str, app: str, n: int) -> None:
        """Count deliveries that the provider took."""
        self._delivered(provider, app).inc(n)

    def failed(self, provider: str, app: str, reason: str, n: int) -> None:
        """Count deliveries that were given up."""
        self._counters["failed"].child(provider, app, reason).inc(n)

    def retried(self, provider: str, app: str, reason: str, n: int) -> None:
        """Count attempts that will be repeated."""
        self._counters["retried"].child(provider, app, reason).inc(n)

    def possibly_delivered(self, provider: str, app: str, n: int) -> None:
        """Count requests whose answer never came."""
        self._counters["possibly_delivered"].child(provider, app).inc(n)

    def recovered(self, n: int) -> None:
        """Count unfinished notifications found in the journal at start."""
        self._counters["recovered"].child().inc(n)

    def retired(self, provider: str, app: str, n: int) -> None:
        """Count dead tokens that were removed."""
        self._counters["retired"].child(provider, app).inc(n)

    def retire_held(self, provider: str, app: str, n: int) -> None:
        """Count dead tokens that the mass-death guard kept."""
        self._counters["mass_death"].child(provider, app).inc(n)

    def limited(self, provider: str, app: str, n: int) -> None:
        """Count deliveries that had to wait for a rate limit."""
        self._counters["limited"].child(provider, app).inc(n)

    def queue_full(self, resource: str, n: int = 1) -> None:
        """Count requests shed because this resource was full."""
        self._counters["queue_full"].child(resource).inc(n)

    def connection_event(self, provider: str, app: str, event: str, n: int) -> None:
        """Count events of provider connections: opened, lost, refused."""
        self._counters["connection"].child(provider, app, event).inc(n)

    def token_refresh(self, provider: str, app: str, result: Result, n: int) -> None:
        """Count credentials that were made or fetched, or could not be."""
        self._counters["token_refresh"].child(provider, app, result).inc(n)

    def task_failure(self, task: Task) -> None:
        """Count an error caught at the top of a task."""
        self._counters["task_failure"].child(task).inc()

    def purged(self, table: str, n: int) -> None:
        """Count rows that were removed because they were old; 0 shows the counter."""
        self._counters["purged"].child(table).inc(n)

    def reload(self, result: Result) -> None:
        """Count a reload of the settings."""
        self._counters["reload"].child(result).inc()

    def stage_seconds(self, stage: Stage, seconds: float, n: int = 1) -> None:
        """Observe how long a batch took in a stage; n > 1 weighs it by its messages."""
        self._stage(stage).observe_same(seconds, n)

    def provider_seconds(self, provider: str, app: str, seconds: float, n: int) -> None:
        """Observe how long a batch of n answers took, as one value."""
        self._provider(provider, app).observe_same(seconds, n)

    def delivery_seconds(self, klass: NotificationClass | int, runs: Sequence[tuple[float, int]]) -> None:
        """Observe the times from accepted to the last answer of one batch, each with how many there are of it."""
        self._delivery(klass).observe_runs(runs)

    def spans_sent(self, n: int) -> None:
        """Count spans that the receiver of traces took; from any thread."""
        self._counters["spans"].child().inc(n)

    def spans_dropped(self, reason: str, n: int) -> None:
        """Count spans that no receiver will see; from any thread."""
        self._counters["spans_dropped"].child(reason).inc(n)

    def journal_commit(self, rows: int, size_bytes: int, seconds: float) -> None:
        """Observe one commit."""
        self._counters["journal_bytes"].child().inc(size_bytes)
        self._histograms["commit"].child().observe_same(seconds, 1)
        self._histograms["commit_rows"].child().observe_same(rows, 1)

    def journal(self, size_bytes: int, limit_bytes: int, backlog_bytes: int, failing: bool) -> None:
        """Set how full this worker's journal is, and whether its last commit failed."""
        self._gauges["journal_size"].child().set(size_bytes)
        self._gauges["journal_fill"].child().set(size_bytes / limit_bytes)
        self._gauges["journal_backlog"].child().set(backlog_bytes)
        self._gauges["journal_failing"].child().set(failing)

    def journal_failures(self, n: int) -> None:
        """Count commits that failed."""
        self._counters["commit_failed"].child().inc(n)

    def dedup(self, entries: int, limit: int) -> None:
        """Set how full the dedup window is, which all workers share."""
        self._gauges["dedup_entries"].child().set(entries)
        self._gauges["dedup_limit"].child().set(limit)

    def on_hold(self, app: str, tokens: int) -> None:
        """Set how many dead tokens of an app the mass-death guard holds back."""
        self._gauges["on_hold"].child(app).set(tokens)

    def loop_lag(self, seconds: float) -> None:
        """Observe how late the event loop ran a timer."""
        self._histograms["loop_lag"].child().observe_same(seconds, 1)

    def gc(self, generation: int, collections: int, seconds: float) -> None:
        """Count runs of the cycle collector and their time."""
        self._counters["gc"].child(generation).inc(collections)
        self._counters["gc_pause"].child(generation).inc(seconds)

    def pending(self, n: int) -> None:
        """Set how many deliveries have no final state."""
        self._gauges["pending"].child().set(n)

    def queue(self, provider: str, app: str, klass: NotificationClass | int, depth: int, oldest_age_s: float) -> None:
        """Set the depth and age of one lane."""
        self._gauges["queue_depth"].child(provider, app, klass).set(depth)
        self._gauges["queue_age"].child(provider, app, klass).set(oldest_age_s)

    def connections(self, provider: str, app: str, up: int, streams: int) -> None:
        """Set how many connections of a route take requests, and how many requests they carry."""
        self._gauges["connections"].child(provider, app).set(up)
        self._gauges["streams"].child(provider, app).set(streams)

    def breaker(self, provider: str, app: str, state: BreakerState) -> None:
        """Set a breaker's state, at a change; an opening is counted too."""
        self._gauges["breaker"].child(provider, app).set(BREAKER_STATES.index(state))
        if state == "open":
            self._counters["breaker_opened"].child(provider, app).inc()

    def rpc_started(self) -> None:
        """Note that a call is under way."""
        self._rpcs_active.inc()

    def rpc_ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call and its time; code is gRPC's name for it."""
        self._rpcs_active.dec()
        self._rpc(method, code).inc()
        self._rpc_seconds(method).observe_same(seconds, 1)
