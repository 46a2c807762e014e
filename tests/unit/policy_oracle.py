"""Quiet hours and caps over again, by brute force: one moment, one event after the other, with only core's values."""

from __future__ import annotations

import importlib.resources
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import holidays

from core.policy.caps import CapRule, Window
from core.policy.message import Message
from core.policy.people import Channel, QuietWindow, Recipient, UserDevice
from core.policy.rules import AppRules

_MARKETING, _SERVICE = 3, 2
# How many clocks are looked at for somebody who may be anywhere.
EVERYWHERE = 26


@cache
def country_zones(country: str) -> tuple[str, ...]:
    """Return a country's zones by the time zone database's own table."""
    table = importlib.resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text()
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return tuple(row[2].strip() for row in rows if row[0] == country)


@cache
def _world() -> tuple[tzinfo, ...]:
    return tuple(timezone(timedelta(minutes=minutes)) for minutes in range(-11 * 60, 14 * 60 + 1, 60))


@cache
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError):
        return None


@cache
def _zones_of_country(country: str) -> tuple[tzinfo, ...]:
    return tuple(ZoneInfo(name) for name in country_zones(country))


def zones_of(rules: AppRules, recipient: Recipient, device: UserDevice | None) -> tuple[tzinfo, ...]:
    """Return the zones in all of which it must not be quiet."""
    for name in (device.time_zone if device else "", recipient.time_zone, rules.time_zone):
        if (zone := _zone(name)) is not None:
            return (zone,)
    country = recipient.country or rules.country
    return _zones_of_country(country) or _world()


@cache
def _holidays(country: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, years=year))


def quiet_on(local: datetime, windows: Iterable[QuietWindow], country: str) -> bool:
    """Tell whether a local time is quiet, by looking at it as people would."""
    minute, today = local.hour * 60 + local.minute, local.weekday()
    for window in windows:
        begins_today = not window.weekdays or bool(window.weekdays & 1 << today)
        began_yesterday = not window.weekdays or bool(window.weekdays & 1 << (today - 1) % 7)
        if window.start_minute < window.end_minute:
            if begins_today and window.start_minute <= minute < window.end_minute:
                return True
        elif (begins_today and minute >= window.start_minute) or (began_yesterday and minute < window.end_minute):
            return True
        if window.holidays and country and local.date() in _holidays(country, local.year):
            return True
    return False


def is_quiet(rules: AppRules, message: Message, recipient: Recipient, device: UserDevice | None, unix_ms: int) -> bool:
    """Tell whether a device, or a user, must not be disturbed by a message at a moment."""
    if message.klass < _SERVICE:
        return False
    if message.klass == _SERVICE and (not rules.service_is_quiet or message.category in rules.never_quiet):
        return False
    given = recipient.quiet_windows or rules.quiet_windows
    windows = [one for one in given if one.category in {"", message.category}]
    country = recipient.country or rules.country
    moment = datetime.fromtimestamp(unix_ms / 1_000, UTC)
    if any(quiet_on(moment.astimezone(zone), windows, country) for zone in zones_of(rules, recipient, device)):
        return True
    if device is None or message.klass != _MARKETING:
        return False
    in_beijing = moment.astimezone(ZoneInfo("Asia/Shanghai"))
    makers = (one.window for one in rules.vendor_hours if one.manufacturer == device.manufacturer.lower())
    return quiet_on(in_beijing, makers, "")


class Sent(NamedTuple):
    """What was sent to one user."""

    at_s: int
    message: Message
    channel: Channel
    devices: Sequence[UserDevice]


def counts(rule: CapRule, message: Message, channel: Channel) -> bool:
    """Tell whether a rule counts a message, apart from the device's maker."""
    wanted = rule.filter
    return (
        message.klass in wanted.classes
        and (wanted.category == "" or wanted.category == message.category)
        and (wanted.channel == 0 or wanted.channel == channel)
        and (wanted.tag == "" or wanted.tag in message.tags)
    )


def _label(window: Window, at_s: int, zone: tzinfo) -> tuple[object, ...]:
    local = datetime.fromtimestamp(at_s, zone)
    return {
        Window.HOUR: (local.date(), local.hour, local.utcoffset()),
        Window.DAY: (local.date(),),
        Window.WEEK: tuple(local.isocalendar())[:2],
        Window.MONTH: (local.year, local.month),
    }[window]


def in_window(rule: CapRule, at_s: int, now_s: int, zone: tzinfo) -> bool:
    """Tell whether a moment lies in the rule's window as it stands now."""
    if rule.window == Window.ROLLING:
        return now_s - at_s <= rule.period_s
    return _label(rule.window, at_s, zone) == _label(rule.window, now_s, zone)


def limit_of(rules: AppRules, rule: CapRule, recipient: Recipient, now_ms: int) -> int:
    """Return how many a rule lets a user have."""
    if not rule.adaptive:
        return rule.limit
    week, days = rules.adaptive, (now_ms - recipient.last_open_unix_ms) / 86_400_000
    if not recipient.last_open_unix_ms:
        mine = week.fewest
    elif days > week.silent_days:
        mine = 0
    elif days > week.quiet_days or recipient.too_many:
        mine = week.fewest
    else:
        mine = week.usual if days > week.active_days else week.most
    return min(mine, rule.limit)


def cap_zone(rules: AppRules, recipient: Recipient, devices: Sequence[UserDevice]) -> tzinfo:
    """Return by whose clock calendar windows go."""
    for name in (recipient.time_zone, *(device.time_zone for device in devices), rules.time_zone):
        if (zone := _zone(name)) is not None:
            return zone
    # The first in the alphabet of those that CLDR and the database agree on.
    return ZoneInfo(min(country_zones(recipient.country or rules.country), default="UTC"))


class Log:
    """All that was sent, by user and by device."""

    def __init__(self) -> None:
        self._by_user: defaultdict[str, list[Sent]] = defaultdict(list)
        self._by_device: defaultdict[str, list[Sent]] = defaultdict(list)

    def add(self, user_id: str, sent: Sent) -> None:
        """Note what was sent."""
        self._by_user[user_id].append(sent)
        for device in sent.devices:
            self._by_device[device.target.token].append(sent)

    def full(
        self, rules: AppRules, message: Message, channel: Channel, recipient: Recipient, known: Sequence[UserDevice],
        now_ms: int,
    ) -> Iterator[CapRule]:  # fmt: skip
        """Give the user's rules that have no room for a message."""
        zone = cap_zone(rules, recipient, known)
        for rule in rules.caps:
            if rule.filter.manufacturer or not counts(rule, message, channel):
                continue
            mine = self._by_user[recipient.user_id]
            if self._count(mine, rule, now_ms, zone) >= limit_of(rules, rule, recipient, now_ms):
                yield rule

    def full_device(self, rules: AppRules, message: Message, channel: Channel, device: UserDevice, now_ms: int) -> bool:
        """Tell whether the quota of a device's maker has no room for a message."""
        zone = ZoneInfo("Asia/Shanghai")
        return channel == Channel.PUSH and any(
            self._count(self._by_device[device.target.token], rule, now_ms, zone) >= rule.limit
            for rule in rules.caps
            if rule.filter.manufacturer == device.manufacturer.lower() != "" and counts(rule, message, channel)
        )

    def _count(self, sent: list[Sent], rule: CapRule, now_ms: int, zone: tzinfo) -> int:
        now_s = now_ms // 1_000
        return sum(counts(rule, one.message, one.channel) and in_window(rule, one.at_s, now_s, zone) for one in sent)
