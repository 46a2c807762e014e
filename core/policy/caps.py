"""How often a user may hear: the rules, which of them a message meets, and how the weekly limit follows the user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from core.model import NotificationClass

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
WEEK_S = 7 * DAY_S
MONTH_S = 30 * DAY_S
MAX_LIMIT = 1_000
_MARKETING_ONLY = frozenset({NotificationClass.MARKETING})


class Window(IntEnum):
    """Where a period begins: ROLLING ends now; the others begin with the zone's hour, day, week (Monday) or month."""

    ROLLING = 0
    HOUR = 1
    DAY = 2
    WEEK = 3
    MONTH = 4


class OverCap(IntEnum):
    """What happens to a message over the cap."""

    SUPPRESS = 0
    DEFER = 1
    IN_APP_ONLY = 2


@dataclass(frozen=True, slots=True)
class CapFilter:
    """Which messages a rule counts; an empty field matches all. manufacturer: counts per device of that maker."""

    classes: frozenset[NotificationClass] = _MARKETING_ONLY
    category: str = ""
    channel: int = 0
    tag: str = ""
    manufacturer: str = ""

    def matches(self, klass: NotificationClass, category: str, channel: int, tags: Iterable[str]) -> bool:
        """Tell whether a message counts, apart from the device's maker."""
        return (
            klass in self.classes
            and self.category in ("", category)
            and self.channel in (0, channel)
            and (not self.tag or self.tag in tags)
        )


@dataclass(frozen=True, slots=True)
class CapRule:
    """At most `limit` messages of a filter in a window. period_s: of a rolling window, at most 30 days.

    adaptive: the user's weekly limit stands in for `limit`, never above it.
    """

    name: str
    limit: int
    period_s: int = WEEK_S
    window: Window = Window.ROLLING
    filter: CapFilter = CapFilter()
    over: OverCap = OverCap.SUPPRESS
    adaptive: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ValueError(f"{self.name}: limit must lie between 1 and {MAX_LIMIT}, not {self.limit}")
        if not 1 <= self.period_s <= MONTH_S:
            raise ValueError(f"{self.name}: period_s must lie between 1 and {MONTH_S}, not {self.period_s}")


@dataclass(frozen=True, slots=True)
class AdaptiveWeek:
    """How many marketing messages a week a user may get, by days since the app was opened last.

    active within active_days: most; seen within quiet_days: usual; within silent_days: fewest; after that: none.
    The defaults keep to 1 to 3 a week. A user who was never seen open anything gets `fewest`.
    """

    active_days: int = 7
    quiet_days: int = 30
    silent_days: int = 90
    most: int = 3
    usual: int = 2
    fewest: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.active_days <= self.quiet_days <= self.silent_days:
            raise ValueError("active_days, quiet_days and silent_days must ascend")
        if not 0 <= self.fewest <= self.usual <= self.most <= MAX_LIMIT:
            raise ValueError("fewest, usual and most must ascend")

    def limit(self, last_open_unix_ms: int, too_many: bool, now_unix_ms: int) -> int:
        """Return a user's weekly limit; `too_many` lowers it to fewest at once."""
        if last_open_unix_ms == 0:
            return self.fewest
        silent_ms = max(0, now_unix_ms - last_open_unix_ms)
        if silent_ms > self.silent_days * DAY_S * 1_000:
            return 0
        if too_many or silent_ms > self.quiet_days * DAY_S * 1_000:
            return self.fewest
        return self.usual if silent_ms > self.active_days * DAY_S * 1_000 else self.most


def vendor_quotas(news_app: bool = False) -> tuple[CapRule, ...]:
    """Return the marketing quotas of Android vendors for a device and day; a news app gets 5 where others get 2.

    Source: the vendors' message classification rules, in force since 2023 (Huawei, Honor, OPPO, vivo).
    """
    limit = 5 if news_app else 2
    return tuple(
        CapRule(f"{maker}_day", limit, DAY_S, Window.DAY, CapFilter(manufacturer=maker))
        for maker in ("huawei", "honor", "oppo", "vivo")
    )
