"""What an answer of APNs means for the delivery, and what it asks for: another connection, another token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from adapters.apns.provider_token import ProviderTokens
from adapters.apns.shapes import Shape
from adapters.apns.table import NOT_SENT, TIMED_OUT, UNKNOWN, Remedy, Row, read_answer
from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.line import Line
from core.delivery import Delivery
from core.reaction import FINAL_KINDS, Outcome, OutcomeKind

_BY_FATE = {Fate.NOT_SENT: NOT_SENT, Fate.UNKNOWN: UNKNOWN, Fate.TIMED_OUT: TIMED_OUT}
_MAX_KNOWN_ANSWERS = 256
_MAX_FAULTY_CONNECTIONS = 64


class AnswerBook:
    """Reads the refusals of one channel. tokens: None with a certificate; unix_s: the wall clock."""

    def __init__(
        self, line: Line, tokens: ProviderTokens | None, unix_s: Callable[[], float], faults_per_connection: int, *,
        environment_certain: bool,
    ) -> None:  # fmt: skip
        self.tokens = tokens
        self._line = line
        self._unix_s = unix_s
        self._faults_per_connection = faults_per_connection
        self._environment_certain = environment_certain
        self._known: dict[tuple[int, bytes], Row] = {}
        self._faults: dict[object, int] = {}

    def outcome_of(self, exchange: Exchange, delivery: Delivery) -> Outcome:
        """Return the outcome of an exchange that did not end with 200; keep the request if it may be sent again."""
        row = self._row(exchange)
        shape = _shape_of(delivery)
        outcome = row.outcome
        if row.remedy is not Remedy.NONE:
            outcome = self._remedy(row, exchange, shape)
        elif outcome.status == 500:
            self._count_fault(exchange)
        elif outcome.kind is OutcomeKind.DEVICE_GONE and shape.tie < row.tie:
            outcome = replace(outcome, kind=OutcomeKind.REJECTED)
        elif outcome.kind is OutcomeKind.DEVICE_SUSPECT and self._environment_certain:
            outcome = replace(outcome, kind=OutcomeKind.DEVICE_GONE)
        if outcome.kind not in FINAL_KINDS:
            # Not both ways at once: neither object is seen by the garbage collector.
            exchange.tag = None
            delivery.exchange = exchange
        return outcome

    def note_success(self, last: Exchange, exchanges: list[Exchange]) -> None:
        """Learn from a batch with successes, `last` being one: the token is good, and so are the connections."""
        if self.tokens is not None:
            shape = _shape_of(cast("Delivery", last.tag))
            if shape.token is not None and last.head is shape.head:
                shape.token.proven = True
        if self._faults:
            for exchange in exchanges:
                if exchange.status == 200:
                    self._faults.pop(exchange.connection, None)

    def _row(self, exchange: Exchange) -> Row:
        fate = exchange.fate
        if fate is not Fate.ANSWERED:
            return _BY_FATE[fate]
        name = (exchange.status, exchange.body)
        row = self._known.get(name) if exchange.status != 410 else None
        if row is None:
            row = read_answer(*name)
            if exchange.status != 410:
                if len(self._known) >= _MAX_KNOWN_ANSWERS:
                    self._known.clear()
                self._known[name] = row
        return row

    def _remedy(self, row: Row, exchange: Exchange, shape: Shape) -> Outcome:
        outcome = row.outcome
        if row.remedy is Remedy.KEEP_OLD_TOKEN:
            if self.tokens is not None:
                self.tokens.too_many_updates(int(self._unix_s()))
            return outcome
        self._line.retire(exchange.connection, outcome.reason)
        if row.remedy is Remedy.RECONNECT or self._worth_resending(exchange, shape):
            return outcome
        return replace(outcome, kind=OutcomeKind.CREDENTIAL_REJECTED)

    def _worth_resending(self, exchange: Exchange, shape: Shape) -> bool:
        if self.tokens is None:
            return False
        if exchange.head is not shape.head or shape.token is None:
            return True
        return self.tokens.refused(shape.token, int(self._unix_s()))

    def _count_fault(self, exchange: Exchange) -> None:
        connection = exchange.connection
        faults = self._faults.pop(connection, 0) + 1
        if faults >= self._faults_per_connection:
            self._line.retire(connection, "InternalServerError")
        elif len(self._faults) < _MAX_FAULTY_CONNECTIONS:
            self._faults[connection] = faults


def _shape_of(delivery: Delivery) -> Shape:
    return cast("tuple[Shape, object]", delivery.envelope)[0]
