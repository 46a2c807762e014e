"""Every gate's verdict on one message to one user, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.candidates import Candidate
from core.policy.channels import Choice
from core.policy.consent import consent_stop, said
from core.policy.decision import PASSES, Gate, GateVerdict, Hold, Reason, Verdict
from core.policy.frequency_cap import FrequencyCap
from core.policy.people import Channel, Permission, UserDevice
from core.policy.permission import permission_stop
from core.policy.preference import preference_stop
from core.policy.quiet_hours import QuietHours
from core.policy.quiet_hours import together as held_together
from core.policy.rules import AppRules
from core.policy.suppression import stopped_by
from core.policy.vendor_quota import VendorQuota
from core.policy.vendor_quota import together as refused_together
from core.policy.wording import awake_words, cap_words, moment_words, quiet_words

_CLASSES = {
    NotificationClass.SECURITY: "security: always sent, at any hour",
    NotificationClass.TRANSACTIONAL: "transactional: needs no consent, passes quiet hours",
    NotificationClass.SERVICE: "service: on unless the user or the app says no",
    NotificationClass.MARKETING: "marketing: needs a consent on record, keeps quiet hours and caps",
}


class _Case(NamedTuple):
    """What is explained."""

    one: Candidate
    choice: Choice
    now_unix_ms: int


class Explainer:
    """Asks each gate by itself, also behind one that does not pass."""

    def __init__(self, rules: AppRules, quiet: QuietHours, cap: FrequencyCap, quota: VendorQuota) -> None:
        self._rules = rules
        self._quiet = quiet
        self._cap = cap
        self._quota = quota

    def explain(self, one: Candidate, choice: Choice, now_unix_ms: int) -> list[GateVerdict]:
        """Return the gates' verdicts in their order."""
        case = _Case(one, choice, now_unix_ms)
        gates: tuple[Callable[[_Case], GateVerdict], ...] = (
            _class, _consent, _permission, _suppression, _preference, self._frequency_cap, self._quiet_hours,
            self._vendor_quota, _channel,
        )  # fmt: skip
        return [gate(case) for gate in gates]

    def _frequency_cap(self, case: _Case) -> GateVerdict:
        one = case.one
        plan = self._cap.plan(one)
        if plan is None:
            return _passes(Gate.FREQUENCY_CAP, "no cap counts it")
        found = self._cap.refused(plan, one, case.now_unix_ms)
        if found is None:
            limits = [self._cap.limit(rule, one, case.now_unix_ms) for rule in plan.rules]
            each = (cap_words(rule, limit) for rule, limit in zip(plan.rules, limits, strict=True))
            return _passes(Gate.FREQUENCY_CAP, f"room under {'; '.join(each)}")
        if found.rule is None:
            words = "the counters have no room left"
        else:
            words = f"reached {cap_words(found.rule, self._cap.limit(found.rule, one, case.now_unix_ms))}"
        return _stops(Gate.FREQUENCY_CAP, found.verdict, found.reason, words, found.until_unix_ms)

    def _quiet_hours(self, case: _Case) -> GateVerdict:
        one = case.one
        if not self._quiet.holds(one.message, one.channel):
            return _passes(Gate.QUIET_HOURS, "quiet hours do not hold it")
        devices: Sequence[UserDevice | None] = one.devices if one.channel == Channel.PUSH and one.devices else (None,)
        holds = [self._quiet.hold(one, each, case.now_unix_ms) for each in devices]
        lines = [self._quiet_line(case, each, hold) for each, hold in zip(devices, holds, strict=True)]
        detail = "; ".join(dict.fromkeys(lines))
        if PASSES in holds:
            return _passes(Gate.QUIET_HOURS, detail)
        found = held_together(holds)
        return _stops(Gate.QUIET_HOURS, found.verdict, found.reason, detail, found.until_unix_ms)

    def _quiet_line(self, case: _Case, device: UserDevice | None, hold: Hold) -> str:
        night = self._quiet.night(case.one.message, case.one.recipient, device)
        if hold is PASSES:
            return awake_words(night, case.now_unix_ms)
        span = self._quiet.span(case.one, device, case.now_unix_ms)
        return quiet_words(night, span, hold, case.now_unix_ms)

    def _vendor_quota(self, case: _Case) -> GateVerdict:
        one = case.one
        self._quiet.check_all([one], case.now_unix_ms)
        plans = self._quota.plans(one)
        if not plans:
            return _passes(Gate.VENDOR_QUOTA, "no vendor's quota counts it")
        refused = self._quota.refused(one, case.now_unix_ms)
        words = [cap_words(rule, rule.limit) for _, plan in plans for rule in plan.rules]
        detail = f"{len(refused)} of {len(one.devices)} devices without room under {'; '.join(dict.fromkeys(words))}"
        if len(refused) < len(one.devices):
            return _passes(Gate.VENDOR_QUOTA, detail)
        found = refused_together(refused.values(), one.held)
        return _stops(Gate.VENDOR_QUOTA, found.verdict, found.reason, detail, found.until_unix_ms)


