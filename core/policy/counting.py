"""Rules and recipients as the arrays that counters take, and their answers as verdicts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.hashing import SipHash
from core.policy.caps import MONTH_S, CapFilter, CapRule, Window
from core.policy.count_keys import device_hashes, device_name, stranger_name, user_hashes
from core.policy.decision import Count
from core.policy.message import Message
from core.policy.people import Channel, Recipient, UserDevice
from core.policy.periods import Periods
from core.policy.ports import CapCounters
from core.policy.rules import AppRules
from core.policy.zones import is_zone, place

MAX_RULES = 16
# What counters answer, as core.frequency has it.
BLOCKED, KNOWN = 0, 2
TABLE_FULL = 255
NEVER_S = 0xFFFFFFFF
# Counters forget a filter that nobody asked for in a month.
_ASK_AGAIN_S = 3_600
_MAX_PLANS = 4_096


@dataclass(frozen=True, slots=True)
class CapPlan:
    """The rules that a message meets, a column each; mask: their filters' bits, frozen with the reservation.

    holds_s: how long what is reserved may wait; later, rolling windows would have moved past it before it is sent.
    """

    rules: tuple[CapRule, ...]
    bits: tuple[int, ...]
    mask: int
    has_calendar: bool
    holds_s: int


class Row(NamedTuple):
    """One message to one user or device, to be counted under a key."""

    key: int
    tag: int
    recipient: Recipient
    zone: str


class Answers(NamedTuple):
    """What counters said, row by row: granted, the blocking rule's column or TABLE_FULL, when there is room again."""

    granted: array[int]
    blocking: array[int]
    retry_at_s: array[int]


