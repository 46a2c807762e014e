"""Takes notifications in: validated, deduplicated, journaled, and only then answered."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.dedup import DedupWindow, Verdict
from core.delivery import Notification, assign_places
from core.errors import ContentRefused, Failure, IdempotencyConflict, InvalidRequest, Overloaded, PushError, Unavailable
from core.hashing import SipHash
from core.model import NotificationClass, NotificationState, PushType
from core.notification_id import format_id, format_id_many, make_id_many
from core.storage import Journal, Segment
from gateway.convert import Scope
from gateway.frames import frame_prefix
from gateway.logs import get_logger
from gateway.metrics import Metrics, Stage
from gateway.pipeline.admission import Admission
from gateway.pipeline.clock import Clock
from gateway.pipeline.reading import GeneralReader
from gateway.tracing.port import CallTrace, Tracer, current_call
from protos.walletpush.v1 import notification_pb2 as pb

MAX_SEGMENT = 1_000
# Reading takes some 3 us a message: so many at a time, then the loop may see to an answer.
_STRIDE = 125
_IN_FLIGHT_RETRY_MS = 50
# grpc.aio hands over about one call per turn of the loop, so that without a wait each would be a segment of its own.
_LINGER_S = 0.001
_ENOUGH = 100
# JSON escapes at most double a printable text, and the headers of a payload stay below 500 bytes.
_SURELY_FITS = 1_500
_COMMON_TYPES = frozenset({int(PushType.ALERT), int(PushType.BACKGROUND)})
# The constructor of a NamedTuple is written in Python; this is what it calls.
_new = tuple.__new__
_GAP = NotificationState.SUPPRESSED


class Taken(NamedTuple):
    """What became of one message: its id, or the first one's if it is a duplicate, or the error."""

    notification_id: str
    duplicate: bool = False
    error: PushError | None = None


@dataclass(slots=True)
class _Call:
    """One caller's messages and who waits for the answer."""

    scope: Scope
    messages: Sequence[pb.Notification]
    answer: asyncio.Future[list[Taken]]
    trace: CallTrace | None
    taken: list[Taken | None] = field(default_factory=list)


class _Batch:
    """What one segment is made of, in parallel lists; where[i] is the call and the place of notification i."""

    __slots__ = ("bodies", "frames", "keys", "notifications", "repeats", "wanted", "where")

    def __init__(self) -> None:
        self.notifications: list[Notification] = []
        self.keys: list[bytes] = []
        self.bodies: list[bytes] = []
        self.frames: list[bytes] = []
        self.where: list[tuple[_Call, int]] = []
        self.wanted = 0
        # What repeats a message of this very segment can be answered only when that is durable.
        self.repeats: list[tuple[_Call, int, Taken]] = []


