"""All gates over batches, in their fixed order: one app's rules, its users' will, the hour, and what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.hashing import SipHash
from core.model import NotificationClass
from core.policy.alike import Alike
from core.policy.candidates import Candidate
from core.policy.channels import choose
from core.policy.counting import Counting
from core.policy.decision import PASSES, Count, Decision, Gate, GateVerdict, Reason, Verdict
from core.policy.explaining import Explainer
from core.policy.frequency_cap import FrequencyCap
from core.policy.message import Message
from core.policy.people import Category, Channel, Recipient, UserDevice
from core.policy.ports import CapCounters
from core.policy.quiet_hours import QuietHours
from core.policy.rules import AppRules
from core.policy.vendor_quota import VendorQuota

_SECURITY = NotificationClass.SECURITY
_PASSES = (Verdict.PASS, Gate.CHANNEL, Reason.NONE, 0)


class _Path(NamedTuple):
    """Whether a message passes by its class alone, and what of a user's words makes it go through all gates."""

    free: bool
    minds_suppressions: bool
    minds_choices: bool


_GATED = _Path(False, True, True)


class Policy:
    """The gates of one app, with what they remember between batches. Not for several threads at once.

    class -> consent -> permission -> suppression -> preference -> frequency cap -> quiet hours -> vendor quota ->
    channel. The hour is looked at ahead of the caps, so that only what goes now takes room; a cap's word goes first.
    """

    def __init__(self, rules: AppRules, counters: CapCounters, hashes: SipHash, now_unix_ms: int) -> None:
        """hashes: under the same key in all workers, since its hashes name users and filters in shared counters.

        Raises ValueError when there are too many caps, or all filters of the counters are taken.
        """
        self._rules = rules
        self._counting = Counting(rules, counters, hashes, now_unix_ms // 1_000)
        self._quiet = QuietHours(rules)
        self._cap = FrequencyCap(rules, self._counting)
        self._quota = VendorQuota(rules, self._counting)
        self._explainer = Explainer(rules, self._quiet, self._cap, self._quota)
        self._counted = frozenset(klass for rule in rules.caps for klass in rule.filter.classes)
        self._categories = {(one.klass, one.name): one for one in rules.categories}

    def decide_many(
        self, message: Message, recipients: Sequence[Recipient], devices: Sequence[Sequence[UserDevice]],
        now_unix_ms: int,
    ) -> list[Decision]:  # fmt: skip
        """Take one message to n users through all gates and reserve it; return n decisions in the same order.

        devices: each user's, n. An unknown user is Recipient(user_id).
        """
        return self.decide_each([message] * len(recipients), recipients, devices, now_unix_ms)

    def decide_each(
        self, messages: Sequence[Message], recipients: Sequence[Recipient], devices: Sequence[Sequence[UserDevice]],
        now_unix_ms: int,
    ) -> list[Decision]:  # fmt: skip
        """Take n messages, each to one user, through all gates and reserve them; all three are aligned."""
        decisions: list[Decision | None] = [None] * len(messages)
        alike, gated = Alike(), []
        last, path, push = None, _GATED, True
        for place, (message, recipient, mine) in enumerate(zip(messages, recipients, devices, strict=True)):
            if message is not last:
                last, path, push = message, self._path(message), message.channels[0] == Channel.PUSH
                alike.begin(message, counted=message.klass in self._counted)
            if path.free and not (
                (path.minds_suppressions and recipient.suppressions) or (path.minds_choices and recipient.choices)
            ):
                decisions[place] = Decision(*_PASSES, message.channels[0], mine if push else ())
            elif not alike.joins(place, recipient, mine):
                gated.append(place)

        def decide(places: Iterable[int]) -> None:
            opened = [self._opened(at, messages[at], recipients[at], devices[at], now_unix_ms) for at in places]
            candidates = [one for one in opened if isinstance(one, Candidate)]
            self._pass(candidates, now_unix_ms)
            for at, one in zip(places, opened, strict=True):
                decisions[at] = one.end() if isinstance(one, Candidate) else one

        decide(gated)
        decide(alike.settle(decisions, devices))
        return [one for one in decisions if one is not None]

    def explain(
        self, message: Message, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
    ) -> list[GateVerdict]:
        """Return the verdict of every gate in their order, with details for people; nothing is reserved."""
        self._counting.refresh(now_unix_ms // 1_000)
        category = self.category(message)
        choice = choose(message, category, recipient, devices, now_unix_ms)
        one = Candidate(0, message, category, recipient, choice.channel, devices)
        self._name([one])
        return self._explainer.explain(one, choice, now_unix_ms)

    def commit(self, counts: Iterable[Count], now_unix_ms: int) -> None:
        """Count what was sent; Decision.counts() gives what to name."""
        self._counting.commit(counts, now_unix_ms // 1_000)

    def release(self, counts: Iterable[Count]) -> None:
        """Un-count what was reserved and then not sent."""
        self._counting.release(counts)

    def category(self, message: Message) -> Category:
        """Return a message's category; one that the app does not have is on for all but marketing."""
        found = self._categories.get((message.klass, message.category))
        return found or Category(message.category, message.klass)

    def _path(self, message: Message) -> _Path:
        """Tell whether an urgent message needs no gate but its class for users who said nothing that it minds."""
        if not message.urgent or len(message.channels) > 1 or message.klass in self._counted:
            return _GATED
        if message.klass == _SECURITY:
            return _Path(True, False, False)
        category = self.category(message)
        return _Path(category.default_on, True, category.user_may_disable)

    def _opened(
        self, place: int, message: Message, recipient: Recipient, devices: Sequence[UserDevice], now_unix_ms: int
    ) -> Candidate | Decision:
        category = self.category(message)
        choice = choose(message, category, recipient, devices, now_unix_ms)
        if choice.gate != Gate.CHANNEL:
            return Decision(Verdict.SUPPRESS, choice.gate, choice.reason, 0, choice.channel)
        return Candidate(place, message, category, recipient, choice.channel, devices)

    def _pass(self, candidates: list[Candidate], now_unix_ms: int) -> None:
        if not candidates:
            return
        self._counting.refresh(now_unix_ms // 1_000)
        self._name(candidates)
        self._quiet.check_all(candidates, now_unix_ms)
        counted = [one for one in candidates if one.message.klass in self._counted]
        self._cap.check(counted, now_unix_ms)
        for one in candidates:
            if one.decision is None and one.hold is not PASSES:
                one.stop(Gate.QUIET_HOURS, *one.hold)
        self._quota.check((one for one in counted if one.decision is None), now_unix_ms)

    def _name(self, candidates: list[Candidate]) -> None:
        """Give users and messages the hashes by which they are counted and spread."""
        keys = self._counting.user_keys([one.recipient for one in candidates])
        last, hashed = None, 0
        for one, key in zip(candidates, keys, strict=True):
            if one.message is not last:
                last, hashed = one.message, self._counting.message_hash(one.message)
            if not one.recipient.user_id and one.known:
                key = self._counting.stranger_key(one.known[0])
            one.key, one.tag, one.spread = key, hashed & 0xFFFFFFFF, key ^ hashed
