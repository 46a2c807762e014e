"""The play: which trouble begins when, and which alerts each act brings."""

from __future__ import annotations

from typing import NamedTuple

from bench.dashboard import troubles
from bench.dashboard.troubles import Trouble


class Cue(NamedTuple):
    """A trouble, so many seconds after its act began, for so long."""

    trouble: Trouble
    after_s: float
    seconds: float


class Act(NamedTuple):
    """seconds: how long it lasts. brings: alerts that begin in it, or soon after. may: others that may begin too.

    ends: alerts of earlier acts that are silent again when it is over.
    """

    name: str
    seconds: float
    cues: tuple[Cue, ...] = ()
    brings: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()


# What any provider's trouble may bring, as long as its backlog lasts.
_BACKLOG = frozenset({
    "WalletpushUrgentQueueOld", "WalletpushServiceQueueOld", "WalletpushMarketingQueueOld", "WalletpushUrgentExpired",
    "WalletpushLatencyBudgetBurnsFast", "WalletpushLatencyBudgetBurns", "WalletpushShed", "WalletpushDeliveryErrors",
    "WalletpushAttemptsRepeated", "WalletpushBreakerOpen", "WalletpushProviderUnreachable", "WalletpushProviderSlow",
    "WalletpushWorkersMissing", "WalletpushEventLoopBlocked", "WalletpushJournalSlow",
})  # fmt: skip
CALM = Act("calm", 8.0)
PROVIDERS = Act(
    "providers ill", 22.0,
    (
        Cue(troubles.apns_storm, 0.0, 20.0),
        Cue(troubles.sandbox_faults, 0.0, 20.0),
        Cue(troubles.fcm_slow_and_dying, 0.0, 20.0),
        Cue(troubles.workers_die, 10.0, 4.0),
    ),
    frozenset({
        "WalletpushBreakerOpen", "WalletpushAttemptsRepeated", "WalletpushDeliveryErrors", "WalletpushUrgentQueueOld",
        "WalletpushServiceQueueOld", "WalletpushMarketingQueueOld", "WalletpushUrgentExpired", "WalletpushDeadTokens",
        "WalletpushMassDeathHold", "WalletpushProviderSlow", "WalletpushShed", "WalletpushLatencyBudgetBurnsFast",
        "WalletpushLatencyBudgetBurns", "WalletpushWorkersMissing", "WalletpushWorkerRestarted", "WalletpushTaskFailed",
    }),
    _BACKLOG | {"WalletpushUrgentShed"},
)  # fmt: skip
HOSTS = Act(
    "hosts ill", 14.0,
    (
        Cue(troubles.sandbox_gone, 0.0, 8.0),
        Cue(troubles.no_access_token, 0.0, 12.0),
        Cue(troubles.worker_stands_still, 0.0, 12.0),
        Cue(troubles.journal_is_held, 0.0, 12.0),
        Cue(troubles.few_files, 0.0, 8.0),
        Cue(troubles.certificate_ends, 0.0, 5.0),
        Cue(troubles.wrong_settings, 1.0, 1.0),
    ),
    frozenset({
        "WalletpushProviderUnreachable", "WalletpushCredentialRefreshFailing", "WalletpushEventLoopBlocked",
        "WalletpushJournalSlow", "WalletpushOpenFilesHigh", "WalletpushCertificateExpires", "WalletpushReloadRefused",
    }),
    _BACKLOG,
    frozenset({"WalletpushDeadTokens", "WalletpushProviderSlow", "WalletpushWorkersMissing", "WalletpushShed"}),
)  # fmt: skip
STORES = Act(
    "stores full", 10.0,
    (Cue(troubles.disk_refuses, 0.0, 4.5), Cue(troubles.too_much, 5.0, 6.0)),
    frozenset({
        "WalletpushJournalNotWritable", "WalletpushCallErrors", "WalletpushJournalFills", "WalletpushDedupWindowFills",
        "WalletpushUrgentShed",
    }),
    _BACKLOG | {"WalletpushTaskFailed"},
    frozenset({
        "WalletpushOpenFilesHigh", "WalletpushCertificateExpires", "WalletpushJournalNotWritable",
        "WalletpushCredentialRefreshFailing", "WalletpushReloadRefused",
    }),
)  # fmt: skip
GONE = Act("gone", 4.0, brings=frozenset({"WalletpushDown"}), may=_BACKLOG | {"WalletpushCallErrors"})
ACTS = (CALM, PROVIDERS, HOSTS, STORES, GONE)
# A disk cannot be filled for a test, and memory grows for hours: promtool plays these with series of its own.
WITHOUT_ACT = frozenset({"WalletpushDiskFills", "WalletpushMemoryGrows"})
