"""The preference centre's form: what it shows of a user, what comes back of it, and what differs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from babel import Locale

from core.content.locales import parse_tag
from core.policy.people import LockScreenDetail, QuietWindow, Recipient
from core.policy.rules import AppRules
from core.policy.zones import is_zone
from gateway.web.page_choices import Pick, may_stop, wanted
from gateway.web.page_texts import LANGUAGES, Texts

APP, OWN, KEEP = "app", "own", "keep"
WEEKEND: Final = 0b1100000
ALL_DAY: Final = 1_440
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::\d\d)?")
Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class QuietChoice:
    """Quiet hours as the form has them. mode: the app's, own ones, or those that no form of ours can show."""

    mode: str = APP
    begins: str = "22:00"
    ends: str = "08:00"
    weekend: bool = False
    holidays: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """All that the page lets a user choose."""

    on: frozenset[Pick] = frozenset()
    quiet: QuietChoice = QuietChoice()
    locale: str = ""
    time_zone: str = ""
    lock_screen: LockScreenDetail = LockScreenDetail.UNSET
    too_many: bool = False

    def digest(self) -> str:
        """Return what differs as soon as any choice does."""
        told = (sorted(map(str, self.on)), self.quiet, self.locale, self.time_zone, self.lock_screen, self.too_many)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a form said, and which of its texts tell what is wrong with it; with any nothing is stored."""

    choices: Choices
    wrong: tuple[str, ...] = field(default=())


def chosen(recipient: Recipient, rules: AppRules, channels: Collection[int]) -> Choices:
    """Return what a user has chosen so far."""
    return Choices(
        wanted(rules.categories, channels, recipient), quiet_choice(recipient.quiet_windows), recipient.locale,
        recipient.time_zone, recipient.lock_screen, recipient.too_many,
    )  # fmt: skip


def read_form(fields: Fields, rules: AppRules, channels: Collection[int], before: Choices) -> Answer:
    """Return what a form says. What was never offered counts as not said."""
    known = {str(pick): pick for one in rules.categories if may_stop(one) for pick in _picks(one.name, channels)}
    on = frozenset(known[name] for name in fields.get("on", ()) if name in known)
    quiet, wrong = _read_quiet(fields, before.quiet)
    locale, zone, lock = _one(fields, "locale"), _one(fields, "zone"), _one(fields, "lock")
    choices = Choices(
        on, quiet, locale if locale in ("", *LANGUAGES) else before.locale,
        zone if not zone or is_zone(zone) else before.time_zone,
        LockScreenDetail[lock] if lock in LockScreenDetail.__members__ else before.lock_screen,
        bool(_one(fields, "often")),
    )  # fmt: skip
    return Answer(choices, wrong)


def quiet_choice(windows: Sequence[QuietWindow]) -> QuietChoice:
    """Return a user's windows as the form shows them."""
    if not windows:
        return QuietChoice()
    first = windows[0]
    choice = QuietChoice(
        OWN, _clock(first.start_minute), _clock(first.end_minute), len(windows) > 1, first.holidays
    )
    plain = _TIME.fullmatch(choice.ends) is not None and choice.begins != choice.ends
    return choice if plain and quiet_windows(choice) == tuple(windows) else QuietChoice(KEEP)


def quiet_windows(choice: QuietChoice) -> tuple[QuietWindow, ...]:
    """Return the windows that a choice of own hours means."""
    begins, ends = (int(time[:2]) * 60 + int(time[3:5]) for time in (choice.begins, choice.ends))
    nightly = QuietWindow(begins, ends, holidays=choice.holidays)
    return (nightly, QuietWindow(0, ALL_DAY, WEEKEND)) if choice.weekend else (nightly,)


def hours_words(windows: Sequence[QuietWindow], texts: Texts) -> str:
    """Write windows as people would, those for single categories left out."""
    words = []
    for one in windows:
        if not one.category:
            days = " ".join(texts[f"days_{day}"] for bit, day in enumerate(DAYS) if one.weekdays >> bit & 1)
            words.append(f"{_clock(one.start_minute)}–{_clock(one.end_minute)} {days}".strip())
    return ", ".join(words) or texts["quiet_none"]


def locale_options(locale: str) -> dict[str, str]:
    """Return the languages that a user may choose, their own among them, by their own names."""
    tag = parse_tag(locale)
    own = {locale: Locale(tag.language).get_display_name() or locale} if tag and locale not in LANGUAGES else {}
    return {**own, **LANGUAGES}


def _read_quiet(fields: Fields, before: QuietChoice) -> tuple[QuietChoice, tuple[str, ...]]:
    mode = _one(fields, "quiet")
    if mode == APP or (mode == KEEP == before.mode):
        return (QuietChoice() if mode == APP else before), ()
    if mode != OWN:
        return before, ()
    begins, ends = (match and match[0][:5] for match in map(_TIME.fullmatch, _times(fields)))
    weekend, holidays = bool(_one(fields, "weekend")), bool(_one(fields, "holidays"))
    if not (begins and ends) or begins == ends:
        typed = QuietChoice(OWN, begins or "", ends or "", weekend, holidays)
        return typed, ("wrong_hours",)
    return QuietChoice(OWN, begins, ends, weekend, holidays), ()


def _times(fields: Fields) -> tuple[str, str]:
    return _one(fields, "from"), _one(fields, "until")


def _picks(category: str, channels: Collection[int]) -> list[Pick]:
    return [Pick(category, channel) for channel in channels]


def _one(fields: Fields, name: str) -> str:
    return next(iter(fields.get(name, ())), "")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
