"""What is left of several deferred messages to a user that are due together, so that mornings do not flood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.model import NotificationClass
from core.policy.rules import Backlog


class Deferred(NamedTuple):
    """A deferred message to one user. group: its collapse key, or its category where it has none."""

    user_id: str
    klass: NotificationClass
    group: str
    accepted_unix_ms: int


class Kept(NamedTuple):
    """A message to send, by its place, and those of the older ones that it stands for; these end as COLLAPSED."""

    place: int
    others: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """How many messages it stands for, itself included; a summary names it."""
        return 1 + len(self.others)


def collapse(due: Sequence[Deferred], backlog: Backlog) -> list[Kept]:
    """Return what to send of one app's messages that are due together, in the order they were accepted.

    NEWEST: of each user and group the newest. SUMMARY: of each user one, which stands for all. Classes stay apart, and
    urgent ones are each sent.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, one in enumerate(due):
        groups.setdefault(_key(index, one, backlog), []).append(index)
    kept = (_newest(due, members) for members in groups.values())
    return sorted(kept, key=lambda one: (due[one.place].accepted_unix_ms, one.place))


def _key(index: int, one: Deferred, backlog: Backlog) -> tuple[object, ...]:
    if backlog == Backlog.EACH or one.klass <= NotificationClass.TRANSACTIONAL:
        return (index,)
    if backlog == Backlog.SUMMARY:
        return one.user_id, one.klass
    return one.user_id, one.klass, one.group


def _newest(due: Sequence[Deferred], members: Iterable[int]) -> Kept:
    *others, newest = sorted(members, key=lambda index: (due[index].accepted_unix_ms, index))
    return Kept(newest, tuple(others))
