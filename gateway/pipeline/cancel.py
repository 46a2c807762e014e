"""Cancels a notification of this worker: what is not on the wire yet never will be."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from core.delivery import Notification
from core.errors import UnknownNotification
from core.model import DeliveryState, NotificationState
from core.notification_id import parse_id
from core.receipts import summed_state
from core.storage import Journal
from gateway.convert import Scope
from gateway.pipeline.archive import UNKNOWN, Archive
from gateway.pipeline.revival import Reviver
from gateway.pipeline.schedule import Schedule
from gateway.pipeline.settle import Settler
from gateway.pipeline.underway import Underway


class Cancelled(NamedTuple):
    """Whether something could still be stopped, and where the notification stands."""

    cancelled: bool
    state: NotificationState


class WaitingUsers(Protocol):
    """Who knows the users whom a gate told to wait."""

    def cancel(self, notification: Notification) -> None:
        """End what waits for a notification that was cancelled."""


class Canceller:
    """Cancels by the journal's place that an id names."""

    def __init__(
        self, *, journal: Journal, underway: Underway, schedule: Schedule, reviver: Reviver,
        settler: Settler, archive: Archive, waiting: WaitingUsers | None = None,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._underway = underway
        self._schedule = schedule
        self._reviver = reviver
        self._settler = settler
        self._archive = archive
        self._waiting = waiting

    async def cancel(self, notification_id: bytes, scope: Scope) -> Cancelled:
        """Cancel a notification of the scope's tenant. Raises UnknownNotification if it has none with this id."""
        _, _, segment, index = parse_id(notification_id)
        notification = self._underway.find(segment, index)
        if notification is not None:
            stopped = _stop(notification, scope, notification_id)
            if stopped.cancelled and self._waiting is not None:
                self._waiting.cancel(notification)
            return stopped
        state = (await self._archive.standing(notification_id, scope)).state
        if state is not NotificationState.SCHEDULED:
            return Cancelled(False, state)
        (frame,) = await self._journal.load(segment, [index])
        scheduled = self._reviver.revive(segment, index, frame)
        if scheduled is None:
            return Cancelled(False, NotificationState.FAILED)
        if not self._schedule.cancel(scheduled):
            # It fell due between two looks: it is on its way, or another call cancelled it.
            found = self._underway.find(segment, index)
            return _stop(found, scope, notification_id) if found else Cancelled(False, state)
        self._underway.add([scheduled])
        self._settler.end([scheduled], DeliveryState.CANCELLED, "CANCELLED")
        return Cancelled(True, NotificationState.CANCELLED)


def _stop(notification: Notification, scope: Scope, notification_id: bytes) -> Cancelled:
    if notification.tenant != scope.tenant or notification.id != notification_id:
        raise UnknownNotification(UNKNOWN)
    if notification.outcome_bits and not notification.open_deliveries:
        return Cancelled(False, summed_state(notification.outcome_bits))
    # One that is not planned yet has no delivery, and none on the wire either.
    stoppable = not notification.open_deliveries or notification.open_deliveries > notification.in_flight
    # The deliveries end where they wait: in a lane at the next sweep, between attempts when they fall due.
    notification.cancelled = notification.cancelled or stoppable
    return Cancelled(stoppable, NotificationState.ACCEPTED)
