"""Whether the hour holds a message back, and until when: windows of the user or the app, holidays, vendors' nights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.candidates import Candidate
from core.policy.decision import PASSES, Gate, HeldDevice, Hold, Reason, Verdict
from core.policy.hours import Rest, Span, awake_span
from core.policy.message import Message
from core.policy.people import EVERY_CATEGORY, Channel, QuietWindow, Recipient, UserDevice
from core.policy.rules import VENDOR_ZONE, AppRules
from core.policy.zones import Place, ZoneSource, place, prepare

# Some 300 bytes each: at most 20 MB per app.
_MAX_REMEMBERED = 65_536
_NO_DEVICE = ("", "")


_EXPIRES = Hold(Verdict.SUPPRESS, Reason.EXPIRES_IN_QUIET_HOURS)
_NO_ZONE = Hold(Verdict.SUPPRESS, Reason.QUIET_HOURS_NO_ZONE)


class Night(NamedTuple):
    """All that decides when one device of a user, or the user where there is none, may be disturbed."""

    place: Place
    windows: tuple[QuietWindow, ...]
    country: str
    vendor: QuietWindow | None

    def rests(self) -> list[Rest]:
        """Return what holds, the vendor's window in the vendor's zone."""
        mine = Rest(self.place.zones, self.windows, self.country)
        return [mine] if self.vendor is None else [mine, Rest((VENDOR_ZONE,), (self.vendor,))]


class QuietHours:
    """One app's quiet hours, remembering spans of time that hold for many users."""

    def __init__(self, rules: AppRules) -> None:
        prepare()
        self._rules = rules
        self._vendors = {one.manufacturer: one.window for one in rules.vendor_hours}
        self._spans: dict[tuple[object, ...], tuple[Span, bool]] = {}

    def holds(self, message: Message, channel: Channel) -> bool:
        """Tell whether the hour matters to a message at all; the app's own inbox disturbs nobody."""
        return channel != Channel.IN_APP and self._rules.has_quiet_hours(message.klass, message.category)

    def night(self, message: Message, recipient: Recipient, device: UserDevice | None) -> Night:
        """Return whose zone, windows and holidays count."""
        zone, maker = (device.time_zone, device.manufacturer) if device is not None else _NO_DEVICE
        where = place(zone, recipient.time_zone, self._rules.time_zone, recipient.country or self._rules.country)
        windows = recipient.quiet_windows or self._rules.quiet_windows
        mine = tuple(one for one in windows if one.category in (EVERY_CATEGORY, message.category))
        country = (recipient.country or self._rules.country).upper() if any(one.holidays for one in mine) else ""
        vendor = self._vendors.get(maker.lower()) if message.klass == NotificationClass.MARKETING else None
        return Night(where, mine, country, vendor)

    def check_all(self, candidates: Iterable[Candidate], now_unix_ms: int) -> None:
        """Take out the devices that may not be disturbed now, and hold users of whom none is left."""
        last, holds = None, False
        for one in candidates:
            if last is None or one.message is not last.message or one.channel != last.channel:
                last, holds = one, self.holds(one.message, one.channel)
            if holds:
                self._check(one, now_unix_ms)

    def _check(self, one: Candidate, now_unix_ms: int) -> None:
        if one.channel != Channel.PUSH:
            one.hold = self.hold(one, None, now_unix_ms)
            return
        if len(one.devices) == 1:
            one.hold = self.hold(one, one.devices[0], now_unix_ms)
            return
        holds = [self.hold(one, device, now_unix_ms) for device in one.devices]
        if all(hold is PASSES for hold in holds):
            return
        pairs = list(zip(one.devices, holds, strict=True))
        awake = [device for device, hold in pairs if hold is PASSES]
        if not awake:
            one.hold = together(holds)
            return
        one.held = [*one.held, *(_held(device, hold) for device, hold in pairs if hold is not PASSES)]
        one.devices = awake

    def hold(self, one: Candidate, device: UserDevice | None, now_unix_ms: int) -> Hold:
        """Say whether to wait; None for the user without a device.

        The wait ends inside the next time without quiet hours, and before the message expires.
        """
        now_s = now_unix_ms // 1_000
        span, zone_known = self._known(one.message, one.recipient, device, now_s)
        if span.start_s <= now_s:
            one.holds(span.end_s)
            return PASSES
        start_ms, expires_ms = span.start_s * 1_000, one.message.expires_unix_ms
        if start_ms >= expires_ms:
            return _EXPIRES if zone_known else _NO_ZONE
        room_ms = min(span.end_s * 1_000, expires_ms) - start_ms
        jitter_ms = one.spread % min(room_ms, self._rules.jitter_s * 1_000 + 1)
        return Hold(Verdict.DEFER, Reason.QUIET_HOURS, start_ms + jitter_ms)

    def span(self, one: Candidate, device: UserDevice | None, now_unix_ms: int) -> Span:
        """Return when a user or device may be disturbed."""
        return self._known(one.message, one.recipient, device, now_unix_ms // 1_000)[0]

    def _known(
        self, message: Message, recipient: Recipient, device: UserDevice | None, now_s: int
    ) -> tuple[Span, bool]:
        zone, maker = (device.time_zone, device.manufacturer) if device is not None else _NO_DEVICE
        key = (
            zone, recipient.time_zone, recipient.country, maker, recipient.quiet_windows,
            message.category, message.klass,
        )  # fmt: skip
        known = self._spans.get(key)
        if known is not None and known[0].from_s <= now_s < known[0].end_s:
            return known
        night = self.night(message, recipient, device)
        if len(self._spans) >= _MAX_REMEMBERED:
            self._spans.clear()
        found = awake_span(night.rests(), now_s), night.place.source != ZoneSource.WORLD
        self._spans[key] = found
        return found


def together(holds: Sequence[Hold]) -> Hold:
    """Return what becomes of a user of whom every device is held: the soonest wait, or why there is none."""
    waits = [one for one in holds if one.verdict == Verdict.DEFER]
    return min(waits, key=lambda one: one.until_unix_ms) if waits else holds[0]


def _held(device: UserDevice, hold: Hold) -> HeldDevice:
    return HeldDevice(device, hold.verdict, Gate.QUIET_HOURS, hold.reason, hold.until_unix_ms)
