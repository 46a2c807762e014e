"""An app's rules: its categories, hours, caps and defaults, as the settings fill them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.caps import AdaptiveWeek, CapRule, vendor_quotas
from core.policy.people import Category, LockScreenDetail, QuietWindow

# Where Chinese vendors' days and hours begin: their servers judge, by the clock of Beijing.
VENDOR_ZONE = "Asia/Shanghai"


class Backlog(IntEnum):
    """What becomes of several deferred messages of a user that are due together."""

    EACH = 0
    NEWEST = 1
    SUMMARY = 2


class VendorHours(NamedTuple):
    """When a vendor refuses marketing to its devices. manufacturer: in lower case. The window is in VENDOR_ZONE."""

    manufacturer: str
    window: QuietWindow


# vivo takes marketing between 07:00 and 23:00 only. Source: vivo's message classification rules.
VIVO_HOURS = VendorHours("vivo", QuietWindow(23 * 60, 7 * 60))
NIGHT = QuietWindow(22 * 60, 8 * 60)
SUMMARY_TEXTS = {
    "en": ("Wallet", "You have {count} new messages. Open the app to read them."),
    "zh": ("钱包", "您有 {count} 条新消息，请打开应用查看。"),
}
_ONE_TO_THREE = AdaptiveWeek()


def _default_caps() -> tuple[CapRule, ...]:
    return CapRule("marketing_week", 3, adaptive=True), *vendor_quotas()


@dataclass(frozen=True, slots=True)
class AppRules:
    """What an app wants for all of its users. quiet_windows: for users without windows of their own.

    never_quiet: service categories that quiet hours do not hold; with service_is_quiet False none is held. jitter_s:
    over how long what quiet hours held back is spread. max_cap_wait_s: what a cap would defer for longer is suppressed.
    wording_versions: of the opt-in's wording, which a consent may name; none: any. summary_texts: headline and text of
    what stands for a backlog, with {count} for how many it was, by locale or language; the first for all others.
    """

    app: str
    categories: tuple[Category, ...] = ()
    time_zone: str = ""
    country: str = ""
    currency: str = ""
    default_locale: str = "en"
    lock_screen: LockScreenDetail = LockScreenDetail.MASKED
    quiet_windows: tuple[QuietWindow, ...] = (NIGHT,)
    service_is_quiet: bool = True
    never_quiet: frozenset[str] = frozenset()
    vendor_hours: tuple[VendorHours, ...] = (VIVO_HOURS,)
    jitter_s: int = 1_800
    backlog: Backlog = Backlog.NEWEST
    caps: tuple[CapRule, ...] = field(default_factory=_default_caps)
    adaptive: AdaptiveWeek = _ONE_TO_THREE
    max_cap_wait_s: int = 2 * 86_400
    wording_versions: tuple[str, ...] = ()
    summary_texts: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict(SUMMARY_TEXTS))

    def category(self, name: str) -> Category | None:
        """Return the category of this name."""
        return next((one for one in self.categories if one.name == name), None)

    def first_category(self, klass: NotificationClass) -> Category | None:
        """Return the category of a message that names none."""
        return next((one for one in self.categories if one.klass == klass), None)

    def takes_wording(self, version: str) -> bool:
        """Tell whether a consent to this wording still counts."""
        return not self.wording_versions or version in self.wording_versions

    def has_quiet_hours(self, klass: NotificationClass, category: str) -> bool:
        """Tell whether quiet hours hold messages of this class and category at all."""
        if klass == NotificationClass.SERVICE:
            return self.service_is_quiet and category not in self.never_quiet
        return klass == NotificationClass.MARKETING
