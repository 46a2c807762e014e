"""The dashboard of a gateway's processes: what they take of the host, what stops them, and the stores below them."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from gateway.monitoring.panels import INSTANCE, Levels, Query, board, choice, lines, number

_RATE = "[$__rate_interval]"
_BY_PROCESS = "{{instance}} {{process}}"


def processes() -> Dashboard:
    """Return the dashboard."""
    return board(
        "walletpush-processes", "walletpush / Processes and stores",
        "Memory, CPU, files and event loops of supervisors and workers; calls; the journal, the registry and the disk.",
        (choice("job", "Job", "walletpush_workers"), choice("instance", "Instance", "walletpush_workers")),
        (
            ("Instances", _instances()),
            ("Processes", _resources()),
            ("Calls", _calls()),
            ("Journal", _journal()),
            ("Stores", _stores()),
        ),
    )  # fmt: skip


def _p(quantile: float, metric: str, by: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({grouped}) (rate({metric}_bucket{{{INSTANCE}}}{_RATE})))"


def _sum_rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{INSTANCE}}}{_RATE}))"


def _instances() -> Sequence[Builder[Panel]]:
    return (
        number("Up", "Instances that Prometheus reaches.", "short", Query(f"sum(up{{{INSTANCE}}})"),
               runbook="WalletpushDown"),
        number("Workers ready", "Workers that take notifications.", "short",
               Query(f"sum(walletpush_workers_ready{{{INSTANCE}}})"), runbook="WalletpushWorkersMissing"),
        number("Uptime", "Of the process that was started last.", "s",
               Query(f"time() - max(walletpush_process_start_time_seconds{{{INSTANCE}}})"),
               runbook="WalletpushWorkerRestarted"),
        number("Builds", "Different versions that run.", "short",
               Query(f"count(count by (version) (walletpush_build_info{{{INSTANCE}}}))")),
        number("Restarts, 1 h", "Workers started again after they ended.", "short",
               Query(f"sum(increase(walletpush_worker_restarts_total{{{INSTANCE}}}[1h]))"), levels=Levels(1, 3),
               runbook="WalletpushWorkerRestarted"),
        number("Unforeseen errors, 1 h", "Errors caught at the top of a task.", "short",
               Query(f"sum(increase(walletpush_task_failures_total{{{INSTANCE}}}[1h]))"), levels=Levels(1, 10),
               runbook="WalletpushTaskFailed"),
    )  # fmt: skip


def _resources() -> Sequence[Builder[Panel]]:
    return (
        lines("Resident memory", "What processes share counts in each.", "bytes",
              Query(f"walletpush_process_resident_memory_bytes{{{INSTANCE}}}", _BY_PROCESS),
              runbook="WalletpushMemoryGrows"),
        lines("CPU", "Cores in use; a worker's Python code uses one at most.", "short",
              Query(_sum_rate("walletpush_process_cpu_seconds_total", "instance, process"), _BY_PROCESS)),
        lines("Open files", "Share of the file descriptors that a process may open.", "percentunit",
              Query(f"walletpush_process_open_files{{{INSTANCE}}} / "
                    f"(walletpush_process_max_open_files{{{INSTANCE}}} > 0)", _BY_PROCESS),
              levels=Levels(0.6, 0.8), runbook="WalletpushOpenFilesHigh"),
        lines("Event loop lag", "How late timers run in the workers.", "s",
              Query(_p(0.5, "walletpush_event_loop_lag_seconds"), "p50"),
              Query(_p(0.99, "walletpush_event_loop_lag_seconds"), "p99"),
              levels=Levels(0.05, 0.25), runbook="WalletpushEventLoopBlocked"),
        lines("Cycle collector", "Share of the time that Python's cycle collector takes.", "percentunit",
              Query(_sum_rate("walletpush_gc_pause_seconds_total", "generation"), "generation {{generation}}"),
              runbook="WalletpushEventLoopBlocked"),
        lines("Threads", "Threads per process.", "short",
              Query(f"walletpush_process_threads{{{INSTANCE}}}", _BY_PROCESS)),
    )  # fmt: skip


def _calls() -> Sequence[Builder[Panel]]:
    return (
        lines("Calls by method", "gRPC calls that ended.", "cps",
              Query(_sum_rate("walletpush_rpcs_total", "method"), "{{method}}"), width=6),
        lines("Calls by code", "gRPC calls that ended, by status.", "cps",
              Query(_sum_rate("walletpush_rpcs_total", "code"), "{{code}}"), runbook="WalletpushCallErrors", width=6),
        lines("Call latency, p99", "Streams count when they end.", "s",
              Query(_p(0.99, "walletpush_rpc_seconds", "method"), "{{method}}"), width=6),
        lines("Calls under way", "Open calls, streams included.", "short",
              Query(f"sum by (instance) (walletpush_rpcs_active{{{INSTANCE}}})", "{{instance}}"), width=6),
        lines("Stages, p99", "How long a batch spends in each stage of its way.", "s",
              Query(_p(0.99, "walletpush_stage_seconds", "stage"), "{{stage}}"), width=12),
        lines("Reloads and unforeseen errors", "Settings read again, and errors caught at the top of a task.", "cps",
              Query(_sum_rate("walletpush_reloads_total", "result"), "reload {{result}}"),
              Query(_sum_rate("walletpush_task_failures_total", "task"), "error in {{task}}"),
              runbook="WalletpushTaskFailed", width=12),
    )  # fmt: skip


def _journal() -> Sequence[Builder[Panel]]:
    return (
        lines("Commit latency", "Every accepted notification waits for a commit.", "s",
              Query(_p(0.5, "walletpush_journal_commit_seconds"), "p50"),
              Query(_p(0.99, "walletpush_journal_commit_seconds"), "p99"),
              levels=Levels(0.1, 0.25), runbook="WalletpushJournalSlow", width=6),
        lines("Commits", "Commits made, and commits that the disk did not take.", "cps",
              Query(_sum_rate("walletpush_journal_commit_seconds_count", "instance"), "{{instance}} made"),
              Query(_sum_rate("walletpush_journal_commit_failures_total", "instance"), "{{instance}} failed"),
              runbook="WalletpushJournalNotWritable", width=6),
        lines("Rows per commit", "The more rows share a commit, the cheaper each is.", "short",
              Query(_p(0.5, "walletpush_journal_commit_rows"), "p50"),
              Query(_p(0.99, "walletpush_journal_commit_rows"), "p99"), width=6),
        lines("Written", "Bytes committed, bytes that wait for it, and the size of all journals.", "bytes",
              Query(_sum_rate("walletpush_journal_written_bytes_total", "instance"), "{{instance}} per second"),
              Query(f"sum by (instance) (walletpush_journal_backlog_bytes{{{INSTANCE}}})", "{{instance}} waiting"),
              Query(f"sum by (instance) (walletpush_journal_size_bytes{{{INSTANCE}}})", "{{instance}} stored"),
              runbook="WalletpushJournalSlow", width=6),
    )  # fmt: skip


def _stores() -> Sequence[Builder[Panel]]:
    return (
        lines("Journal fill", "The fullest worker's; at 100 % it accepts nothing new.", "percentunit",
              Query(f"walletpush_journal_fill_ratio{{{INSTANCE}}}", "{{instance}}"), levels=Levels(0.6, 0.8),
              runbook="WalletpushJournalFills", width=6),
        lines("Idempotency window fill", "At 100 % every new key is refused.", "percentunit",
              Query(f"walletpush_dedup_entries{{{INSTANCE}}} / walletpush_dedup_limit_entries{{{INSTANCE}}}",
                    "{{instance}}"), levels=Levels(0.7, 0.85), runbook="WalletpushDedupWindowFills", width=6),
        lines("Room on the disk", "Under the data directory.", "percentunit",
              Query(f"walletpush_disk_free_bytes{{{INSTANCE}}} / walletpush_disk_size_bytes{{{INSTANCE}}}",
                    "{{instance}}"), levels=Levels(0.2, 0.1), runbook="WalletpushDiskFills", width=6),
        lines("Certificates", "Time until a certificate of ours ends.", "s",
              Query(f"walletpush_certificate_expiry_timestamp_seconds{{{INSTANCE}}} - time()",
                    "{{instance}} {{certificate}}"), levels=Levels(14 * 86_400, 3 * 86_400),
              runbook="WalletpushCertificateExpires", width=6),
        lines("Frequency counters not on the disk", "Age of their last flush; a power cut forgets what was sent since.",
              "s", Query(f"time() - walletpush_frequency_flush_timestamp_seconds{{{INSTANCE}}}", "{{instance}}"),
              width=12),
        lines("Held back for want of room", "Messages that waited because the frequency counters were full.", "cps",
              Query(_sum_rate("walletpush_frequency_full_total", "instance"), "{{instance}}"),
              runbook="WalletpushFrequencyCountersFill", width=12),
    )  # fmt: skip