def _class(case: _Case) -> GateVerdict:
    return _passes(Gate.CLASS, _CLASSES[case.one.message.klass])


def _consent(case: _Case) -> GateVerdict:
    one = case.one
    if one.message.klass != NotificationClass.MARKETING:
        return _passes(Gate.CONSENT, "needs none")
    reason = consent_stop(one.category, one.channel, one.recipient)
    if not reason:
        return _passes(Gate.CONSENT, f"yes to {_scope(one)} on record")
    words = f"no consent to {_scope(one)} on record" if reason == Reason.NO_CONSENT else _no(reason, one)
    return _stops(Gate.CONSENT, Verdict.SUPPRESS, reason, words)


def _permission(case: _Case) -> GateVerdict:
    one = case.one
    if one.channel != Channel.PUSH:
        return _passes(Gate.PERMISSION, f"{one.channel.name.lower()} needs no device")
    denied = sum(device.permission == Permission.DENIED for device in case.one.known)
    words = f"{len(case.one.known)} devices, of which {denied} show nothing"
    reason = permission_stop(one.channel, case.one.known)
    if not reason or one.message.urgent:
        return _passes(Gate.PERMISSION, words)
    return _stops(Gate.PERMISSION, Verdict.SUPPRESS, reason, words)


def _suppression(case: _Case) -> GateVerdict:
    one = case.one
    found = stopped_by(one.message.klass, one.category.name, one.channel, one.recipient, case.now_unix_ms)
    if found is None:
        return _passes(Gate.SUPPRESSION, "nothing in force covers it")
    until = f", until {moment_words(found.end_unix_ms)}" if found.end_unix_ms else ""
    return _stops(Gate.SUPPRESSION, Verdict.SUPPRESS, Reason.SUPPRESSED, f"{found.reason}{until}")


def _preference(case: _Case) -> GateVerdict:
    one = case.one
    reason = preference_stop(one.category, one.channel, one.recipient)
    if reason:
        return _stops(Gate.PREFERENCE, Verdict.SUPPRESS, reason, _no(reason, one))
    if one.message.klass == NotificationClass.SECURITY:
        return _passes(Gate.PREFERENCE, "does not ask")
    word = said(one.category, one.channel, one.recipient.choices)
    return _passes(Gate.PREFERENCE, f"yes to {_scope(one)}" if word else "nothing said against it")


def _channel(case: _Case) -> GateVerdict:
    wished = ", ".join(channel.name.lower() for channel in case.one.message.channels)
    if case.choice.gate == Gate.CHANNEL:
        return _passes(Gate.CHANNEL, f"{case.choice.channel.name.lower()} of {wished}")
    return _stops(Gate.CHANNEL, Verdict.SUPPRESS, case.choice.reason, f"none of {wished} is open")


def _scope(one: Candidate) -> str:
    return f"{one.category.name or 'no category'} by {one.channel.name.lower()}"


def _no(reason: Reason, one: Candidate) -> str:
    scopes = {
        Reason.USER_CATEGORY_CHANNEL: _scope(one),
        Reason.USER_CATEGORY: one.category.name,
        Reason.USER_CHANNEL: f"all marketing by {one.channel.name.lower()}",
        Reason.USER_ALL: "all marketing",
        Reason.APP_DEFAULT: f"{_scope(one)}, as the app's default",
    }
    return f"no to {scopes[reason]}"


def _passes(gate: Gate, detail: str) -> GateVerdict:
    return GateVerdict(gate, Verdict.PASS, Reason.NONE, detail)


def _stops(gate: Gate, verdict: Verdict, reason: Reason, detail: str, until_unix_ms: int = 0) -> GateVerdict:
    return GateVerdict(gate, verdict, reason, detail, until_unix_ms)
