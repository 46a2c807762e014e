"""Audit log and privacy service: from the settings to the parts of one worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.audit.sqlite import AUDIT_FILE, SqliteAudit, newest_lines
from adapters.audit.verification import Verified, verify
from adapters.journal.search import JournalSearch
from adapters.journal.sqlite import journal_path
from adapters.people.purging import PeoplePurge
from adapters.registry.purging import DevicePurge
from adapters.registry.sqlite import SqliteRegistry
from core.audit import Link
from core.errors import Unavailable
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.privacy import privacy_key
from gateway.erasure.eraser import UserEraser
from gateway.metrics import Metrics
from gateway.people_parts import PeopleParts
from gateway.pipeline.clock import Clock
from gateway.privacy.auditing import Auditor
from gateway.privacy.export import ExportSource
from gateway.privacy.journals import JournalExport
from gateway.privacy.retention import Retention, Rule
from gateway.privacy.sources import AuditExport, CountExport, ErasureExport
from gateway.scopes import Scopes
from gateway.secret import load_secret
from gateway.services.privacy import PrivacyServicer
from gateway.settings.retention import RetentionSettings
from gateway.settings.root import Settings

CHAIN = "privacy audit chain"


@dataclass(frozen=True, slots=True)
class Stores:
    """What a worker has open that holds personal data."""

    people: PeopleParts
    registry: SqliteRegistry
    counters: FrequencyCounters
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class PrivacyParts:
    """What a worker has to keep the law."""

    audit: SqliteAudit
    auditor: Auditor
    service: PrivacyServicer
    retention: Retention

    def set_scopes(self, scopes: Scopes) -> None:
        """Have the services use new scopes."""
        self.auditor.set_scopes(scopes)
        self.service.set_scopes(scopes)


async def open_privacy(
    settings: Settings, secret: SipHash, stores: Stores, eraser: UserEraser, scopes: Scopes, clock: Clock
) -> PrivacyParts:
    """Open the audit log and make the service. Raises StoreFailure or Unavailable."""
    audit = await SqliteAudit.open(settings.data_dir, privacy_key(secret, CHAIN))
    service = PrivacyServicer(_sources(settings, secret, stores, eraser, audit), eraser, audit, secret, scopes, clock)
    rules = _rules(settings.retention, stores, eraser, audit)
    retention = Retention(rules, stores.metrics, clock, settings.retention.interval_s)
    return PrivacyParts(audit, Auditor(audit, secret, scopes, clock), service, retention)


def _rules(own: RetentionSettings, stores: Stores, eraser: UserEraser, audit: SqliteAudit) -> Sequence[Rule]:
    people = PeoplePurge(stores.people.people, stores.registry)
    return (
        Rule("devices", own.devices_days, DevicePurge(stores.registry).stale),
        Rule("suppressions", own.suppressions_days, people.suppressions),
        # Before the histories, whose owners it may make leavers.
        Rule("users", own.inactive_users_days, people.inactive),
        Rule("consents", own.consents_days, people.histories),
        Rule("audit_records", own.audit_days, audit.purge),
        Rule("erasures", own.erasures_days, eraser.purge),
    )


def verify_audit(settings: Settings) -> Verified:
    """Check this host's audit log; blocks. Raises Unavailable where there is none, StoreFailure."""
    path = settings.data_dir / AUDIT_FILE
    if not path.exists():
        # Before the secret is asked for, which is made where there is none.
        raise Unavailable(f"{path} does not exist: no gateway has run here")
    return verify(path, privacy_key(load_secret(settings.data_dir), CHAIN))


def list_audit(settings: Settings, limit: int, show: Callable[[Link], None]) -> None:
    """Show the newest lines of all apps, oldest first; blocks. Raises Unavailable where there is none, StoreFailure."""
    newest_lines(settings.data_dir / AUDIT_FILE, limit, show)


def _sources(
    settings: Settings, secret: SipHash, stores: Stores, eraser: UserEraser, audit: SqliteAudit
) -> Sequence[ExportSource]:
    data_dir = settings.data_dir
    # Tags stay the same whatever apps there are.
    tags = Scopes({}, secret.derive("tags"))

    def numbers() -> list[int]:
        return sorted(int(path.stem.removeprefix("journal-")) for path in data_dir.glob("journal-*.db"))

    def search(number: int) -> JournalSearch:
        return JournalSearch(journal_path(data_dir, number), number)

    return (
        stores.people.people, stores.registry,
        JournalExport(stores.registry, numbers, search, secret.derive("devices"), tags.app_tag),
        CountExport(stores.counters, secret.derive("policy")), ErasureExport(eraser), AuditExport(audit, secret),
    )  # fmt: skip
