"""Whether a user had enough: every message is reserved against all rules it meets, or what the rule says happens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.candidates import Candidate
from core.policy.caps import CapRule, OverCap
from core.policy.consent import standing
from core.policy.counting import BLOCKED, KNOWN, NEVER_S, TABLE_FULL, CapPlan, Counting, Row
from core.policy.decision import PASSES, Count, Gate, Reason, Verdict
from core.policy.message import Message
from core.policy.people import Category, Channel, Recipient
from core.policy.rules import AppRules

# Counters that are full get room when what they hold grows old; until then marketing waits.
_FULL_WAIT_MS = 60_000


class Refusal(NamedTuple):
    """What becomes of a message for which a cap has no room. rule: None where the counters themselves are full."""

    verdict: Verdict
    reason: Reason
    until_unix_ms: int
    rule: CapRule | None


def refusal(
    plan: CapPlan, blocking: int, retry_at_s: int, message: Message, rules: AppRules, now_unix_ms: int
) -> Refusal:
    """Say what the blocking rule wants. What would wait past its expiry, or too long, is suppressed."""
    if blocking == TABLE_FULL:
        rule, over, until_ms, reason = None, OverCap.DEFER, now_unix_ms + _FULL_WAIT_MS, Reason.COUNTERS_FULL
    else:
        rule, until_ms, reason = plan.rules[blocking], retry_at_s * 1_000, Reason.FREQUENCY_CAP
        over = rule.over
    if over == OverCap.IN_APP_ONLY:
        return Refusal(Verdict.IN_APP_ONLY, reason, 0, rule)
    latest_ms = min(message.expires_unix_ms - 1, now_unix_ms + rules.max_cap_wait_s * 1_000)
    if over == OverCap.DEFER and retry_at_s != NEVER_S and until_ms <= latest_ms:
        return Refusal(Verdict.DEFER, reason, until_ms, rule)
    return Refusal(Verdict.SUPPRESS, reason, 0, rule)


def with_inbox(given: Refusal, category: Category, recipient: Recipient, now_unix_ms: int) -> Refusal:
    """Keep a message from the inbox of a user who does not want it there either."""
    if given.verdict != Verdict.IN_APP_ONLY or standing(category, Channel.IN_APP, recipient, now_unix_ms).allowed:
        return given
    return given._replace(verdict=Verdict.SUPPRESS)


class FrequencyCap:
    """The caps of users; what the hour holds is only asked for, so that it takes no room while it waits."""

    def __init__(self, rules: AppRules, counting: Counting) -> None:
        self._rules = rules
        self._counting = counting

    def check(self, candidates: Iterable[Candidate], now_unix_ms: int) -> None:
        """Reserve what may go now, and stop what has no room."""
        groups: dict[tuple[int, bool], tuple[CapPlan, list[Candidate]]] = {}
        last, plan = None, None
        for one in candidates:
            if last is None or one.message is not last.message or one.channel != last.channel:
                last, plan = one, self.plan(one)
            if plan is not None:
                key = (id(plan), one.hold is not PASSES)
                group = groups.get(key) or groups.setdefault(key, (plan, []))
                group[1].append(one)
        for (_, waits), (plan, members) in groups.items():
            self._check_group(plan, members, now_unix_ms, waits)

    def plan(self, one: Candidate) -> CapPlan | None:
        """Return what counts one message, if anything does."""
        plan = self._counting.plan(one.message, one.channel)
        return plan if plan.rules and one.message.klass != NotificationClass.SECURITY else None

    def limit(self, rule: CapRule, one: Candidate, now_unix_ms: int) -> int:
        """Return how many a rule lets the user have."""
        return self._counting.limit(rule, one.recipient, now_unix_ms // 1_000)

    def refused(self, plan: CapPlan, one: Candidate, now_unix_ms: int) -> Refusal | None:
        """Return what would happen to one message, reserving nothing."""
        answers = self._counting.reserve(plan, [self._row(plan, one)], now_unix_ms // 1_000, peek=True)
        if answers.granted[0] != BLOCKED:
            return None
        return self._refusal(plan, answers.blocking[0], answers.retry_at_s[0], one, now_unix_ms)

    def _check_group(self, plan: CapPlan, members: list[Candidate], now_unix_ms: int, waits: bool) -> None:
        rows = [self._row(plan, one) for one in members]
        answers = self._counting.reserve(plan, rows, now_unix_ms // 1_000, peek=waits)
        now_s = now_unix_ms // 1_000
        for one, row, granted, blocking, retry_at_s in zip(members, rows, *answers, strict=True):
            if granted != BLOCKED:
                if not waits:
                    one.user_count = Count(one.key, one.tag, plan.mask, granted != KNOWN)
                    one.holds(self._counting.holds_until_s(plan, row, now_s))
                continue
            found = self._refusal(plan, blocking, retry_at_s, one, now_unix_ms)
            if found is not None:
                one.stop(Gate.FREQUENCY_CAP, found.verdict, found.reason, found.until_unix_ms)

    def _refusal(
        self, plan: CapPlan, blocking: int, retry_at_s: int, one: Candidate, now_unix_ms: int
    ) -> Refusal | None:
        # What must arrive does not wait for memory.
        if blocking == TABLE_FULL and one.message.urgent:
            return None
        found = refusal(plan, blocking, retry_at_s, one.message, self._rules, now_unix_ms)
        return with_inbox(found, one.category, one.recipient, now_unix_ms)

    def _row(self, plan: CapPlan, one: Candidate) -> Row:
        zone = self._counting.zone(one.recipient, one.known) if plan.has_calendar else ""
        return Row(one.key, one.tag, one.recipient, zone)
