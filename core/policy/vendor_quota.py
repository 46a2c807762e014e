"""Whether a device's maker still takes marketing today: quotas of vendors, counted for each device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.candidates import Candidate
from core.policy.counting import BLOCKED, KNOWN, CapPlan, Counting, Row
from core.policy.decision import Count, Gate, HeldDevice, Reason, Verdict
from core.policy.frequency_cap import Refusal, refusal, with_inbox
from core.policy.people import Channel, UserDevice
from core.policy.rules import VENDOR_ZONE, AppRules


class _Plans(dict[str, CapPlan | None]):
    """What counts the devices of one message, by their maker as they spell it; None for nothing."""


class _CountedDevice(NamedTuple):
    """A device that counts: whose, and which of them."""

    candidate: Candidate
    place: int


class VendorQuota:
    """The caps of devices."""

    def __init__(self, rules: AppRules, counting: Counting) -> None:
        self._rules = rules
        self._counting = counting

    def check(self, candidates: Iterable[Candidate], now_unix_ms: int) -> None:
        """Reserve for each device of the makers that count, and take those without room out.

        A user of whom no device is left is decided, and what was reserved for the user is released.
        """
        groups: dict[int, tuple[CapPlan, list[_CountedDevice]]] = {}
        last, known = None, _Plans()
        for one in candidates if self._counting.makers else ():
            if one.message is not last:
                last, known = one.message, _Plans()
            for index, plan in self.plans(one, known):
                groups.setdefault(id(plan), (plan, []))[1].append(_CountedDevice(one, index))
        refused: dict[int, tuple[Candidate, dict[int, Refusal]]] = {}
        for plan, members in groups.values():
            self._check_group(plan, members, now_unix_ms, refused)
        stopped = [_without(one, found) for one, found in refused.values()]
        self._counting.release(count for count in stopped if count is not None)

    def plans(self, one: Candidate, known: _Plans | None = None) -> list[tuple[int, CapPlan]]:
        """Return the devices of one message that count, by their index. known: what was found for this message."""
        if one.channel != Channel.PUSH or one.message.klass == NotificationClass.SECURITY:
            return []
        known = _Plans() if known is None else known
        found = []
        for index, device in enumerate(one.devices):
            maker = device.manufacturer
            if maker not in known:
                known[maker] = self._plan(one, maker.lower())
            plan = known[maker]
            if plan is not None:
                found.append((index, plan))
        return found

    def _plan(self, one: Candidate, maker: str) -> CapPlan | None:
        if not maker or maker not in self._counting.makers:
            return None
        plan = self._counting.plan(one.message, one.channel, maker)
        return plan if plan.rules else None

    def refused(self, one: Candidate, now_unix_ms: int) -> dict[int, Refusal]:
        """Return the devices that have no room, by their index; nothing is reserved."""
        found: dict[int, Refusal] = {}
        for index, plan in self.plans(one):
            answers = self._counting.reserve(
                plan, [self._row(one, one.devices[index])], now_unix_ms // 1_000, peek=True
            )
            if answers.granted[0] == BLOCKED and not one.message.urgent:
                found[index] = self._refusal(plan, answers.blocking[0], answers.retry_at_s[0], one, now_unix_ms)
        return found

    def _check_group(
        self, plan: CapPlan, members: Sequence[_CountedDevice], now_unix_ms: int,
        refused: dict[int, tuple[Candidate, dict[int, Refusal]]],
    ) -> None:  # fmt: skip
        rows = [self._row(one, one.devices[index]) for one, index in members]
        answers = self._counting.reserve(plan, rows, now_unix_ms // 1_000)
        for (one, index), row, granted, blocking, retry_at_s in zip(members, rows, *answers, strict=True):
            if granted != BLOCKED:
                counts = list(one.device_counts) or [None] * len(one.devices)
                counts[index] = Count(row.key, row.tag, plan.mask, granted != KNOWN)
                one.device_counts = counts
                one.holds(self._counting.holds_until_s(plan, row, now_unix_ms // 1_000))
            elif not one.message.urgent:
                found = self._refusal(plan, blocking, retry_at_s, one, now_unix_ms)
                refused.setdefault(one.place, (one, {}))[1][index] = found

    def _refusal(self, plan: CapPlan, blocking: int, retry_at_s: int, one: Candidate, now_unix_ms: int) -> Refusal:
        found = refusal(plan, blocking, retry_at_s, one.message, self._rules, now_unix_ms)
        if found.reason == Reason.FREQUENCY_CAP:
            found = found._replace(reason=Reason.VENDOR_QUOTA)
        return with_inbox(found, one.category, one.recipient, now_unix_ms)

    def _row(self, one: Candidate, device: UserDevice) -> Row:
        return Row(self._counting.device_key(device), one.tag, one.recipient, VENDOR_ZONE)


def together(refusals: Iterable[Refusal], held: Iterable[HeldDevice]) -> Refusal:
    """Return what becomes of a message when no device is left: the soonest wait, else the inbox, else nothing.

    held: devices that wait for another reason; then the user waits with them.
    """
    order = {Verdict.DEFER: 0, Verdict.IN_APP_ONLY: 1, Verdict.SUPPRESS: 2}
    waits = [Refusal(one.verdict, Reason.VENDOR_QUOTA, one.until_unix_ms, None) for one in held if one.until_unix_ms]
    return min([*refusals, *waits], key=lambda one: (order[one.verdict], one.until_unix_ms))


def _without(one: Candidate, refused: dict[int, Refusal]) -> Count | None:
    """Take refused devices out; return the user's count where that leaves none, for it to be released."""
    devices, counts = one.devices, list(one.device_counts)
    one.devices = [device for index, device in enumerate(devices) if index not in refused]
    if not one.devices:
        found = together(refused.values(), one.held)
        one.stop(Gate.VENDOR_QUOTA, found.verdict, found.reason, found.until_unix_ms)
        return one.user_count
    one.device_counts = [count for index, count in enumerate(counts) if index not in refused]
    one.held = (*one.held, *(_held(devices[index], found) for index, found in refused.items()))
    return None


def _held(device: UserDevice, found: Refusal) -> HeldDevice:
    verdict = Verdict.DEFER if found.verdict == Verdict.DEFER else Verdict.SUPPRESS
    return HeldDevice(device, verdict, Gate.VENDOR_QUOTA, found.reason, found.until_unix_ms)
