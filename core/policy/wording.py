"""Windows, caps and moments as people would write them."""

from __future__ import annotations

from datetime import UTC, datetime

from core.policy.caps import DAY_S, HOUR_S, MINUTE_S, CapRule, Window
from core.policy.decision import Hold, Verdict
from core.policy.hours import NEVER_S, Span
from core.policy.people import QuietWindow
from core.policy.quiet_hours import Night
from core.policy.rules import VENDOR_ZONE
from core.policy.zones import zone_info

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CALENDAR = {Window.HOUR: "an hour", Window.DAY: "a day", Window.WEEK: "a week", Window.MONTH: "a month"}


def cap_words(rule: CapRule, limit: int) -> str:
    """Tell a rule as it holds for one user."""
    adaptive = " (adaptive)" if rule.adaptive else ""
    return f"{rule.name}: at most {limit} {_period_words(rule)}{adaptive}"


def window_words(window: QuietWindow) -> str:
    """Write a window as the settings do."""
    hours = f"{_minute_words(window.start_minute)}-{_minute_words(window.end_minute)}"
    days = [name for bit, name in enumerate(_WEEKDAYS) if window.weekdays >> bit & 1]
    return hours + (f" {','.join(days)}" if days else "") + (" holidays" if window.holidays else "")


def awake_words(night: Night, now_unix_ms: int) -> str:
    """Tell why the hour does not hold a message."""
    return f"outside quiet {_windows_words(night)} {night.place}{_local_words(night, now_unix_ms)}"


def quiet_words(night: Night, span: Span, hold: Hold, now_unix_ms: int) -> str:
    """Tell why the hour holds a message, and until when."""
    head = f"quiet {_windows_words(night)} {night.place}{_local_words(night, now_unix_ms)}"
    if hold.verdict == Verdict.DEFER:
        jitter_s = hold.until_unix_ms // 1_000 - span.start_s
        return f"{head}, until {_moment_in(night, span.start_s)} + {jitter_s // 60} min jitter"
    if span.start_s == NEVER_S:
        return f"{head}, without end"
    return f"{head}, expires before {_moment_in(night, span.start_s)}"


def moment_words(unix_ms: int) -> str:
    """Write a moment in UTC."""
    return f"{datetime.fromtimestamp(unix_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


def _period_words(rule: CapRule) -> str:
    if rule.window != Window.ROLLING:
        return _CALENDAR[rule.window]
    for unit_s, name in ((DAY_S, "days"), (HOUR_S, "hours"), (MINUTE_S, "minutes")):
        if rule.period_s % unit_s == 0:
            return f"in {rule.period_s // unit_s} {name}"
    return f"in {rule.period_s} seconds"


def _windows_words(night: Night) -> str:
    words = [window_words(window) for window in night.windows]
    if night.vendor is not None:
        words.append(f"{window_words(night.vendor)} {VENDOR_ZONE} (vendor)")
    return ", ".join(words) or "never"


def _local_words(night: Night, now_unix_ms: int) -> str:
    if len(night.place.zones) != 1:
        return ""
    return f", local time {datetime.fromtimestamp(now_unix_ms / 1_000, zone_info(night.place.zones[0])):%H:%M}"


def _moment_in(night: Night, at_s: int) -> str:
    if len(night.place.zones) != 1:
        return moment_words(at_s * 1_000)
    return f"{datetime.fromtimestamp(at_s, zone_info(night.place.zones[0])):%H:%M}"


def _minute_words(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