class Counting:
    """One app's caps over shared counters."""

    def __init__(self, rules: AppRules, counters: CapCounters, hashes: SipHash, now_s: int) -> None:
        """Raises ValueError when a message could meet more than 16 rules, or the counters have no filter left."""
        for maker in {rule.filter.manufacturer for rule in rules.caps}:
            if sum(rule.filter.manufacturer == maker for rule in rules.caps) > MAX_RULES:
                raise ValueError(f"{rules.app}: at most {MAX_RULES} caps" + (f" for {maker}" if maker else ""))
        self._rules = rules
        self._counters = counters
        self._filter_hashes = hashes.derive("cap filter")
        self._user_hashes = user_hashes(hashes, rules.app)
        self._device_hashes = device_hashes(hashes, rules.app)
        self._message_hashes = hashes.derive("cap message")
        self._periods = Periods()
        self._filters = list(dict.fromkeys(rule.filter for rule in rules.caps))
        self._bits: dict[CapFilter, int] = {}
        self._plans: dict[tuple[object, ...], CapPlan] = {}
        self._asked_s = 0
        self.makers = frozenset(rule.filter.manufacturer for rule in rules.caps if rule.filter.manufacturer)
        self.refresh(now_s)

    def refresh(self, now_s: int) -> None:
        """Keep the counters from giving this app's filters to another."""
        if now_s - self._asked_s < _ASK_AGAIN_S:
            return
        hashes = [self._filter_hash(one) for one in self._filters]
        bits = dict(zip(self._filters, self._counters.assign_filters(hashes, now_s), strict=True))
        if bits != self._bits:
            self._bits = bits
            self._plans.clear()
        self._asked_s = now_s

    def plan(self, message: Message, channel: Channel, maker: str = "") -> CapPlan:
        """Return what a message is counted by: for its user, or for a device of this maker."""
        key = (message.klass, message.category, channel, message.tags, maker)
        known = self._plans.get(key)
        if known is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            known = self._plans[key] = self._planned(message, channel, maker)
        return known

    def user_keys(self, recipients: Sequence[Recipient]) -> array[int]:
        """Return each user's key."""
        keys = array("Q", bytes(8 * len(recipients)))
        self._user_hashes.hash64_many([one.user_id for one in recipients], keys)
        return keys

    def stranger_key(self, device: UserDevice) -> int:
        """Return by what a device is counted whose user is not known, so that strangers share no cap."""
        return self._user_hashes.hash64(stranger_name(device.target.provider, device.target.token))

    def device_key(self, device: UserDevice) -> int:
        """Return a device's key."""
        return self._device_hashes.hash64(device_name(device.target.provider, device.target.token))

    def message_hash(self, message: Message) -> int:
        """Return 64 bits of a notification's id: the lower 32 are the tag it is counted by."""
        return self._message_hashes.hash64(message.notification_id)

    def reserve(self, plan: CapPlan, rows: Sequence[Row], now_s: int, peek: bool = False) -> Answers:
        """Count rows against a plan's rules where all have room. peek: only ask."""
        n, k = len(rows), len(plan.rules)
        answers = Answers(array("B", bytes(n)), array("B", bytes(n)), array("I", bytes(4 * n)))
        since_s, until_s = self._windows(plan, rows, now_s)
        self._counters.reserve_many(
            array("Q", [row.key for row in rows]), array("I", [row.tag for row in rows]), array("Q", [plan.mask]) * n,
            array("B", plan.bits) * n, self._limits(plan, rows, now_s, k), since_s, until_s, now_s, *answers, peek,
        )  # fmt: skip
        return answers

    def commit(self, counts: Iterable[Count], now_s: int) -> None:
        """Count what was sent."""
        given = list(counts)
        if given:
            keys, tags = array("Q", [one.key for one in given]), array("I", [one.tag for one in given])
            self._counters.commit_many(keys, tags, array("Q", [one.mask for one in given]), now_s)

    def release(self, counts: Iterable[Count]) -> None:
        """Un-count what was reserved and not sent; what was counted before stays."""
        given = [one for one in counts if one.fresh]
        if given:
            self._counters.release_many(array("Q", [one.key for one in given]), array("I", [one.tag for one in given]))

    def holds_until_s(self, plan: CapPlan, row: Row, now_s: int) -> int:
        """Return until when what is reserved now may be sent without being decided anew."""
        ends = [now_s + plan.holds_s]
        if plan.has_calendar:
            windows = (rule.window for rule in plan.rules if rule.window != Window.ROLLING)
            ends += [self._periods.at(row.zone, window, now_s).until_s for window in windows]
        return min(ends)

    def zone(self, recipient: Recipient, devices: Sequence[UserDevice]) -> str:
        """Return by whose clock a user's calendar windows go; one zone, so that devices do not count apart."""
        for name in (recipient.time_zone, *(device.time_zone for device in devices), self._rules.time_zone):
            if name and is_zone(name):
                return name
        zones = place("", "", "", recipient.country or self._rules.country).zones
        return zones[0] if zones else "UTC"

    def limit(self, rule: CapRule, recipient: Recipient, now_s: int) -> int:
        """Return how many a rule lets one user have."""
        if not rule.adaptive:
            return rule.limit
        return min(
            rule.limit, self._rules.adaptive.limit(recipient.last_open_unix_ms, recipient.too_many, now_s * 1_000)
        )

    def _limits(self, plan: CapPlan, rows: Sequence[Row], now_s: int, k: int) -> array[int]:
        limits = array("H", [rule.limit for rule in plan.rules]) * len(rows)
        for column, rule in enumerate(plan.rules):
            if rule.adaptive:
                limits[column::k] = array("H", [self.limit(rule, row.recipient, now_s) for row in rows])
        return limits

    def _windows(self, plan: CapPlan, rows: Sequence[Row], now_s: int) -> tuple[array[int], array[int]]:
        n, k = len(rows), len(plan.rules)
        since_s = array("I", [max(0, now_s - rule.period_s) for rule in plan.rules]) * n
        until_s = array("I", bytes(4 * n * k))
        for column, rule in enumerate(plan.rules):
            if rule.window != Window.ROLLING:
                periods = [self._periods.at(row.zone, rule.window, now_s) for row in rows]
                since_s[column::k] = array("I", [one.since_s for one in periods])
                until_s[column::k] = array("I", [one.until_s for one in periods])
        return since_s, until_s

    def _planned(self, message: Message, channel: Channel, maker: str) -> CapPlan:
        rules = tuple(
            rule
            for rule in self._rules.caps
            if rule.filter.manufacturer == maker
            and rule.filter.matches(message.klass, message.category, channel, message.tags)
        )
        bits = tuple(self._bits[rule.filter] for rule in rules)
        mask = sum(1 << bit for bit in set(bits))
        rolling = [rule.period_s for rule in rules if rule.window == Window.ROLLING]
        return CapPlan(rules, bits, mask, len(rolling) < len(rules), min(rolling, default=MONTH_S) // 2)

    def _filter_hash(self, one: CapFilter) -> int:
        classes = ",".join(str(int(klass)) for klass in sorted(one.classes))
        text = "\x1f".join((classes, one.category, str(one.channel), one.tag, one.manufacturer))
        return self._filter_hashes.hash64(text) or 1
