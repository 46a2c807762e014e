"""The play: which troubles each act has, and which alerts they bring."""

from __future__ import annotations

from typing import NamedTuple

from bench.dashboard import troubles
from bench.dashboard.troubles import Trouble


class Cue(NamedTuple):
    """A trouble, and the alerts that it brings: it is over when all have fired. after_s: since the act began."""

    trouble: Trouble
    brings: frozenset[str]
    after_s: float = 0.0


class Act(NamedTuple):
    """least_s: how long it lasts at least. may: alerts that may begin too. ends: alerts that are silent at its end."""

    name: str
    least_s: float
    cues: tuple[Cue, ...] = ()
    may: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()

    @property
    def brings(self) -> frozenset[str]:
        """The alerts that fire in it."""
        return frozenset[str]().union(*(cue.brings for cue in self.cues))


def _cue(trouble: Trouble, *alerts: str, after_s: float = 0.0) -> Cue:
    return Cue(trouble, frozenset(f"Walletpush{alert}" for alert in alerts), after_s)


def _named(*alerts: str) -> frozenset[str]:
    return frozenset(f"Walletpush{alert}" for alert in alerts)


# What any provider's trouble may bring, as long as its backlog lasts, and any burst on a busy machine.
_BACKLOG = _named(
    "UrgentQueueOld", "ServiceQueueOld", "MarketingQueueOld", "UrgentExpired", "LatencyBudgetBurnsFast",
    "LatencyBudgetBurns", "Shed", "UrgentShed", "DeliveryErrors", "AttemptsRepeated", "BreakerOpen",
    "ProviderUnreachable", "ProviderSlow", "WorkersMissing", "EventLoopBlocked", "JournalSlow", "DeadTokens",
)  # fmt: skip
CALM = Act("calm", 8.0)
PROVIDERS = Act(
    "providers ill", 10.0,
    (
        _cue(troubles.apns_storm, "BreakerOpen", "UrgentQueueOld", "ServiceQueueOld", "MarketingQueueOld",
             "UrgentExpired", "Shed", "LatencyBudgetBurnsFast", "LatencyBudgetBurns"),
        _cue(troubles.sandbox_faults, "AttemptsRepeated", "DeliveryErrors"),
        _cue(troubles.fcm_slow_and_dying, "ProviderSlow", "DeadTokens", "MassDeathHold"),
        _cue(troubles.workers_die, "WorkersMissing", "WorkerRestarted", after_s=8.0),
        _cue(troubles.nothing_more, "TaskFailed"),
    ),
    _BACKLOG, _named("BreakerOpen", "ProviderUnreachable"),
)  # fmt: skip
HOSTS = Act(
    "hosts ill", 5.0,
    (
        _cue(troubles.sandbox_gone, "ProviderUnreachable"),
        _cue(troubles.no_access_token, "CredentialRefreshFailing"),
        _cue(troubles.worker_stands_still, "EventLoopBlocked"),
        _cue(troubles.journal_is_held, "JournalSlow"),
        _cue(troubles.few_files, "OpenFilesHigh"),
        _cue(troubles.certificate_ends, "CertificateExpires"),
        _cue(troubles.wrong_settings, "ReloadRefused"),
    ),
    _BACKLOG, _named("DeadTokens", "CertificateExpires", "OpenFilesHigh"),
)  # fmt: skip
DISK = Act(
    "disk full", 3.0, (_cue(troubles.disk_refuses, "JournalNotWritable", "CallErrors"),), _BACKLOG,
    _named("JournalNotWritable"),
)  # fmt: skip
STORES = Act(
    "stores full", 5.0, (_cue(troubles.too_much, "JournalFills", "DedupWindowFills", "UrgentShed"),),
    _BACKLOG | _named("CallErrors", "TaskFailed"), _named("CredentialRefreshFailing", "JournalNotWritable"),
)  # fmt: skip
GONE = Act("gone", 2.0, (_cue(troubles.nothing_more, "Down"),), _BACKLOG | _named("CallErrors"))
ACTS = (CALM, PROVIDERS, HOSTS, DISK, STORES, GONE)
# A disk cannot be filled for a test, nor a million users be counted, and memory grows for hours: promtool plays these
# with series of its own.
WITHOUT_ACT = _named("DiskFills", "FrequencyCountersFill", "MemoryGrows")
