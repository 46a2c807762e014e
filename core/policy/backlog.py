"""What is left of several deferred messages to a user that are due together, so that mornings do not flood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.rules import Backlog


class DueMessage(NamedTuple):
    """A deferred message to one user, which is due. group: its collapse key, or its category where it has none.

    notification_id: a message may wait for several of the user's devices apart. stands_for: how many it summarises.
    """

    user_id: str
    klass: NotificationClass
    group: str
    accepted_unix_ms: int
    notification_id: bytes
    stands_for: int = 1


class Kept(NamedTuple):
    """A message to send, by its place, and those of the older ones that it stands for; these end as COLLAPSED.

    total: how many messages it stands for, itself included; a summary names it.
    """

    place: int
    others: tuple[int, ...] = ()
    total: int = 1


def collapse(due: Sequence[DueMessage], backlog: Backlog) -> list[Kept]:
    """Return what to send of one app's messages that are due together, in the order they were accepted.

    NEWEST: of each user and group the newest. SUMMARY: of each user one, which stands for all. Classes stay apart, and
    urgent ones are each sent. What waits for several devices of a user is one message.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, one in enumerate(due):
        groups.setdefault(_key(index, one, backlog), []).append(index)
    kept = (one for members in groups.values() for one in _newest(due, members))
    return sorted(kept, key=lambda one: (due[one.place].accepted_unix_ms, one.place))


def _key(index: int, one: DueMessage, backlog: Backlog) -> tuple[object, ...]:
    if backlog == Backlog.EACH or one.klass <= NotificationClass.TRANSACTIONAL:
        return (index,)
    if backlog == Backlog.SUMMARY:
        return one.user_id, one.klass
    return one.user_id, one.klass, one.group


def _newest(due: Sequence[DueMessage], members: Iterable[int]) -> list[Kept]:
    """Return the newest message of a group, once for each device that it waits for."""
    ordered = sorted(members, key=lambda index: (due[index].accepted_unix_ms, index))
    newest = due[ordered[-1]].notification_id
    places = [index for index in ordered if due[index].notification_id == newest]
    others = tuple(index for index in ordered if due[index].notification_id != newest)
    total = sum({due[index].notification_id: due[index].stands_for for index in ordered}.values())
    return [Kept(place, others if place == places[-1] else (), total) for place in places]
