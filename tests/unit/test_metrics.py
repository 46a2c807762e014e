"""The metrics facade: names, bounded labels, batches."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from core.model import Environment, NotificationClass, Provider
from gateway.metric_families import MAX_SERIES, NAMES_PER_LABEL, BatchHistogram
from gateway.metrics import COUNTERS, GAUGES, HISTOGRAMS, Metrics, metric_table, route_label

PLAIN = CollectorRegistry()


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = metrics.registry.collect()
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_counts_a_batch_at_once() -> None:
    metrics = Metrics(["wallet"])
    metrics.accepted(NotificationClass.SECURITY, 500)
    metrics.accepted(0, 1)
    metrics.sent("apns", "wallet", 7)
    metrics.failed("apns", "wallet", "Unregistered", 2)
    found = samples(metrics)
    assert found["walletpush_notifications_accepted_total", ("security",)] == 501
    assert found["walletpush_deliveries_sent_total", ("apns", "wallet")] == 7
    assert found["walletpush_deliveries_failed_total", ("apns", "wallet", "Unregistered")] == 2


def test_reasons_beyond_the_bound_are_counted_as_other() -> None:
    metrics = Metrics(["wallet"])
    limit = NAMES_PER_LABEL["reason"]
    for number in range(limit + 50):
        metrics.failed("apns", "wallet", f"Reason{number}", 1)
    metrics.failed("apns", "wallet", "Reason0", 1)
    name = "walletpush_deliveries_failed_total"
    found = {labels[2]: count for (family, labels), count in samples(metrics).items() if family == name}
    assert len(found) == limit + 1
    assert found["other"] == 50
    assert found["Reason0"] == 2


def test_label_values_that_are_not_plain_words_are_other() -> None:
    metrics = Metrics()
    for reason in ("", "x" * 500, "нет", "a\nb", "\x00"):
        metrics.rejected(reason, 1)
    metrics.accepted(77, 3)
    found = samples(metrics)
    assert found["walletpush_notifications_rejected_total", ("other",)] == 5
    assert found["walletpush_notifications_accepted_total", ("other",)] == 3


def test_strangers_cannot_grow_a_family() -> None:
    metrics = Metrics()
    for number in range(NAMES_PER_LABEL["reason"] * 60):
        metrics.failed(f"p{number % 10}", f"app{number % 7}", f"r{number % NAMES_PER_LABEL['reason']}", 1)
    family = metrics._counters["failed"]
    assert len(family._series) <= MAX_SERIES + 1
    for number in range(1000):
        metrics.rejected(f"made up {number}", 1)
    assert len(metrics._counters["rejected"]._children) <= NAMES_PER_LABEL["reason"]


def test_known_apps_keep_their_name_when_strangers_came_first() -> None:
    metrics = Metrics(["wallet"])
    for number in range(NAMES_PER_LABEL["app"] + 10):
        metrics.sent("apns", f"stranger{number}", 1)
    metrics.sent("apns", "wallet", 1)
    assert samples(metrics)["walletpush_deliveries_sent_total", ("apns", "wallet")] == 1


def test_batch_histogram_equals_single_observations() -> None:
    bounds = (0.1, 1.0, 10.0)
    one = BatchHistogram("one", "x", registry=PLAIN, buckets=bounds)
    many = BatchHistogram("many", "x", registry=PLAIN, buckets=bounds)
    seen = [0.05, 0.1, 0.100001, 1.0, 5.0, 10.0, 11.0, 5.0]
    for value in seen:
        one.observe(value)
    many.observe_runs([(value, seen.count(value)) for value in dict.fromkeys(seen)])
    assert [b.get() for b in many._buckets] == [b.get() for b in one._buckets]
    assert many._sum.get() == one._sum.get()
    many.observe_same(0.1, 9)
    assert many._buckets[0].get() == one._buckets[0].get() + 9


def test_gauges_say_what_is_now() -> None:
    metrics = Metrics(["w"])
    metrics.queue("fcm", "w", NotificationClass.MARKETING, 10, 1.5)
    metrics.queue("fcm", "w", NotificationClass.MARKETING, 4, 0.5)
    metrics.connections("fcm", "w", 3, 120)
    metrics.breaker("fcm", "w", "open")
    metrics.breaker("fcm", "w", "half_open")
    found = samples(metrics)
    assert found["walletpush_queue_depth", ("fcm", "w", "marketing")] == 4
    assert found["walletpush_queue_oldest_age_seconds", ("fcm", "w", "marketing")] == 0.5
    assert found["walletpush_streams", ("fcm", "w")] == 120
    assert found["walletpush_breaker_state", ("fcm", "w")] == 1
    assert found["walletpush_breaker_opened_total", ("fcm", "w")] == 1


def test_every_method_counts_something() -> None:
    metrics = Metrics(["w"])
    metrics.duplicate(1, 1)
    metrics.suppressed(3, "quiet_hours", 1)
    metrics.deferred(NotificationClass.MARKETING, "QUIET_HOURS", 1)
    metrics.expired(3, 1)
    metrics.cancelled(3, 1)
    metrics.retried("apns", "w", "ServiceUnavailable", 1)
    metrics.possibly_delivered("apns", "w", 1)
    metrics.recovered(1)
    metrics.retired("apns", "w", 1)
    metrics.retire_held("apns", "w", 1)
    metrics.limited("apns", "w", 1)
    metrics.queue_full("pending")
    metrics.connection_event("apns", "w", "opened", 1)
    metrics.token_refresh("apns", "w", "ok", 1)
    metrics.task_failure("planning")
    metrics.reload("ok")
    metrics.purged("devices", 1)
    metrics.delivered("apns", "w", 1)
    metrics.sent("apns", "w", 1)
    metrics.failed("apns", "w", "x", 1)
    metrics.rejected("INVALID_REQUEST", 1)
    metrics.accepted(1, 1)
    metrics.breaker("apns", "w", "open")
    metrics.journal_commit(1, 1, 0.001)
    metrics.journal_failures(1)
    metrics.spans_sent(1)
    metrics.spans_dropped("queue_full", 1)
    metrics.gc(2, 1, 1.0)
    metrics.rpc_started()
    metrics.rpc_ended("/walletpush.v1.DeliveryService/Send", "OK", 0.001)
    found = samples(metrics)
    names = {name for name, _ in found if found[name, _] == 1}
    assert {f"{spec.name}_total" for spec in COUNTERS.values()} <= names


def test_names_follow_the_conventions() -> None:
    for spec in (*COUNTERS.values(), *GAUGES.values(), *HISTOGRAMS.values()):
        assert re.fullmatch("walletpush_[a-z_]+", spec.name)
        assert not spec.name.endswith("_total")
        assert spec.help.endswith(".")
    assert all(re.search("_seconds$|_rows$", spec.name) for spec in HISTOGRAMS.values())


def test_table_lists_every_metric_once() -> None:
    table = metric_table()
    for spec in (*COUNTERS.values(), *GAUGES.values(), *HISTOGRAMS.values()):
        assert len(re.findall(rf"`{spec.name}(?:_total)?`", table)) == 1


def test_sandbox_is_a_route_of_its_own() -> None:
    assert route_label(Provider.APNS, Environment.SANDBOX) == "apns_sandbox"
    assert route_label(Provider.FCM) == "fcm"
