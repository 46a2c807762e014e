"""Notifications that must pass the gates or are made for each user: decided, rendered and queued stride by stride."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from core.content.message import Content
from core.delivery import Delivery, Flow, Notification, count_classes, has_users, release_many
from core.errors import ContentRefused, Unavailable
from core.hashing import SipHash
from core.model import DeliveryState, NotificationClass, Target
from core.policy.backlog import DueMessage, collapse
from core.policy.decision import Decision, Reason, Verdict
from core.policy.message import Message
from core.policy.people import Recipient
from core.policy.rules import AppRules, Backlog
from core.storage import PartlyFinished
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.deferral import Deferrals, Deferred
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.lookup import MAX_PAIRS, Lookup, Pair, People
from gateway.pipeline.personal import Copy, Parts, Personal, Templates, payload_of
from gateway.pipeline.policies import Policies
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.routes import Routes
from gateway.pipeline.settle import Settler
from gateway.pipeline.tally import Tally
from gateway.pipeline.turns import give_turns
from gateway.receipt_names import user_name

# Deciding, rendering and queueing take some 20 us a user, in which the loop hears nobody; smaller strides take longer.
_STRIDE = 32
_TRANSACTIONAL, _SERVICE = int(NotificationClass.TRANSACTIONAL), int(NotificationClass.SERVICE)
_MARKETING = int(NotificationClass.MARKETING)
_NOWHERE = Flow(0, (), ())
COLLAPSED, NO_DEVICES, IN_APP_ONLY = "COLLAPSED", "NO_DEVICES", "IN_APP_ONLY"
Finished = Mapping[Notification, PartlyFinished]
# Payloads of contents that are the same for all of a notification's devices, by route.
Rendered = dict[tuple[Notification, int], Parts]


class GatedPlanner:
    """Every pair leaves as deliveries, as a wait, or as a receipt."""

    def __init__(
        self, *, lookup: Lookup, policies: Policies, personal: Personal, deferrals: Deferrals, routes: Routes,
        flows: FlowBook, queue: DeliveryQueue, dispatcher: Dispatcher, settler: Settler, hasher: SipHash,
        metrics: Metrics, clock: Clock,
    ) -> None:  # fmt: skip
        self._lookup = lookup
        self._policies = policies
        self._personal = personal
        self._deferrals = deferrals
        self._routes = routes
        self._flows = flows
        self._queue = queue
        self._dispatcher = dispatcher
        self._settler = settler
        self._hasher = hasher
        self._metrics = metrics
        self._clock = clock
        self._logger = get_logger("gated")

    def concerns(self, notifications: list[Notification]) -> bool:
        """Tell at small cost whether any of a batch may have to pass here."""
        counts = count_classes(notifications)
        if counts[_SERVICE] or counts[_MARKETING] or has_users(notifications):
            return True
        return any(self._personal.veils(app) for app in {one.app for one in notifications})

    async def split(self, notifications: list[Notification]) -> tuple[list[Notification], list[Notification]]:
        """Return those that go by class and content alone, and those that must pass here. Raises Unavailable."""
        apps = {one.app for one in notifications if one.klass == _TRANSACTIONAL and one.user_ids}
        minded = {app for app in apps if await self._lookup.minds_transactional(app)}
        plain: list[Notification] = []
        gated: list[Notification] = []
        for one in notifications:
            (gated if self._is_gated(one, minded) else plain).append(one)
        return plain, gated

    async def plan(self, notifications: list[Notification], finished: Finished) -> None:
        """Take every user of the notifications through the gates. Raises Unavailable when the dispatcher stopped."""
        for app, members in _by_app(notifications).items():
            pairs = await self._lookup.pairs(app, members)
            counts = Counter(pair.notification for pair in pairs)
            for notification in members:
                # The count stands before the first of them may be answered.
                notification.open_deliveries = counts[notification]
                if notification in finished:
                    notification.outcome_bits = finished[notification].outcome_bits
            await self._plan_pairs(app, pairs, finished)

    async def plan_due(self, due: list[Deferred]) -> None:
        """Take who has waited through all gates again; what waited for one user is collapsed first."""
        for app in {entry.notification.app for entry in due}:
            entries = [entry for entry in due if entry.notification.app == app]
            pairs = self._collapsed(app, entries)
            try:
                await self._plan_pairs(app, pairs, {})
            except Unavailable as error:
                # They are open in the journal, and planned again by the next start.
                self._logger.info("planning_stopped", why=str(error))
                return
            except Exception:  # the top of a task; what was not ended is planned again by the next start
                self._logger.error("planning_failed", exc_info=True)
                self._metrics.task_failure("deferral")
            self.release(entry.notification for entry in entries)

    def cancel(self, notification: Notification) -> None:
        """End what waits for a notification that was cancelled."""
        self._end([_pair(one) for one in self._deferrals.take_notification(notification)],
                  DeliveryState.CANCELLED, "CANCELLED")  # fmt: skip
        self.release([notification])

    def release(self, notifications: Iterable[Notification]) -> None:
        """Let go of the contents that nobody waits for any more."""
        release_many([one for one in notifications if not self._deferrals.waits(one)])

    def _is_gated(self, one: Notification, minded: Container[str]) -> bool:
        if one.klass >= _SERVICE or self._personal.veils(one.app):
            return True
        if one.purpose is not None and one.purpose.template_id:
            return True
        return one.klass == _TRANSACTIONAL and bool(one.user_ids) and one.app in minded

    async def _plan_pairs(self, app: str, pairs: list[Pair], finished: Finished) -> None:
        for start in range(0, len(pairs), MAX_PAIRS):
            chunk = pairs[start : start + MAX_PAIRS]
            people = await self._lookup.people(app, chunk)
            shared: Rendered = {}
            for place in range(0, len(chunk), _STRIDE):
                try:
                    deliveries = self._stride(chunk[place : place + _STRIDE], people, finished, shared)
                except Exception:
                    # What was not looked at yet ends; of the stride itself nobody knows, it stays for the next start.
                    unseen = pairs[start + place + _STRIDE :]
                    self._end(unseen, DeliveryState.FAILED, "INTERNAL")
                    raise
                await self._queue_all(deliveries)
                await give_turns()

    def _stride(self, pairs: Sequence[Pair], people: People, finished: Finished, shared: Rendered) -> list[Delivery]:
        """Decide and render; return what is to be queued. Everything else is ended or kept here."""
        now_unix_ms = self._clock.unix_ms()
        pairs = self._uncancelled(self._unfinished(pairs, finished))
        recipients = [people.recipients.get(pair.user_id) or Recipient(pair.user_id) for pair in pairs]
        devices = [people.devices_of(pair) for pair in pairs]
        messages = self._messages(pairs, people)
        policy = self._policies[people.rules.app]
        decisions = policy.decide_each(messages, recipients, devices, now_unix_ms)
        copies: list[Copy] = []
        owners: list[tuple[Pair, Decision]] = []
        for pair, recipient, decision in zip(pairs, recipients, decisions, strict=True):
            if self._passed(pair, decision):
                made = [Copy(pair.notification, recipient, device, pair.total) for device in decision.devices]
                copies += made
                owners += [(pair, decision)] * len(made)
        contents = self._personal.contents(copies, people.rules, people.templates, now_unix_ms)
        return self._deliveries(copies, contents, owners, finished, shared, people.marks)

    def _unfinished(self, pairs: Sequence[Pair], finished: Finished) -> Sequence[Pair]:
        """Leave out users of whom everything had ended before a restart."""
        if not finished:
            return pairs
        left: list[Pair] = []
        for pair in pairs:
            done = finished.get(pair.notification)
            if done is not None and self._user_key(pair) in done.device_keys:
                self._drop(pair.notification)
            else:
                left.append(pair)
        return left

    def _uncancelled(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        """End those that were cancelled while they were looked up."""
        gone = [pair for pair in pairs if pair.notification.cancelled]
        if not gone:
            return pairs
        self._end(gone, DeliveryState.CANCELLED, "CANCELLED")
        return [pair for pair in pairs if not pair.notification.cancelled]

    def _messages(self, pairs: Sequence[Pair], people: People) -> list[Message]:
        made: dict[Notification, Message] = {}
        for pair in pairs:
            notification = pair.notification
            if notification not in made:
                made[notification] = message_of(notification, people.rules, people.templates)
        return [made[pair.notification] for pair in pairs]

    def _passed(self, pair: Pair, decision: Decision) -> bool:
        """Do what a decision asks for; tell whether any device gets it now."""
        notification = pair.notification
        if decision.verdict is Verdict.DEFER:
            self._defer(pair, decision.until_unix_ms, decision.reason)
            return False
        if decision.verdict is not Verdict.PASS:
            self._suppress(pair, decision)
            return False
        notification.open_deliveries += len(decision.devices) + len(decision.held) - 1
        for held in decision.held:
            one = Pair(notification, pair.user_id, held.device, pair.total)
            if held.verdict is Verdict.DEFER:
                self._defer(one, held.until_unix_ms, held.reason)
            else:
                self._end([one], DeliveryState.SUPPRESSED, held.reason)
        if not decision.devices and not decision.held:
            notification.open_deliveries += 1
            self._end([pair], DeliveryState.FAILED, NO_DEVICES)
        return bool(decision.devices)

    def _suppress(self, pair: Pair, decision: Decision) -> None:
        if decision.reason is Reason.NO_DEVICE:
            self._end([pair], DeliveryState.FAILED, NO_DEVICES)
            return
        reason = IN_APP_ONLY if decision.verdict is Verdict.IN_APP_ONLY else decision.reason
        self._end([pair], DeliveryState.SUPPRESSED, reason)

    def _defer(self, pair: Pair, until_unix_ms: int, reason: str) -> None:
        due_s = -(-until_unix_ms // 1_000)
        self._deferrals.add(Deferred(pair.notification, pair.user_id, due_s, pair.device, pair.total))
        self._metrics.deferred(pair.notification.klass, reason, 1)

    def _deliveries(
        self, copies: Sequence[Copy], contents: Sequence[Content | ContentRefused],
        owners: Sequence[tuple[Pair, Decision]], finished: Finished, shared: Rendered, marks: Mapping[str, int],
    ) -> list[Delivery]:  # fmt: skip
        made: list[Delivery] = []
        tallies: dict[int, Tally | None] = {}
        for copy, content, (pair, decision) in zip(copies, contents, owners, strict=True):
            delivery, reason = self._delivery(copy, content, shared)
            if id(decision) not in tallies:
                tallies[id(decision)] = self._tally(pair, decision, marks)
            delivery.tally = tallies[id(decision)]
            done = finished.get(copy.notification)
            if done is not None and delivery.device_key in done.device_keys:
                self._forget(delivery)
            elif reason:
                self._settler.end_unqueued([delivery], reason)
            else:
                made.append(delivery)
        return made

    def _tally(self, pair: Pair, decision: Decision, marks: Mapping[str, int]) -> Tally | None:
        counts, notification = decision.counts(), pair.notification
        held = notification.klass >= _SERVICE
        if not counts and not held:
            return None
        tally = Tally(self._policies[notification.app], counts, len(decision.devices))
        if held:
            tally.single, tally.total = pair.device is not None, pair.total
            tally.hold(pair.user_id, marks.get(pair.user_id, 0), decision.holds_until_unix_ms, self._clock.unix_ms())
        return tally

    def _delivery(self, copy: Copy, content: Content | ContentRefused, shared: Rendered) -> tuple[Delivery, str]:
        """Return a delivery, and why it cannot be sent, or ""."""
        notification, target = copy.notification, copy.device.target
        key = self._hasher.hash64(target.token)
        lane = self._flows.lane(notification, target)
        if lane is None:
            return _unsendable(notification, target, key), "NO_ROUTE"
        if isinstance(content, ContentRefused):
            return _unsendable(notification, target, key), content.reason
        number, flow = lane
        if content is notification.content:
            parts = shared.get((notification, number))
            if parts is None:
                parts = shared[notification, number] = payload_of(self._routes[number], notification, content)
        else:
            parts = payload_of(self._routes[number], notification, content)
        if isinstance(parts, ContentRefused):
            return _unsendable(notification, target, key), parts.reason
        since, provider = target.registered_unix_ms, target.provider
        delivery = Delivery(notification, target.token, *parts, key, since, provider, number, flow)
        # It may have been on the wire when the process ended.
        delivery.possibly_delivered = notification.recovered
        return delivery, ""

    async def _queue_all(self, deliveries: list[Delivery]) -> None:
        for start in range(0, len(deliveries), _STRIDE):
            chunk = deliveries[start : start + _STRIDE]
            # A campaign leaves room for what is urgent.
            kept = self._queue.capacity // 10 if chunk[0].notification.klass == _MARKETING else 0
            while self._queue.room - kept < len(chunk):
                await self._queue.wait_for_room()
            self._queue.push(chunk, self._clock.monotonic_ns())
            self._dispatcher.wake_all({delivery.route for delivery in chunk})

    def _collapsed(self, app: str, due: list[Deferred]) -> list[Pair]:
        rules, now_unix_ms = self._policies.rules(app), self._clock.unix_ms()
        entries = list(due)
        if rules.backlog is not Backlog.EACH:
            until_s = now_unix_ms // 1_000 + rules.jitter_s
            for one in due:
                entries += self._deferrals.take_others(one, until_s)
        live: list[Deferred] = []
        for one in entries:
            if one.notification.cancelled:
                self._end([_pair(one)], DeliveryState.CANCELLED, "CANCELLED")
            elif one.notification.expires_unix_ms <= now_unix_ms:
                self._end([_pair(one)], DeliveryState.EXPIRED, "EXPIRED")
            else:
                live.append(one)
        kept = collapse([_due(one) for one in live], rules.backlog)
        for group in kept:
            self._end([_pair(live[place]) for place in group.others], DeliveryState.SUPPRESSED, COLLAPSED)
        self.release(one.notification for one in entries[len(due) :])
        summed = rules.backlog is Backlog.SUMMARY
        return [_pair(live[group.place], group.total if summed else 1) for group in kept]

    def _end(self, pairs: Sequence[Pair], state: DeliveryState, reason: str) -> None:
        """Give each pair a receipt: the device's where one is meant, else one under the user's keyed hash."""
        if not pairs:
            return
        ended = [
            _unsendable(pair.notification, pair.device.target, self._hasher.hash64(pair.device.target.token))
            if pair.device is not None
            else Delivery(pair.notification, "", b"", None, self._user_key(pair), 0, 0, 0, _NOWHERE)
            for pair in pairs
        ]
        self._settler.end_held(ended, state, reason)

    def _user_key(self, pair: Pair) -> int:
        return self._hasher.hash64(user_name(pair.user_id))

    def _drop(self, notification: Notification) -> None:
        """Take one that had ended before a restart off the count; the last one closes what its receipts tell of."""
        notification.open_deliveries -= 1
        if not notification.open_deliveries:
            delivered = notification.outcome_bits >> DeliveryState.DELIVERED & 1
            state = DeliveryState.DELIVERED if delivered else DeliveryState.FAILED
            self._settler.end([notification], state, "ENDED_BEFORE_RESTART")

    def _forget(self, delivery: Delivery) -> None:
        if isinstance(delivery.tally, Tally):
            delivery.tally.ended(DeliveryState.DELIVERED, possibly_delivered=False, now_unix_ms=self._clock.unix_ms())
        self._drop(delivery.notification)


def message_of(notification: Notification, rules: AppRules, templates: Templates) -> Message:
    """Return a notification as the gates see it; what names no category has the app's first of its class."""
    klass, purpose = NotificationClass(notification.klass), notification.purpose
    category, tags = "", frozenset[str]()
    if purpose is not None:
        template = templates.get((notification.app, purpose.template_id, purpose.template_version))
        tags = frozenset(purpose.tags) | (frozenset(template.source.tags) if template is not None else frozenset())
        category = purpose.category
    if not category:
        first = rules.first_category(klass)
        category = first.name if first is not None else ""
    return Message(notification.id, klass, category, notification.expires_unix_ms, tags=tags)


def _pair(entry: Deferred, total: int = 1) -> Pair:
    return Pair(entry.notification, entry.user_id, entry.device, total)


def _due(entry: Deferred) -> DueMessage:
    one = entry.notification
    category = one.purpose.category if one.purpose is not None else ""
    group = f"key {one.collapse_id.decode('latin-1')}" if one.collapse_given else f"category {category}"
    klass = NotificationClass(one.klass)
    return DueMessage(entry.whose, klass, group, one.accepted_unix_ms, one.id, entry.total)


def _by_app(notifications: Iterable[Notification]) -> dict[str, list[Notification]]:
    found: dict[str, list[Notification]] = {}
    for one in notifications:
        found.setdefault(one.app, []).append(one)
    return found


def _unsendable(notification: Notification, target: Target, key: int) -> Delivery:
    return Delivery(notification, target.token, b"", None, key, 0, target.provider, 0, _NOWHERE)
