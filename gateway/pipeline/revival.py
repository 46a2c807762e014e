"""Journal frames -> notifications again: after a restart, and when a scheduled one falls due."""

from __future__ import annotations

import asyncio

from core.content.message import Content
from core.delivery import Notification, assign_place
from core.errors import InvalidRequest, StoreFailure, Unavailable
from core.model import DeliveryState, NotificationState, PushType
from core.notification_id import make_id
from core.storage import Journal, JournalRecovery, PartlyFinished
from gateway.convert import to_notification
from gateway.erasure.subject import ERASED, is_husk
from gateway.frames import Frame, parse_frame, split_frame
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.planning import Planner
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway
from gateway.scopes import Scopes

_SEGMENTS = 32
_RETRY_S = 0.5
_REFUSED = "REFUSED_AFTER_RESTART"


class Reviver:
    """Brings notifications back from the journal and sets them on their way. replayed: set once replay is through."""

    def __init__(
        self, *, journal: Journal, scopes: Scopes, underway: Underway, planner: Planner,
        settler: Settler, schedule: Schedule, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._scopes = scopes
        self._underway = underway
        self._planner = planner
        self._settler = settler
        self._schedule = schedule
        self._metrics = metrics
        self._logger = get_logger("revival")
        self.replayed = asyncio.Event()

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps after a reload."""
        self._scopes = scopes

    async def replay(self, recovery: JournalRecovery, now_unix_ms: int) -> int:
        """Set on its way everything that was accepted and not finished; return how many notifications.

        What is due after now_unix_ms goes to the schedule. Any of the rest may have been on the wire when the
        process ended, so its receipt will say "possibly delivered".
        """
        count = 0
        async for segments in recovery.recover(_SEGMENTS):
            due: list[Notification] = []
            later: list[Notification] = []
            finished: dict[Notification, PartlyFinished] = {}
            for segment in segments:
                for index, state, frame in segment.messages:
                    notification = self._try_to_revive(segment.seq, index, frame)
                    if notification is None:
                        continue
                    if index in segment.finished:
                        finished[notification] = segment.finished[index]
                    if state is NotificationState.SCHEDULED and notification.send_at_unix_ms > now_unix_ms:
                        later.append(notification)
                    else:
                        notification.recovered = True
                        due.append(notification)
            self._schedule.add(later)
            self._underway.add(due)
            await self._planner.plan_safely(due, finished)
            count += len(due) + len(later)
        self._metrics.recovered(count)
        self.replayed.set()
        return count

    async def release(self, groups: dict[int, list[int]]) -> None:
        """Set scheduled notifications on their way, by segment and indexes."""
        for segment, indexes in groups.items():
            frames = await self._load(segment, indexes)
            revived = (self._try_to_revive(segment, index, frame) for index, frame in zip(indexes, frames, strict=True))
            notifications = [notification for notification in revived if notification is not None]
            self._underway.add(notifications)
            await self._planner.plan_safely(notifications)

    async def content_of(self, notification: Notification) -> Content | None:
        """Read again what a notification under way says; None if the settings no longer allow it.

        Raises UnknownNotification once it has ended, StoreFailure if its frame is damaged.
        """
        (frame,) = await self._load(notification.segment, [notification.index])
        parsed = parse_frame(frame)
        try:
            scope = self._scopes.of_tenant(parsed.tenant)
            return to_notification(parsed.message, scope, parsed.accepted_unix_ms).content
        except InvalidRequest:
            return None

    async def _load(self, segment: int, indexes: list[int]) -> list[bytes]:
        while True:
            try:
                return await self._journal.load(segment, indexes)
            except Unavailable as error:
                self._logger.warning("journal_unreadable", why=str(error))
                await asyncio.sleep(_RETRY_S)

    def revive(self, segment: int, index: int, frame: bytes) -> Notification | None:
        """Make a notification from its frame; one that the settings no longer allow ends here, with a receipt.

        Raises StoreFailure if the frame is damaged.
        """
        tenant, accepted_unix_ms, body = split_frame(frame)
        scope = self._scopes.of_tenant(tenant)
        quick = scope.reader.read(body, accepted_unix_ms)
        if quick is not None:
            return self._placed(quick[0], segment, index, accepted_unix_ms)
        parsed = parse_frame(frame)
        try:
            # Judged at its own time: a lifetime that has ended since is the dispatcher's to find.
            notification = to_notification(parsed.message, scope, parsed.accepted_unix_ms)
        except InvalidRequest:
            self._end(self._placed(self._husk(parsed), segment, index, accepted_unix_ms), is_husk(parsed.message))
            return None
        return self._placed(notification, segment, index, accepted_unix_ms)

    def _try_to_revive(self, segment: int, index: int, frame: bytes) -> Notification | None:
        try:
            return self.revive(segment, index, frame)
        except StoreFailure:
            # It stays in the journal for a person to look at; all the others must not wait for that.
            self._logger.error("frame_damaged", segment=segment, index=index, exc_info=True)
            self._metrics.task_failure("revival")
            return None

    def _placed(self, notification: Notification, segment: int, index: int, accepted_unix_ms: int) -> Notification:
        ident = make_id(accepted_unix_ms, self._journal.number, segment, index)
        assign_place(notification, ident, segment, index)
        return notification

    def _husk(self, parsed: Frame) -> Notification:
        app = parsed.message.app
        tags = self._scopes.tenant_tag(parsed.tenant), self._scopes.app_tag(app)
        at = parsed.accepted_unix_ms
        return Notification(parsed.tenant, app, "", 0, PushType.ALERT, b"", at, 0, at, *tags, (), (), None)

    def _end(self, husk: Notification, erased: bool) -> None:
        self._underway.add([husk])
        if erased:
            # The worker died between taking the user out of the journal and ending what was for them alone.
            self._settler.end([husk], DeliveryState.CANCELLED, ERASED)
        else:
            self._settler.end([husk], DeliveryState.FAILED, _REFUSED)
