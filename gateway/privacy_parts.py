"""Audit log and privacy service: from the settings to the parts of one worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.audit.sqlite import AUDIT_FILE, SqliteAudit, newest_lines
from adapters.audit.verification import Verified, verify
from adapters.journal.search import JournalSearch
from adapters.journal.sqlite import journal_path
from adapters.registry.sqlite import SqliteRegistry
from core.audit import Link
from core.errors import Unavailable
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.privacy import Eraser, Erasure, privacy_key
from gateway.people_parts import PeopleParts
from gateway.pipeline.clock import Clock
from gateway.privacy.auditing import Auditor
from gateway.privacy.export import ExportSource
from gateway.privacy.journals import JournalExport
from gateway.privacy.sources import AuditExport, CountExport, ErasureExport
from gateway.scopes import Scopes
from gateway.secret import load_secret
from gateway.services.privacy import PrivacyServicer
from gateway.settings.root import Settings

CHAIN = "privacy audit chain"


class NoEraser:
    """Stands where nothing erases yet."""

    async def erase(self, app: str, user_id: str, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        """Refuse. Raises Unavailable."""
        raise Unavailable("erasing is not wired")

    async def find(self, app: str, user_id: str) -> Erasure | None:
        """Find none."""
        return None


@dataclass(frozen=True, slots=True)
class Stores:
    """What a worker has open that holds personal data."""

    people: PeopleParts
    registry: SqliteRegistry
    counters: FrequencyCounters


@dataclass(frozen=True, slots=True)
class PrivacyParts:
    """What a worker has to keep the law."""

    audit: SqliteAudit
    auditor: Auditor
    service: PrivacyServicer

    def set_scopes(self, scopes: Scopes) -> None:
        """Have the services use new scopes."""
        self.auditor.set_scopes(scopes)
        self.service.set_scopes(scopes)


async def open_privacy(
    settings: Settings, secret: SipHash, stores: Stores, eraser: Eraser, scopes: Scopes, clock: Clock
) -> PrivacyParts:
    """Open the audit log and make the service. Raises StoreFailure or Unavailable."""
    audit = await SqliteAudit.open(settings.data_dir, privacy_key(secret, CHAIN))
    service = PrivacyServicer(_sources(settings, secret, stores, eraser, audit), eraser, audit, secret, scopes, clock)
    return PrivacyParts(audit, Auditor(audit, secret, scopes, clock), service)


def verify_audit(settings: Settings) -> Verified:
    """Check this host's audit log; blocks. Raises Unavailable where there is none, StoreFailure."""
    return verify(settings.data_dir / AUDIT_FILE, privacy_key(load_secret(settings.data_dir), CHAIN))


def list_audit(settings: Settings, limit: int, show: Callable[[Link], None]) -> None:
    """Show the newest lines of all apps, oldest first; blocks. Raises Unavailable where there is none, StoreFailure."""
    newest_lines(settings.data_dir / AUDIT_FILE, limit, show)


def _sources(
    settings: Settings, secret: SipHash, stores: Stores, eraser: Eraser, audit: SqliteAudit
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
