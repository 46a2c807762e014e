"""Provider answers -> closed deliveries, retries, retired tokens and receipts, a batch at a time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from core.delivery import Delivery, Notification, mark_answered, seconds_since_due, tallied
from core.errors import PushError
from core.model import DeliveryState
from core.reaction import CLOSE_DELIVERED, DELIVERED, Backoff, Outcome, OutcomeKind, Reaction, Step, react
from core.receipts import ReceiptLog
from core.storage import Journal
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock
from gateway.pipeline.queue import DeliveryQueue
from gateway.pipeline.retire import Retirement, Retirer
from gateway.pipeline.retries import RetryWheel
from gateway.pipeline.routes import Route, Routes
from gateway.pipeline.tally import settle_tallies
from gateway.pipeline.underway import Underway
from gateway.tracing.port import Tracer

# What ends within so many seconds shares a journal row, and payments find the writer idle most of the time; a crash in
# between costs a repeat with the same collapse id.
_RECORD_LINGER_S = 0.02
_FINAL = {
    Step.CLOSE_DELIVERED: DeliveryState.DELIVERED,
    Step.CLOSE_FAILED: DeliveryState.FAILED,
    Step.CLOSE_EXPIRED: DeliveryState.EXPIRED,
}
# The provider saw nothing of these attempts: they say nothing of it, and no delivery is given up for them.
_NO_VERDICT = frozenset({OutcomeKind.NOT_SENT, OutcomeKind.CREDENTIAL_EXPIRED})
_EXPIRED = Outcome(OutcomeKind.REJECTED, 0, "EXPIRED")
_CANCELLED = Outcome(OutcomeKind.REJECTED, 0, "CANCELLED")
_UNTRACED: AbstractContextManager[None] = nullcontext()


class _Sorted:
    """A batch of answers sorted by what follows from them; ended, answers and states are parallel."""

    __slots__ = (
        "answers", "asked_ms", "ended", "failed", "faults", "held", "retried", "silent", "states", "throttled",
        "uncertain",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ended: list[Delivery] = []
        self.answers: list[Outcome] = []
        self.states = bytearray()
        self.held: list[Delivery] = []
        self.failed: Counter[str] = Counter()
        self.retried: Counter[str] = Counter()
        self.faults = self.silent = self.uncertain = self.throttled = self.asked_ms = 0

    def take(self, delivery: Delivery, outcome: Outcome, reaction: Reaction, *, ended: bool) -> None:
        """Sort one in. ended: a retry that the reaction asks for is one too many."""
        self.faults += reaction.breaker_fault
        self.silent += outcome.kind in _NO_VERDICT
        self.throttled += outcome.kind is OutcomeKind.ROUTE_THROTTLED
        self.asked_ms = max(self.asked_ms, reaction.throttle_ms)
        self.uncertain += reaction.possibly_delivered
        delivery.possibly_delivered = delivery.possibly_delivered or reaction.possibly_delivered
        if reaction.step is Step.HOLD:
            self.held.append(delivery)
        elif reaction.step is Step.RETRY and not ended:
            self.retried[outcome.reason or outcome.kind.name] += 1
        else:
            self.ended.append(delivery)
            self.answers.append(outcome)
            self.states.append(_FINAL.get(reaction.step, DeliveryState.FAILED))
            if reaction.step is not Step.CLOSE_DELIVERED:
                self.failed[outcome.reason] += 1


class Settler:
    """Ends deliveries; everything accepted leaves through here and leaves a receipt."""

    def __init__(
        self, *, routes: Routes, queue: DeliveryQueue, retries: RetryWheel, journal: Journal, underway: Underway,
        retirer: Retirer, metrics: Metrics, clock: Clock, backoff: Backoff, max_attempts: int, rng: random.Random,
        tracer: Tracer | None = None,
    ) -> None:  # fmt: skip
        self._routes = routes
        self._queue = queue
        self._retries = retries
        self._journal = journal
        self._underway = underway
        self._retirer = retirer
        self._metrics = metrics
        self._clock = clock
        self._backoff = backoff
        self._max_attempts = max_attempts
        self._rng = rng
        self._tracer = tracer
        self._log = ReceiptLog()
        self._ended = asyncio.Event()
        self._logger = get_logger("settle")

    def settle(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> Route:
        """Take the answers of one channel; return its route."""
        now_ns = self._clock.monotonic_ns()
        route = self._routes[deliveries[0].route]
        mark_answered(deliveries)
        waited_ns = now_ns - deliveries[-1].submitted_ns
        route.window.observe(waited_ns, len(deliveries), route.in_flight, now_ns)
        self._metrics.provider_seconds(route.label, route.app, waited_ns / 1e9, len(deliveries))
        route.in_flight -= len(deliveries)
        good = outcomes.count(DELIVERED)
        if good == len(outcomes):
            route.breaker.record(good, 0, now_ns)
            route.throttle.record(good, 0, 0, now_ns)
            self._close(deliveries, outcomes, bytes([DeliveryState.DELIVERED]) * good)
            ended = deliveries
        else:
            ended = self._judge(route, deliveries, outcomes, now_ns)
        self._retirer.saw_alive(route.app, good, now_ns)
        self._metrics.delivered(route.label, route.app, good)
        for klass, seconds in enumerate(seconds_since_due(ended, now_ns, self._clock.unix_ms())):
            if seconds:
                self._metrics.delivery_seconds(klass, seconds)
        if self._tracer is not None:
            self._tracer.answered(route.label, deliveries, outcomes, now_ns)
        return route

    def end_queued(self, deliveries: list[Delivery]) -> None:
        """End deliveries that expired or were cancelled before they could be sent, and free their slots."""
        outcomes = [_CANCELLED if d.notification.cancelled else _EXPIRED for d in deliveries]
        states = bytes(
            DeliveryState.CANCELLED if d.notification.cancelled else DeliveryState.EXPIRED for d in deliveries
        )
        self._close(deliveries, outcomes, states)
        if self._tracer is not None:
            self._tracer.ended(deliveries, outcomes)
        for klass, count in Counter(d.notification.klass for d in deliveries if d.notification.cancelled).items():
            self._metrics.cancelled(klass, count)
        for klass, count in Counter(d.notification.klass for d in deliveries if not d.notification.cancelled).items():
            self._metrics.expired(klass, count)

    def end_unqueued(self, deliveries: list[Delivery], reason: str) -> None:
        """End deliveries that never got a slot, as failed."""
        outcomes = [Outcome(OutcomeKind.REJECTED, 0, reason)] * len(deliveries)
        self._write(deliveries, outcomes, bytes([DeliveryState.FAILED]) * len(deliveries))
        if self._tracer is not None:
            self._tracer.ended(deliveries, outcomes)
        for klass, count in Counter(d.notification.klass for d in deliveries).items():
            self._metrics.suppressed(klass, reason, count)

    def end_held(self, deliveries: list[Delivery], state: DeliveryState, reason: str) -> None:
        """End deliveries that a rule, their time or their caller kept from being made."""
        outcomes = [Outcome(OutcomeKind.REJECTED, 0, reason)] * len(deliveries)
        self._write(deliveries, outcomes, bytes([state]) * len(deliveries))
        if self._tracer is not None:
            self._tracer.ended(deliveries, outcomes)
        for klass, count in Counter(d.notification.klass for d in deliveries).items():
            self._metrics.suppressed(klass, reason, count)

    def end_stopped(self, deliveries: list[Delivery], state: DeliveryState, reason: str) -> None:
        """End deliveries that hold slots and may no longer be sent, and free these."""
        self.end_held(deliveries, state, reason)
        self._queue.free(deliveries)

    def end(self, notifications: list[Notification], state: DeliveryState, reason: str) -> None:
        """End notifications that have no delivery at all."""
        self._log.close_many(notifications, state, reason, self._clock.unix_ms())
        for klass, count in Counter(n.klass for n in notifications).items():
            self._metrics.suppressed(klass, reason, count)
        self._ended.set()

    async def record(self) -> None:
        """Until cancelled, write what ended to the journal, one group at a time."""
        while True:
            await self._ended.wait()
            await asyncio.sleep(_RECORD_LINGER_S)
            try:
                await self.flush()
            except PushError as error:
                # What the journal could not take is open there still: the next start sends it once more, not this loop.
                self._logger.error("record_failed", why=str(error))  # noqa: TRY400  # the sentence says it all
                self._metrics.task_failure("record")

    async def flush(self) -> None:
        """Write what has ended so far. Raises Unavailable if the journal gave it up."""
        self._ended.clear()
        updates = self._log.take()
        if not updates:
            return
        for update in updates:
            self._underway.closed(update.segment, len(update.closed) // 4)
        with _UNTRACED if self._tracer is None else self._tracer.recording():
            await self._journal.record(updates)

    def _judge(
        self, route: Route, deliveries: list[Delivery], outcomes: list[Outcome], now_ns: int
    ) -> list[Delivery]:
        """Do what follows from each answer; return the deliveries that ended."""
        sorted_out = _Sorted()
        now_unix_ms = self._clock.unix_ms()
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            expires_in_ms = delivery.notification.expires_unix_ms - now_unix_ms
            reaction = react(outcome, delivery.attempts, expires_in_ms, self._backoff, self._rng)
            if reaction is not CLOSE_DELIVERED:
                self._side_effects(route, delivery, outcome, reaction, now_ns)
            if reaction.step is Step.RETRY and self._may_retry(delivery, outcome):
                self._retries.add(delivery, now_ns + reaction.delay_ms * 1_000_000)
            sorted_out.take(delivery, outcome, reaction, ended=not self._may_retry(delivery, outcome))
        route.breaker.record(len(deliveries) - sorted_out.faults - sorted_out.silent, sorted_out.faults, now_ns)
        # A probe that says nothing of the provider is there to be sent again.
        route.breaker.give_back(sorted_out.silent)
        route.throttle.give_back(sorted_out.silent)
        others = len(deliveries) - sorted_out.silent - sorted_out.throttled
        route.throttle.record(others, sorted_out.throttled, sorted_out.asked_ms, now_ns)
        if sorted_out.held:
            self._queue.give_back(sorted_out.held)
        if sorted_out.ended:
            self._close(sorted_out.ended, sorted_out.answers, sorted_out.states)
        self._count(route, sorted_out)
        return sorted_out.ended

    def _may_retry(self, delivery: Delivery, outcome: Outcome) -> bool:
        return delivery.attempts < self._max_attempts or outcome.kind in _NO_VERDICT

    def _count(self, route: Route, sorted_out: _Sorted) -> None:
        metrics = self._metrics
        if sorted_out.uncertain:
            metrics.possibly_delivered(route.label, route.app, sorted_out.uncertain)
        for reason, count in sorted_out.failed.items():
            metrics.failed(route.label, route.app, reason, count)
        for reason, count in sorted_out.retried.items():
            metrics.retried(route.label, route.app, reason, count)

    def _side_effects(
        self, route: Route, delivery: Delivery, outcome: Outcome, reaction: Reaction, now_ns: int
    ) -> None:
        if reaction.retire_device:
            waited_ms = (now_ns - delivery.submitted_ns) // 1_000_000
            gone_since = outcome.gone_since_unix_ms or self._clock.unix_ms() - waited_ms
            self._retirer.add(route.app, Retirement(route.provider, delivery.token, gone_since), now_ns)
        if reaction.trip_breaker:
            route.breaker.trip(now_ns)
        if reaction.alert:
            self._logger.warning(
                "provider_alert", app=route.app, provider=route.label,
                status=outcome.status, reason=outcome.reason,
            )  # fmt: skip

    def _close(self, deliveries: list[Delivery], outcomes: list[Outcome], states: bytes | bytearray) -> None:
        self._write(deliveries, outcomes, states)
        self._queue.free(deliveries)

    def _write(self, deliveries: list[Delivery], outcomes: list[Outcome], states: bytes | bytearray) -> None:
        now_unix_ms = self._clock.unix_ms()
        self._log.add_many(deliveries, outcomes, states, now_unix_ms)
        if places := tallied(deliveries):
            settle_tallies(deliveries, places, states, now_unix_ms)
        self._ended.set()