class Intake:
    """Every way in leads through submit: calls that come together share a segment, a commit and a plan.

    precheck: raises ContentRefused for what no provider of the app would take. reader: for what the quick way leaves.
    pending: deliveries that hold a place. accepted: awaited with what is durable and new, after its callers were
    answered.
    """

    def __init__(
        self, *, journal: Journal, dedup: DedupWindow, hasher: SipHash, admission: Admission,
        precheck: Callable[[Notification], None], reader: GeneralReader, pending: Callable[[], int],
        accepted: Callable[[list[Notification]], Awaitable[None]],
        tasks: asyncio.TaskGroup, metrics: Metrics, clock: Clock, tracer: Tracer | None = None,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._dedup = dedup
        self._hasher = hasher
        self._admission = admission
        self._precheck = precheck
        self._reader = reader
        self._pending = pending
        self._accepted = accepted
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._tracer = tracer
        self._waiting: list[_Call] = []
        self._waiting_messages = 0
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._committing = 0
        self._closed = False
        self._planned = 0
        self._logger = get_logger("intake")

    @property
    def taking(self) -> int:
        """Deliveries, at least, of notifications that are being taken in or are accepted and not queued yet."""
        return self._planned

    def close(self) -> None:
        """Refuse everything from now on; what is being taken in is finished."""
        self._closed = True

    async def submit(self, scope: Scope, messages: Sequence[pb.Notification]) -> list[Taken]:
        """Take in 1 to 1,000 messages of one caller; return what became of each, in order.

        Raises Unavailable while draining.
        """
        if self._closed:
            raise Unavailable("draining: this gateway takes nothing new")
        trace = None if self._tracer is None else current_call.get()
        call = _Call(scope, messages, asyncio.get_running_loop().create_future(), trace)
        self._waiting.append(call)
        self._waiting_messages += len(messages)
        self._schedule_gathering()
        return await call.answer

    def _schedule_gathering(self) -> None:
        """Gather at the loop's next turn; while a commit is under way single calls wait for its end, at most 1 ms."""
        loop = asyncio.get_running_loop()
        if not self._committing or self._waiting_messages >= _ENOUGH:
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._gather)
        elif self._timer is None:
            self._timer = loop.call_later(_LINGER_S, self._gather)

    def _gather(self) -> None:
        self._scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, self._waiting, self._waiting_messages = self._waiting, [], 0
        if not calls:
            return
        group: list[_Call] = []
        size = 0
        for call in calls:
            if group and size + len(call.messages) > MAX_SEGMENT:
                self._tasks.create_task(self._take_in(group))
                group, size = [], 0
            group.append(call)
            size += len(call.messages)
        self._tasks.create_task(self._take_in(group))

    async def _take_in(self, calls: list[_Call]) -> None:
        batch = _Batch()
        try:
            notifications = await self._accept_safely(calls, batch)
            if notifications:
                await self._accepted(notifications)
        finally:
            self._planned -= batch.wanted

    async def _accept_safely(self, calls: list[_Call], batch: _Batch) -> list[Notification]:
        try:
            return await self._accept(calls, batch)
        except PushError as error:
            self._refuse(calls, error)
        except asyncio.CancelledError:
            self._refuse(calls, Unavailable("the gateway is stopping"))
            raise
        except Exception:  # the top of a task: no message may take the worker down with it
            self._logger.error("intake_failed", exc_info=True)
            self._metrics.task_failure("intake")
            await self._take_apart(calls)
        return []

    async def _take_apart(self, calls: list[_Call]) -> None:
        if len(calls) == 1:
            self._refuse(calls, Failure("internal error"))
            return
        # One caller's message must not cost the others theirs.
        for call in calls:
            await self._take_in([call])

    async def _accept(self, calls: list[_Call], batch: _Batch) -> list[Notification]:
        started_ns = self._clock.monotonic_ns()
        now_unix_ms = self._clock.unix_ms()
        for call in calls:
            await self._convert(call, batch, now_unix_ms)
        if not batch.notifications:
            _answer(calls)
            return []
        segment = self._journal.next_segment()
        ids = make_id_many(now_unix_ms, self._journal.number, segment, len(batch.notifications))
        assign_places(batch.notifications, ids, segment, started_ns)
        keys, fingerprints = self._hash(batch)
        positions = array("Q", bytes(8 * len(batch.notifications)))
        fresh = self._deduplicate(batch, ids, keys, fingerprints, positions, now_unix_ms)
        self._observe("intake", started_ns, len(batch.notifications))
        if fresh:
            committing_ns = await self._journal_it(batch, fresh, segment, now_unix_ms, keys, fingerprints, positions)
            if self._tracer is not None:
                self._tracer.accepted(fresh, batch.where, started_ns, committing_ns)
            self._finish(batch, fresh, ids)
        _answer(calls)
        return fresh

    async def _convert(self, call: _Call, batch: _Batch, now_unix_ms: int) -> None:
        taken: list[Taken | None] = []
        call.taken = taken
        scope, prefix = call.scope, frame_prefix(call.scope.tenant, now_unix_ms)
        pending = self._pending() + self._planned
        refused: Counter[str] = Counter()
        shed: Counter[int] = Counter()
        for place, message in enumerate(call.messages):
            if place and place % _STRIDE == 0:
                await asyncio.sleep(0)
                pending = self._pending() + self._planned
            try:
                body = message.SerializeToString(deterministic=True)
                quick = scope.reader.read(body, now_unix_ms)
                read = (*quick, body) if quick else await self._reader.read(message, body, scope, now_unix_ms)
                notification, key, frame = read
                wanted = len(notification.targets) + len(notification.user_ids)
                self._admission.check(notification.klass, pending, wanted)
                if len(body) > _SURELY_FITS or _is_special(notification):
                    self._precheck(notification)
            except (InvalidRequest, ContentRefused, Overloaded, Unavailable) as error:
                taken.append(Taken("", error=error))
                refused[type(error).__name__] += 1
                if isinstance(error, Overloaded):
                    shed[notification.klass] += 1
                continue
            pending += wanted
            # From here on it counts for every other call that is being read.
            batch.wanted += wanted
            self._planned += wanted
            taken.append(None)
            batch.notifications.append(notification)
            batch.bodies.append(body)
            batch.frames.append(prefix + frame)
            batch.keys.append(key)
            batch.where.append((call, place))
        for reason, count in refused.items():
            self._metrics.rejected(reason, count)
        for klass, count in shed.items():
            self._metrics.queue_full(f"pending_{NotificationClass(klass).name.lower()}", count)

    def _hash(self, batch: _Batch) -> tuple[bytearray, array[int]]:
        keys = bytearray(16 * len(batch.keys))
        fingerprints = array("Q", bytes(8 * len(batch.bodies)))
        self._hasher.hash128_many(batch.keys, keys)
        self._hasher.hash64_many(batch.bodies, fingerprints)
        return keys, fingerprints

    def _deduplicate(
        self, batch: _Batch, ids: bytes, keys: bytearray, fingerprints: array[int], positions: array[int],
        now_unix_ms: int,
    ) -> list[Notification]:  # fmt: skip
        n = len(batch.notifications)
        verdicts, found = bytearray(n), bytearray(16 * n)
        fresh = self._dedup.check_many(keys, fingerprints, ids, now_unix_ms, verdicts, found, positions)
        if fresh == n:
            return batch.notifications
        duplicates: Counter[int] = Counter()
        own = {notification.id for notification in batch.notifications}
        for i, verdict in enumerate(verdicts):
            if verdict == Verdict.NEW:
                continue
            call, place = batch.where[i]
            first = bytes(found[16 * i : 16 * i + 16])
            known = self._known(verdict, first, now_unix_ms)
            # What found no room is told its own id, and repeats nothing.
            if first in own and verdict != Verdict.FULL:
                batch.repeats.append((call, place, known))
            else:
                call.taken[place] = known
            if verdict == Verdict.DUPLICATE:
                duplicates[batch.notifications[i].klass] += 1
            else:
                self._metrics.rejected(Verdict(verdict).name, 1)
            # Its place in the segment stays empty, and its key must not lead to it after a restart.
            batch.frames[i] = b""
            keys[16 * i : 16 * i + 16] = bytes(16)
        for klass, count in duplicates.items():
            self._metrics.duplicate(klass, count)
        return [n for n, verdict in zip(batch.notifications, verdicts, strict=True) if verdict == Verdict.NEW]

    def _known(self, verdict: int, first: bytes, now_unix_ms: int) -> Taken:
        if verdict == Verdict.DUPLICATE:
            return Taken(format_id(first), duplicate=True)
        if verdict == Verdict.CONFLICT:
            return Taken("", error=IdempotencyConflict(format_id(first)))
        if verdict == Verdict.IN_FLIGHT:
            return Taken("", error=Overloaded("the same idempotency key is being accepted", _IN_FLIGHT_RETRY_MS))
        wait_ms = max(1_000, self._dedup.frees_at_unix_ms(now_unix_ms) - now_unix_ms)
        self._metrics.queue_full("dedup_window")
        return Taken("", error=Overloaded("the idempotency window", wait_ms))

    async def _journal_it(
        self, batch: _Batch, fresh: list[Notification], segment: int, now_unix_ms: int,
        keys: bytearray, fingerprints: array[int], positions: array[int],
    ) -> int:  # fmt: skip
        states = b""
        if len(fresh) < len(batch.frames) or any(n.send_at_unix_ms for n in fresh):
            states = bytes(_state(n, frame) for n, frame in zip(batch.notifications, batch.frames, strict=True))
        started_ns = self._clock.monotonic_ns()
        self._committing += 1
        try:
            await self._journal.append(
                Segment(segment, now_unix_ms, batch.frames, bytes(keys), fingerprints.tobytes(), states)
            )
        except asyncio.CancelledError:
            # It may be on the disk: the keys stay reserved until a restart has read that.
            raise
        except BaseException:
            self._dedup.release_many(positions)
            raise
        finally:
            self._committing -= 1
            if self._waiting and not self._scheduled:
                self._schedule_gathering()
        self._dedup.commit_many(positions)
        self._observe("journal", started_ns, len(fresh))
        return started_ns

    def _finish(self, batch: _Batch, fresh: list[Notification], ids: bytes) -> None:
        texts = format_id_many(ids)
        accepted = Counter([n.klass for n in fresh])
        for notification in fresh:
            call, place = batch.where[notification.index]
            call.taken[place] = _new(Taken, (texts[notification.index], False, None))
        for call, place, known in batch.repeats:
            call.taken[place] = known
        for klass, count in accepted.items():
            self._metrics.accepted(klass, count)

    def _observe(self, stage: Stage, started_ns: int, count: int) -> None:
        self._metrics.stage_seconds(stage, (self._clock.monotonic_ns() - started_ns) / 1e9, count)

    def _refuse(self, calls: list[_Call], error: PushError) -> None:
        refused = 0
        for call in calls:
            # Those already known to be wrong or duplicates keep their own answer.
            missing = [None] * (len(call.messages) - len(call.taken))
            answers = [taken or Taken("", error=error) for taken in (*call.taken, *missing)]
            refused += sum(taken.error is error for taken in answers)
            if not call.answer.done():
                call.answer.set_result(answers)
        self._metrics.rejected(type(error).__name__, refused)
        if isinstance(error, Overloaded):
            self._metrics.queue_full("journal", refused)


def _is_special(notification: Notification) -> bool:
    content = notification.content
    return notification.push_type not in _COMMON_TYPES or (
        content is not None and bool(content.pass_type_id or content.apns or content.fcm)
    )


def _state(notification: Notification, frame: bytes) -> int:
    if not frame:
        return _GAP
    return NotificationState.SCHEDULED if notification.send_at_unix_ms else NotificationState.ACCEPTED


def _answer(calls: list[_Call]) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_result([taken for taken in call.taken if taken is not None])
