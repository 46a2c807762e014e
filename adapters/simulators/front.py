"""Stands between an HTTP/2 server and a simulator: hands it each request, and sends its answer now, late or never."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast
from weakref import WeakKeyDictionary

from adapters.http2.faults import Faults as WireFaults
from adapters.http2.server import Http2Server, ServerConnection
from adapters.http2.server_session import ServerRequest
from adapters.simulators.answer import CUT, Answer
from adapters.simulators.connection_state import ConnectionState, certified
from adapters.simulators.delays import Delays, Waiting
from adapters.simulators.faults import Dice, Faults
from adapters.simulators.ledger import Ledger

WINDOW_BYTES = 65_535


class Judge(Protocol):
    """A simulated provider."""

    dice: Dice

    def answer(
        self, state: ConnectionState, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], body: bytes
    ) -> Answer | None:
        """Return the answer of one request, None if there shall be none."""


class Front:
    """Serves one simulated provider. locks: a connection has one stream until its sender is authorised.

    bodies: the newest request bodies, keeps_bodies of them. Must be made on a running loop.
    """

    def __init__(
        self,
        judge: Judge,
        ledger: Ledger,
        tls: ssl.SSLContext,
        *,
        locks: bool = False,
        keeps_bodies: int = 0,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._judge = judge
        self._ledger = ledger
        self._locks = locks
        self.bodies: deque[bytes] = deque(maxlen=keeps_bodies)
        self._clock_s = clock_s
        self._states: WeakKeyDictionary[ServerConnection, ConnectionState] = WeakKeyDictionary()
        self._delays = Delays(self._deliver)
        self.faults = Faults()
        self.server = Http2Server(self._handle, tls, window_bytes=WINDOW_BYTES)
        self.apply(self.faults)

    def apply(self, faults: Faults) -> None:
        """Misbehave so from now on; answers already waiting keep their time."""
        self.faults = faults
        self._judge.dice = Dice(faults, self._clock_s)
        self.server.faults = WireFaults(
            silent=faults.silent,
            goaway_after=faults.goaway_after,
            goaway_unprocessed=faults.goaway_unprocessed,
            goaway_graceful=faults.goaway_graceful,
            reset_one_in=faults.stream_reset_one_in,
            reset_code=faults.stream_reset_code,
        )
        streams = faults.max_concurrent_streams
        self.server.max_streams = min(streams, 1) if self._locks else streams
        for connection in self.server.connections:
            if not self._locks or self._state(connection).open:
                connection.announce(streams)

    def _state(self, connection: ServerConnection) -> ConnectionState:
        state = self._states.get(connection)
        if state is None:
            state = self._states[connection] = ConnectionState(certificate=certified(connection.peer_certificate))
        return state

    def _handle(self, requests: list[ServerRequest]) -> None:
        connection = cast("ServerConnection", requests[0].owner)
        state = self._state(connection)
        judge, dice, reset_after = self._judge.answer, self._judge.dice, self.faults.reset_after
        unsent: list[Answer] = []
        for request in requests:
            state.requests += 1
            self.bodies.append(request.body)
            answer = judge(state, request.method, request.path, request.headers, request.body)
            if answer is not None and answer is not CUT:
                unsent.append(answer)
                if dice.instant:
                    request.respond(answer.status, None, answer.body, answer.extra)
                else:
                    self._delays.add(dice.delay_ms(), request, answer)
            if answer is CUT or 0 < reset_after <= state.requests:
                self._cut(connection, unsent)
                return
        if self._locks and not state.open and state.authorised:
            self._unlock(connection, state)

    def _cut(self, connection: ServerConnection, unsent: list[Answer]) -> None:
        """Reset the connection before the answers of this batch have left; those on timers find out by themselves."""
        if self._judge.dice.instant:
            for answer in unsent:
                self._ledger.record_unanswered(answer.message_id)
        connection.abort()

    def _unlock(self, connection: ServerConnection, state: ConnectionState) -> None:
        state.open = True
        connection.announce(self.faults.max_concurrent_streams)

    def _deliver(self, waiting: list[Waiting]) -> None:
        for request, answer in waiting:
            if request.live:
                request.respond(answer.status, None, answer.body, answer.extra)
            else:
                self._ledger.record_unanswered(answer.message_id)
