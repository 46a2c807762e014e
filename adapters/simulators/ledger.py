"""What a simulator received and what it answered, by message, so that tests can count what was lost or came twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypedDict

AnswerKey = tuple[int, str]

ACCEPTED: AnswerKey = (200, "")
# A dry run: nothing is wrong with the message, and no device hears it.
VALIDATED: AnswerKey = (200, "validated")


class Arrival(NamedTuple):
    """One accepted request; at_unix_ms is 0 unless the ledger keeps times."""

    token: str
    collapse_id: str
    at_unix_ms: int


class Duplicate(TypedDict):
    """A message accepted more than once; the lists are aligned, in order of arrival."""

    id: str
    tokens: list[str]
    collapse_ids: list[str]


class Summary(TypedDict):
    """The totals. by_reason keys are like "200" or "410 Unregistered"; unanswered: whose answers never left."""

    requests: int
    accepted: int
    distinct: int
    duplicates: int
    unanswered: int
    by_status: dict[str, int]
    by_reason: dict[str, int]


class Dump(TypedDict):
    """A whole ledger in JSON's terms, for merging those of several processes."""

    totals: list[tuple[int, str, int]]
    accepted: list[tuple[str, list[tuple[str, str, int]]]]
    refused: list[tuple[str, int]]
    unanswered: list[tuple[str, int]]


class Ledger:
    """Counts answers, and unless it only counts, remembers each message: 0.3 us a request.

    clock_s: unix seconds, asked per accepted request; None keeps no times.
    """

    def __init__(self, *, keeps_ids: bool = True, clock_s: Callable[[], float] | None = None) -> None:
        self._keeps_ids = keeps_ids
        self._clock_s = clock_s
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._totals: dict[AnswerKey, int] = {}
        self._first: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._again: dict[bytes, list[tuple[bytes, bytes, int]]] = {}
        self._refused: dict[bytes, int] = {}
        self._unanswered: dict[bytes, int] = {}

    def record(self, message_id: bytes, token: bytes, collapse_id: bytes, answer: AnswerKey) -> None:
        """Note one request and what was decided about it; ACCEPTED means that the device would hear it."""
        totals = self._totals
        totals[answer] = totals.get(answer, 0) + 1
        if not self._keeps_ids or answer == VALIDATED:
            return
        if answer[1]:
            self._refused[message_id] = self._refused.get(message_id, 0) + 1
            return
        arrival = (token, collapse_id, 0 if self._clock_s is None else int(self._clock_s() * 1000))
        if self._first.setdefault(message_id, arrival) is not arrival:
            self._again.setdefault(message_id, []).append(arrival)

    def count(self, answer: AnswerKey, requests: int) -> None:
        """Note only how many requests got an answer."""
        self._totals[answer] = self._totals.get(answer, 0) + requests

    def record_unanswered(self, message_id: bytes) -> None:
        """Note that the answer of a request already recorded never left, so that its sender cannot know."""
        name = message_id if self._keeps_ids else b""
        self._unanswered[name] = self._unanswered.get(name, 0) + 1

    def summary(self) -> Summary:
        """Return the totals."""
        by_status: dict[str, int] = {}
        for (status, _), requests in self._totals.items():
            by_status[str(status)] = by_status.get(str(status), 0) + requests
        return Summary(
            requests=sum(self._totals.values()),
            accepted=self._totals.get(ACCEPTED, 0),
            distinct=len(self._first),
            duplicates=len(self._again),
            unanswered=sum(self._unanswered.values()),
            by_status=by_status,
            by_reason={f"{status} {reason}".strip(): n for (status, reason), n in self._totals.items()},
        )

    def arrivals(self, message_id: str) -> list[Arrival]:
        """Return every accepted request of one message, in order of arrival."""
        return [Arrival(*row) for row in self._rows(message_id.encode())]

    def refusals(self, message_id: str) -> int:
        """Return how many requests of one message were answered otherwise than 200."""
        return self._refused.get(message_id.encode(), 0)

    def unanswered(self) -> dict[str, int]:
        """Return how many requests of each message got no answer; those that got all of theirs are left out."""
        return {_text(message_id): n for message_id, n in self._unanswered.items()}

    def duplicates(self) -> list[Duplicate]:
        """Return the messages accepted twice or more."""
        found = []
        for message_id in self._again:
            rows = self._rows(message_id)
            found.append(
                Duplicate(
                    id=_text(message_id), tokens=[row[0] for row in rows], collapse_ids=[row[1] for row in rows]
                )
            )
        return found

    def missing(self, message_ids: Iterable[str]) -> list[str]:
        """Return those of the given messages that were never accepted."""
        return [message_id for message_id in message_ids if message_id.encode() not in self._first]

    def ids(self) -> list[str]:
        """Return the accepted messages, in order of first arrival."""
        return [_text(message_id) for message_id in self._first]

    def times(self) -> dict[str, int]:
        """Return when each message was first accepted, in unix ms."""
        return {_text(message_id): row[2] for message_id, row in self._first.items()}

    def dump(self) -> Dump:
        """Return everything, for absorb()."""
        return Dump(
            totals=[(status, reason, n) for (status, reason), n in self._totals.items()],
            accepted=[(_text(message_id), self._rows(message_id)) for message_id in self._first],
            refused=[(_text(message_id), n) for message_id, n in self._refused.items()],
            unanswered=[(_text(message_id), n) for message_id, n in self._unanswered.items()],
        )

    def absorb(self, dump: Dump) -> None:
        """Add what another ledger saw."""
        for status, reason, requests in dump["totals"]:
            self.count((status, reason), requests)
        for message_id, rows in dump["accepted"]:
            key = message_id.encode()
            for token, collapse_id, at_unix_ms in rows:
                arrival = (token.encode(), collapse_id.encode(), at_unix_ms)
                if self._first.setdefault(key, arrival) is not arrival:
                    self._again.setdefault(key, []).append(arrival)
        _add(self._refused, dump["refused"])
        _add(self._unanswered, dump["unanswered"])

    def _rows(self, message_id: bytes) -> list[tuple[str, str, int]]:
        first = self._first.get(message_id)
        rows = [] if first is None else [first, *self._again.get(message_id, ())]
        return [(_text(token), _text(collapse_id), at_unix_ms) for token, collapse_id, at_unix_ms in rows]


def _add(counts: dict[bytes, int], more: Iterable[tuple[str, int]]) -> None:
    for message_id, requests in more:
        name = message_id.encode()
        counts[name] = counts.get(name, 0) + requests


def _text(field: bytes) -> str:
    return field.decode(errors="replace")
