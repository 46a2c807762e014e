"""Traces in OpenTelemetry's form: which spans a notification has, and what they say; never a token or a content.

Only notifications that are traced are known here, by themselves as keys: the pipeline's objects carry nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.delivery import Delivery, Notification
from core.model import NotificationClass, NotificationState
from core.notification_id import format_id
from core.reaction import Outcome, OutcomeKind
from core.receipts import summed_state
from gateway.pipeline.clock import Clock
from gateway.tracing.calls import RecordedCall
from gateway.tracing.port import CallTrace, Chosen, MetadataPairs, SpanContext, Traceable
from gateway.tracing.ratio import Ratio
from gateway.tracing.sender import SpanSender
from gateway.tracing.span import Attribute, Kind, Span, new_span_id

_CLASSES = tuple(klass.name.lower() for klass in sorted(NotificationClass))


@dataclass(frozen=True, slots=True)
class TraceLimits:
    """ratio: of the notifications whose caller decides nothing. The rest as in the settings."""

    ratio: float = 0.01
    max_per_batch: int = 100
    max_requests: int = 100
    max_open: int = 10_000


@dataclass(slots=True)
class _Trace:
    """One traced notification. offset_ns: what makes its monotonic times those since 1970."""

    chosen: Chosen
    context: SpanContext
    offset_ns: int
    started_ns: int
    requests_left: int
    # When each delivery that is to be sent again was last answered.
    answered: dict[Delivery, int] = field(default_factory=dict)
    queued_ns: int = 0
    ended_ns: int = 0
    planned: bool = False
    reason: str = ""


class OtelTracer:
    """gateway.tracing.port.Tracer and CallTracer. unix_ns: the wall clock."""

    def __init__(
        self, sender: SpanSender, limits: TraceLimits, clock: Clock, unix_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._sender = sender
        self._limits = limits
        self._clock = clock
        self._unix_ns = unix_ns
        self._ratio = Ratio(limits.ratio, random.Random())  # noqa: S311  # a sample
        self._open: dict[Notification, _Trace] = {}
        self._settling: list[_Trace] = []

    @property
    def under_way(self) -> int:
        """How many traced notifications have not ended."""
        return len(self._open) + len(self._settling)

    def call(self, method: str, metadata: MetadataPairs) -> CallTrace:
        """Note that a call began."""
        return RecordedCall(
            method, metadata, ratio=self._ratio, limit=self._limits.max_per_batch, now_ns=self._unix_ns,
            put=self._sender.put,
        )  # fmt: skip

    def accepted(
        self, fresh: Sequence[Notification], where: Sequence[tuple[Traceable, int]], started_ns: int, committing_ns: int
    ) -> None:
        """Begin with what is chosen of what has just become durable."""
        done_ns = self._clock.monotonic_ns()
        for call, members in _by_call(fresh, where):
            for chosen in call.choose(members, lambda one: where[one.index][1]):
                self._begin(chosen, started_ns, committing_ns, done_ns)

    def planned(self, notifications: Sequence[Notification], started_ns: int) -> None:
        """Note that every delivery of these is queued, or that there is none."""
        if not self._open:
            return
        now_ns = self._clock.monotonic_ns()
        for notification in notifications:
            trace = self._open.get(notification)
            if trace is None:
                continue
            self._put(trace, "plan", started_ns, trace.queued_ns or now_ns)
            trace.planned = True
            if trace.ended_ns:
                del self._open[notification]
            elif _is_over(notification):
                # It had nowhere to go.
                del self._open[notification]
                self._put_whole(trace, now_ns)

    def answered(self, provider: str, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome], now_ns: int) -> None:
        """Note the provider's answers of a batch, after what follows from them was decided."""
        find = self._open.get
        if not self._open:
            return
        seen: dict[Notification, _Trace] = {}
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            trace = find(delivery.notification)
            if trace is not None:
                seen[delivery.notification] = trace
                self._put_attempt(trace, provider, delivery, outcome, now_ns)
        self._end_those_over(seen, now_ns)

    def ended(self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Note deliveries that ended without another request."""
        if not self._open:
            return
        now_ns = self._clock.monotonic_ns()
        seen: dict[Notification, _Trace] = {}
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            trace = self._open.get(delivery.notification)
            if trace is not None:
                seen[delivery.notification] = trace
                trace.reason = outcome.reason
                if delivery.queued_ns:
                    self._put_wait(trace, delivery, now_ns, outcome.reason)
        self._end_those_over(seen, now_ns)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Enter while what ended so far is being written to the journal."""
        settling, self._settling = self._settling, []
        error = ""
        try:
            yield
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            now_ns = self._clock.monotonic_ns()
            for trace in settling:
                self._put(trace, "settle", trace.ended_ns, now_ns, error=error)
                self._put_whole(trace, now_ns)

    async def close(self) -> None:
        """Tell what has not ended as it is, send it, within the sender's time, and stop."""
        now_ns = self._clock.monotonic_ns()
        for trace in self._open.values():
            if not trace.ended_ns:
                self._put_whole(trace, now_ns)
        for trace in self._settling:
            self._put_whole(trace, now_ns)
        self._open.clear()
        self._settling.clear()
        await self._sender.close()

    def _begin(self, chosen: Chosen, started_ns: int, committing_ns: int, done_ns: int) -> None:
        if self.under_way >= self._limits.max_open:
            self._sender.decline()
            if not self._open:
                return
            # What waits for the morning must not keep all that comes after it from being told.
            self._put_whole(self._open.pop(next(iter(self._open))), done_ns)
        parent = chosen.parent
        context = SpanContext(parent.trace_id, new_span_id(), parent.state)
        offset_ns = self._unix_ns() - done_ns
        trace = _Trace(chosen, context, offset_ns, started_ns, self._limits.max_requests)
        intake = self._put(trace, "intake", started_ns, done_ns)
        self._put(trace, "journal commit", committing_ns, done_ns, parent_id=intake)
        if chosen.notification.send_at_unix_ms:
            # It leaves memory until it is due, and comes back from the journal as another object.
            self._put_whole(trace, done_ns, NotificationState.SCHEDULED)
        else:
            self._open[chosen.notification] = trace

    def _end_those_over(self, traces: dict[Notification, _Trace], now_ns: int) -> None:
        for notification, trace in traces.items():
            if _is_over(notification):
                trace.ended_ns = now_ns
                self._settling.append(trace)
                # The plan of a large batch may still be under way when the first of it have ended.
                if trace.planned:
                    del self._open[notification]

    def _put_attempt(self, trace: _Trace, provider: str, delivery: Delivery, outcome: Outcome, now_ns: int) -> None:
        if trace.requests_left <= 0:
            return
        trace.requests_left -= 1
        sent_ns = delivery.submitted_ns
        self._put_wait(trace, delivery, sent_ns, "")
        delivered = outcome.kind is OutcomeKind.DELIVERED
        if not delivered:
            trace.reason = outcome.reason
            trace.answered[delivery] = now_ns
        attributes: list[Attribute] = [
            ("walletpush.provider", provider), *_of(delivery.notification), *_which(delivery),
            ("walletpush.outcome", outcome.kind.name.lower()),
        ]  # fmt: skip
        if outcome.status:
            attributes.append(("http.response.status_code", outcome.status))
        if outcome.reason:
            attributes.append(("walletpush.reason", outcome.reason))
        error = "" if delivered else outcome.reason or outcome.kind.name.lower()
        self._put(trace, f"{provider} request", sent_ns, now_ns, tuple(attributes), Kind.CLIENT, error=error)

    def _put_wait(self, trace: _Trace, delivery: Delivery, until_ns: int, error: str) -> None:
        # One that the route gave back keeps the time since when it first waited.
        since_ns = max(delivery.queued_ns, trace.answered.pop(delivery, 0))
        trace.queued_ns = trace.queued_ns or since_ns
        self._put(trace, "queue", since_ns, until_ns, _which(delivery), error=error)

    def _put(
        self, trace: _Trace, name: str, start_ns: int, end_ns: int, attributes: tuple[Attribute, ...] = (),
        kind: Kind = Kind.INTERNAL, *, error: str = "", parent_id: bytes = b"",
    ) -> bytes:  # fmt: skip
        context = SpanContext(trace.context.trace_id, new_span_id(), trace.context.state)
        self._sender.put(Span(
            name, context, parent_id or trace.context.span_id, start_ns + trace.offset_ns, end_ns + trace.offset_ns,
            attributes, kind, error,
        ))  # fmt: skip
        return context.span_id

    def _put_whole(self, trace: _Trace, now_ns: int, state: NotificationState | None = None) -> None:
        chosen = trace.chosen
        one = chosen.notification
        if state is None:
            state = summed_state(one.outcome_bits) if _is_over(one) else NotificationState.ACCEPTED
        attributes: tuple[Attribute, ...] = (
            ("walletpush.notification_id", format_id(one.id)), ("walletpush.tenant", one.tenant), *_of(one),
            ("walletpush.state", state.name.lower()),
        )  # fmt: skip
        if one.campaign:
            attributes += (("walletpush.campaign", one.campaign),)
        failed = state in (NotificationState.FAILED, NotificationState.EXPIRED)
        self._sender.put(Span(
            "notification", trace.context, chosen.parent.span_id, trace.started_ns + trace.offset_ns,
            now_ns + trace.offset_ns, attributes, Kind.SERVER if chosen.remote else Kind.INTERNAL,
            trace.reason or state.name.lower() if failed else "", chosen.remote, chosen.link,
        ))  # fmt: skip


def _by_call(
    fresh: Sequence[Notification], where: Sequence[tuple[Traceable, int]]
) -> Iterator[tuple[CallTrace, Sequence[Notification]]]:
    """Yield each traced call with its notifications; those of one call stand together."""
    start = 0
    while start < len(fresh):
        call = where[fresh[start].index][0]
        stop = len(fresh)
        if where[fresh[-1].index][0] is not call:
            stop = next(i for i in range(start, stop) if where[fresh[i].index][0] is not call)
        if call.trace is not None:
            yield call.trace, fresh if stop - start == len(fresh) else fresh[start:stop]
        start = stop


def _is_over(notification: Notification) -> bool:
    return bool(notification.outcome_bits) and not notification.open_deliveries


def _of(notification: Notification) -> tuple[Attribute, ...]:
    return ("walletpush.app", notification.app), ("walletpush.class", _CLASSES[notification.klass & 3])


def _which(delivery: Delivery) -> tuple[Attribute, ...]:
    return ("walletpush.device_key", f"{delivery.device_key:016x}"), ("walletpush.attempt", delivery.attempts)
