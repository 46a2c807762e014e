"""Whether device tokens may be retired: not when an unlikely share of an app's tokens dies at once.

A wrong credential, topic or environment makes a provider call every token dead; acting on it would empty the registry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from core.sliding_window import SlidingWindow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MassDeathSettings:
    """When to hold retirements, and what becomes of them.

    Holding begins when at least min_deaths tokens, and death_percent of all that were answered for, died in window_ms.
    It ends by release(), forget() or after hold_ms; then the held ones are dropped ("forget": a token that is truly
    dead is reported again by its next push) or carried out ("retire"). max_held per app and max_apps bound the memory.
    """

    window_ms: int = 600_000
    slices: int = 20
    min_deaths: int = 50
    death_percent: int = 20
    hold_ms: int = 3_600_000
    after_hold: Literal["forget", "retire"] = "forget"
    max_held: int = 100_000
    max_apps: int = 10_000


@dataclass(frozen=True, slots=True)
class MassDeath:
    """The alarm: within the window `deaths` of `answered` tokens of the app died."""

    app: str
    deaths: int
    answered: int


class _Ward(Generic[T]):
    """What is known of one app; `held` is None unless retirements are on hold."""

    __slots__ = ("held", "held_since_ns", "overflow", "window")

    def __init__(self, settings: MassDeathSettings) -> None:
        self.window = SlidingWindow(settings.window_ms * 1_000_000, settings.slices)
        self.held: list[T] | None = None
        self.held_since_ns = 0
        self.overflow = 0


class MassDeathGuard(Generic[T]):
    """The guard over all apps; T is whatever the caller needs to retire one token."""

    def __init__(self, settings: MassDeathSettings, on_alarm: Callable[[MassDeath], None]) -> None:
        self._settings = settings
        self._on_alarm = on_alarm
        self._wards: OrderedDict[str, _Ward[T]] = OrderedDict()

    def answered(self, app: str, alive: int, now_ns: int) -> None:
        """Count tokens that a provider's answer showed to be alive."""
        self._ward(app).window.add(alive, 0, now_ns)

    def admit(self, app: str, retirements: Sequence[T], now_ns: int) -> list[T]:
        """Return which of the retirements may be carried out now: all of them, or none while the app is on hold.

        Never drops a held one silently: beyond max_held they are counted in dropped().
        """
        ward = self._ward(app)
        window = ward.window
        window.add(0, len(retirements), now_ns)
        if ward.held is None and self._unlikely(window):
            ward.held = []
            ward.held_since_ns = now_ns
            self._on_alarm(MassDeath(app, window.bad, window.total))
        if ward.held is None:
            return list(retirements)
        room = self._settings.max_held - len(ward.held)
        ward.held.extend(retirements[:room])
        ward.overflow += max(0, len(retirements) - room)
        return []

    def release(self, app: str) -> list[T]:
        """End the hold because the deaths are real; return what is to be retired now."""
        return self._end(app)

    def forget(self, app: str) -> int:
        """End the hold because the deaths were a fault of ours; return how many retirements were dropped."""
        return len(self._end(app))

    def expire(self, now_ns: int) -> dict[str, list[T]]:
        """End the holds that lasted hold_ms; return per app what is to be retired (nothing under "forget")."""
        limit_ns = self._settings.hold_ms * 1_000_000
        over = [
            app
            for app, ward in self._wards.items()
            if ward.held is not None and now_ns - ward.held_since_ns >= limit_ns
        ]
        ended = {app: self._end(app) for app in over}
        return ended if self._settings.after_hold == "retire" else {app: [] for app in ended}

    def held(self) -> dict[str, int]:
        """The apps on hold, each with how many retirements wait."""
        return {app: len(ward.held) for app, ward in self._wards.items() if ward.held is not None}

    def dropped(self, app: str) -> int:
        """How many retirements of the present hold found no room; their tokens stay in the registry."""
        ward = self._wards.get(app)
        return ward.overflow if ward else 0

    def _ward(self, app: str) -> _Ward[T]:
        ward = self._wards.get(app)
        if ward is None:
            ward = self._wards[app] = _Ward(self._settings)
            if len(self._wards) > self._settings.max_apps:
                self._evict()
        else:
            self._wards.move_to_end(app)
        return ward

    def _evict(self) -> None:
        # An app on hold outlives others: forgetting it would let the next death through.
        for app, ward in self._wards.items():
            if ward.held is None:
                del self._wards[app]
                return
        self._wards.popitem(last=False)

    def _unlikely(self, window: SlidingWindow) -> bool:
        settings = self._settings
        return window.bad >= settings.min_deaths and window.bad * 100 >= window.total * settings.death_percent

    def _end(self, app: str) -> list[T]:
        ward = self._wards.get(app)
        if ward is None or ward.held is None:
            return []
        held, ward.held, ward.overflow = ward.held, None, 0
        # A fresh window, or the deaths already judged would start the next hold at once.
        ward.window.clear()
        return held
