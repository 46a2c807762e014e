"""What waited until the decision on it may no longer be true: decided anew before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from core.content.message import Content
from core.delivery import Delivery, Notification, tallied
from core.errors import StoreFailure, Unavailable, UnknownNotification
from core.model import DeliveryState, Provider, Target
from core.policy.decision import Count, Decision, Reason, Verdict
from core.policy.people import Recipient, UserDevice
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.deferral import Deferrals, Deferred
from gateway.pipeline.dispatch import Dispatcher
from gateway.pipeline.gated import IN_APP_ONLY, NO_DEVICES, message_of
from gateway.pipeline.lookup import Lookup, Pair, People
from gateway.pipeline.policies import Policies
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.routes import Routes
from gateway.pipeline.settle import Settler
from gateway.pipeline.tally import Tally

_STRIDE = 8
_CHUNK = 1_000
# A busy import changes marks all the time: what was just decided leaves by that.
_SETTLED_MS = 1_000


class _Case(NamedTuple):
    """What waits of one decision."""

    tally: Tally
    deliveries: list[Delivery]

    @property
    def notification(self) -> Notification:
        """The notification of all of them."""
        return self.deliveries[0].notification


class _Wait(NamedTuple):
    """A delivery that must wait after all."""

    delivery: Delivery
    pair: Pair
    until_unix_ms: int
    reason: str


class Rechecker:
    """Looks at what leaves the lanes: usually two comparisons each; what changed goes through all gates again.

    Bounded by the queue, whose slots the deliveries keep meanwhile. contents: reads what a notification says again.
    """

    def __init__(
        self, *, lookup: Lookup, policies: Policies, deferrals: Deferrals, routes: Routes, queue: DeliveryQueue,
        dispatcher: Dispatcher, settler: Settler, contents: Callable[[Notification], Awaitable[Content | None]],
        metrics: Metrics, clock: Clock,
    ) -> None:  # fmt: skip
        self._lookup = lookup
        self._policies = policies
        self._deferrals = deferrals
        self._routes = routes
        self._queue = queue
        self._dispatcher = dispatcher
        self._settler = settler
        self._contents = contents
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[Delivery] = []
        # What neither a lane, nor a wait, nor a receipt has taken yet.
        self._undecided: set[Delivery] = set()
        self._some = asyncio.Event()
        self._logger = get_logger("recheck")

    def sift(self, batch: list[Delivery], now_unix_ms: int) -> list[Delivery]:
        """Return what may be sent as it was decided; keep the rest."""
        stale = {place for place in tallied(batch) if self._is_stale(batch[place], now_unix_ms)}
        if not stale:
            return batch
        for place in sorted(stale):
            batch[place].queued = False
            self._waiting.append(batch[place])
        self._some.set()
        return [delivery for place, delivery in enumerate(batch) if place not in stale]

    async def run(self) -> None:
        """Until cancelled, decide anew."""
        while True:
            await self._some.wait()
            self._some.clear()
            taken, self._waiting = self._waiting, []
            for app in {one.notification.app for one in taken}:
                await self._check_safely(app, [one for one in taken if one.notification.app == app])

    def _is_stale(self, delivery: Delivery, now_unix_ms: int) -> bool:
        tally, app = delivery.tally, delivery.notification.app
        if not isinstance(tally, Tally) or not tally.holds_until_unix_ms or app not in self._policies:
            return False
        mark = self._lookup.mark(app, tally.user_id) if tally.user_id else 0
        return not tally.holds(self._policies[app], mark, now_unix_ms)

    async def _check_safely(self, app: str, deliveries: list[Delivery]) -> None:
        cases: dict[int, _Case] = {}
        for one in deliveries:
            assert isinstance(one.tally, Tally)
            cases.setdefault(id(one.tally), _Case(one.tally, [])).deliveries.append(one)
        left = list(cases.values())
        while left:
            chunk, left = left[:_CHUNK], left[_CHUNK:]
            self._undecided.update(one for case in chunk for one in case.deliveries)
            try:
                await self._check(app, chunk)
            except Unavailable as error:
                # They are open in the journal, and planned again by the next start.
                self._logger.info("recheck_stopped", why=str(error))
                return
            except Exception:  # the top of a task; the journal would bring it back at each start
                self._logger.error("recheck_failed", exc_info=True)
                self._metrics.task_failure("recheck")
                self._fail([one for case in chunk for one in case.deliveries if one in self._undecided])
            finally:
                self._undecided.clear()

    async def _check(self, app: str, cases: list[_Case]) -> None:
        singles = [case.deliveries[0] for case in cases if case.tally.single]
        found = await self._lookup.owners(app, [self._target(one) for one in singles]) if singles else {}
        pairs = []
        for case in cases:
            pair = Pair(case.notification, case.tally.user_id, None, case.tally.total)
            if case.tally.single:
                target = self._target(case.deliveries[0])
                owner, device = found.get((target.provider, target.token), ("", UserDevice(target)))
                pair = pair._replace(user_id=owner, device=device)
            pairs.append(pair)
        people = await self._lookup.people(app, pairs)
        for place in range(0, len(cases), _STRIDE):
            waits = self._stride(cases[place : place + _STRIDE], pairs[place : place + _STRIDE], people)
            for wait in waits:
                await self._defer(wait)
            await asyncio.sleep(0)

    def _stride(self, cases: Sequence[_Case], pairs: Sequence[Pair], people: People) -> list[_Wait]:
        now_unix_ms, policy = self._clock.unix_ms(), self._policies[people.rules.app]
        for case in cases:
            self._let_go(case)
        devices = [self._devices(case, pair, people) for case, pair in zip(cases, pairs, strict=True)]
        decisions = policy.decide_each(
            [message_of(case.notification, people.rules, people.templates) for case in cases],
            [people.recipients.get(pair.user_id) or Recipient(pair.user_id) for pair in pairs],
            devices, now_unix_ms,
        )  # fmt: skip
        waits: list[_Wait] = []
        for case, pair, decision in zip(cases, pairs, decisions, strict=True):
            case.tally.policy = policy
            case.tally.counts = _merged(case.tally.counts, decision.counts())
            case.tally.hold(pair.user_id, people.marks.get(pair.user_id, 0), decision.holds_until_unix_ms, now_unix_ms)
            case.tally.settled_unix_ms = now_unix_ms + _SETTLED_MS
            waits += self._apply(case, pair, decision)
        return waits

    def _let_go(self, case: _Case) -> None:
        """Give back what is reserved, so that the caps decide anew; unless something of it went out."""
        tally = case.tally
        if tally.left == len(case.deliveries) and not tally.sent and not any(
            one.possibly_delivered for one in case.deliveries
        ):  # fmt: skip
            tally.policy.release(tally.counts)
            tally.counts = ()

    def _devices(self, case: _Case, pair: Pair, people: People) -> list[UserDevice]:
        tokens = {one.token for one in case.deliveries}
        return [device for device in people.devices_of(pair) if device.target.token in tokens]

    def _apply(self, case: _Case, pair: Pair, decision: Decision) -> list[_Wait]:
        """Queue what may go and end what may not; return what must wait."""
        by_token = {one.token: one for one in case.deliveries}
        if decision.verdict is Verdict.DEFER:
            return [
                _Wait(one, self._pair_of(pair, one, None), decision.until_unix_ms, decision.reason)
                for one in case.deliveries
            ]
        if decision.verdict is not Verdict.PASS:
            self._end(case.deliveries, decision.verdict, decision.reason)
            return []
        waits: list[_Wait] = []
        for held in decision.held:
            one = by_token.pop(held.device.target.token)
            if held.verdict is Verdict.DEFER:
                waits.append(_Wait(one, self._pair_of(pair, one, held.device), held.until_unix_ms, held.reason))
            else:
                self._end([one], held.verdict, held.reason)
        passing = [by_token.pop(device.target.token) for device in decision.devices]
        self._end(list(by_token.values()), Verdict.SUPPRESS, Reason.NO_DEVICE)
        self._undecided.difference_update(passing)
        self._dispatcher.give_back(passing)
        return waits

    def _end(self, deliveries: list[Delivery], verdict: Verdict, reason: Reason) -> None:
        if not deliveries:
            return
        self._undecided.difference_update(deliveries)
        if reason is Reason.NO_DEVICE:
            self._settler.end_stopped(deliveries, DeliveryState.FAILED, NO_DEVICES)
        else:
            told = IN_APP_ONLY if verdict is Verdict.IN_APP_ONLY else reason
            self._settler.end_stopped(deliveries, DeliveryState.SUPPRESSED, told)

    def _fail(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._settler.end_stopped(deliveries, DeliveryState.FAILED, "INTERNAL")

    async def _defer(self, wait: _Wait) -> None:
        """Take a delivery back to where it has not been rendered, until it is due."""
        one, notification = wait.delivery, wait.delivery.notification
        templated = notification.purpose is not None and notification.purpose.template_id
        if notification.content is None and not templated:
            try:
                notification.content = await self._contents(notification)
            except (UnknownNotification, StoreFailure) as error:
                self._logger.warning("content_lost", notification=notification.id.hex(), why=str(error))
        self._undecided.discard(one)
        if notification.cancelled:
            self._settler.end_queued([one])
            return
        if notification.content is None and not templated:
            self._settler.end_stopped([one], DeliveryState.SUPPRESSED, wait.reason)
            return
        if isinstance(one.tally, Tally):
            one.tally.ended(DeliveryState.SUPPRESSED, possibly_delivered=False, now_unix_ms=self._clock.unix_ms())
            one.tally = None
        self._queue.free([one])
        due_s = -(-wait.until_unix_ms // 1_000)
        self._deferrals.add(Deferred(notification, wait.pair.user_id, due_s, wait.pair.device, wait.pair.total))
        self._metrics.deferred(notification.klass, wait.reason, 1)

    def _pair_of(self, pair: Pair, one: Delivery, device: UserDevice | None) -> Pair:
        """Return the pair for one delivery: its device alone, as the others of the user may have heard."""
        return pair._replace(device=pair.device or device or UserDevice(self._target(one)))

    def _target(self, one: Delivery) -> Target:
        return Target(Provider(one.provider), one.token, self._routes[one.route].environment, one.registered_unix_ms)


def _merged(before: Sequence[Count], now: Sequence[Count]) -> list[Count]:
    """Return each count once; what is ours to give back stays so."""
    found: dict[tuple[int, int], Count] = {(one.key, one.tag): one for one in before}
    for one in now:
        known = found.get((one.key, one.tag))
        found[one.key, one.tag] = one if known is None else one._replace(fresh=one.fresh or known.fresh)
    return list(found.values())
