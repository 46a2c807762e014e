"""The way to FCM for one app: deliveries become requests, answers become outcomes.

A quota (429) comes back as ROUTE_THROTTLED with the wait that FCM asks for. As after a start, FCM wants traffic to rise
over at least a minute after a pause: https://firebase.google.com/docs/cloud-messaging/scale-fcm
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from adapters.credentials import ServiceAccount
from adapters.fcm.oauth import AccessToken, AccessTokens
from adapters.fcm.payload import FcmMessage, render, splice
from adapters.fcm.platforms import PlatformBlocks, Platforms
from adapters.fcm.table import NOT_SENT, TIMED_OUT, UNKNOWN, Remedy, Row, read_answer
from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.headers import HeaderBlock
from adapters.line import ExchangePool, Line, PoolFactory, render_each
from core.delivery import Delivery, Notification
from core.ports import Rendered, Sink
from core.reaction import DELIVERED, Outcome, OutcomeKind

_ALL_PLATFORMS = Platforms()
HOST = "fcm.googleapis.com"
_BY_FATE = {Fate.NOT_SENT: NOT_SENT, Fate.UNKNOWN: UNKNOWN, Fate.TIMED_OUT: TIMED_OUT}
_MALFORMED = Outcome(OutcomeKind.REJECTED, 0, "MalformedRequest")
_MAX_KNOWN_ANSWERS = 256


@dataclass(frozen=True, slots=True)
class FcmSettings:
    """One app. project_id: "" for the service account's own. authority: the :authority header."""

    project_id: str = ""
    authority: str = HOST
    platforms: Platforms = _ALL_PLATFORMS


class FcmChannel:
    """core.ports.Channel over HTTP/2. unix_s: the wall clock, for Retry-After dates.

    tokens may serve several channels; whoever made them starts and closes them.
    """

    def __init__(
        self, route: int, app: str, settings: FcmSettings, sink: Sink, make_pool: PoolFactory,
        unix_s: Callable[[], float], tokens: AccessTokens,
    ) -> None:  # fmt: skip
        self.route = route
        self.app = app
        self._sink = sink
        self._unix_s = unix_s
        self._tokens = tokens
        self._blocks = PlatformBlocks(settings.platforms)
        self._authority = settings.authority.encode("ascii")
        self._path = _path(settings, tokens.account)
        self._token: AccessToken | None = None
        self._head: HeaderBlock | None = None
        self._known: dict[tuple[int, bytes], Row] = {}
        self._line = Line(make_pool, self._take_answers, self._tell_capacity)

    @property
    def pool(self) -> ExchangePool:
        """The pool in use, for its figures."""
        return self._line.pool

    @property
    def capacity(self) -> int:
        """Streams that are free now; 0 without an access token."""
        return self._line.capacity if self._tokens.current is not None else 0

    def render(self, notification: Notification) -> tuple[bytes, FcmMessage]:
        """Build the message, still without a token. Raises ContentRefused; ValueError if the content was dropped."""
        content = notification.content
        if content is None:
            raise ValueError("the notification's content is gone")
        message = render(
            content, self._blocks, notification.klass, notification.collapse_id.decode("ascii", "replace"),
            notification.expires_unix_ms // 1000, collapses=notification.collapse_given,
        )  # fmt: skip
        return message.shared(_ttl_s(notification, notification.accepted_unix_ms)), message

    def render_many(self, notifications: list[Notification]) -> list[Rendered]:
        """Build payloads and envelopes, or tell why not."""
        return render_each(self.render, notifications)

    def submit(self, deliveries: Sequence[Delivery], now_unix_ms: int) -> int:
        """Put as many of the head on the wire as there are free streams; return how many.

        A delivery whose token no JSON string can carry as it is counts as taken and is answered as rejected.
        """
        token = self._tokens.current
        count = min(len(deliveries), self._line.capacity) if token is not None else 0
        if not count or token is None:
            return 0
        head = self._head_for(token)
        exchanges: list[Exchange] = []
        malformed: list[Delivery] = []
        for delivery in deliveries[:count]:
            message: FcmMessage = delivery.envelope  # type: ignore[assignment]
            delivery.exchange = None
            try:
                body = splice(message.shared(_ttl_s(delivery.notification, now_unix_ms)), delivery.token)
            except ValueError:
                malformed.append(delivery)
            else:
                exchanges.append(Exchange(head, self._path, (), body, delivery))
        return self._send(deliveries, count, exchanges, malformed)

    async def start(self) -> None:
        """Begin connecting in the background."""
        self._tokens.subscribe(self._tell_capacity)
        await self._line.start()

    async def close(self, drain_s: float) -> None:
        """Wait for what is in flight, at most drain_s, then close; what is left is answered UNKNOWN."""
        self._tokens.unsubscribe(self._tell_capacity)
        await self._line.close(drain_s)

    def _head_for(self, token: AccessToken) -> HeaderBlock:
        if self._head is None or token is not self._token:
            self._token = token
            self._head = HeaderBlock((
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", self._authority),
                (b"content-type", b"application/json"),
                (b"authorization", token.authorization),
            ))  # fmt: skip
        return self._head

    def _send(
        self, deliveries: Sequence[Delivery], count: int, exchanges: list[Exchange], malformed: list[Delivery]
    ) -> int:
        taken = self._line.submit(exchanges)
        if taken < len(exchanges):
            count = deliveries.index(cast("Delivery", exchanges[taken].tag))
        if malformed:
            answered = [delivery for delivery in deliveries[:count] if delivery in malformed]
            # Later, because the caller has yet to learn that they were taken.
            asyncio.get_running_loop().call_soon(self._sink.on_outcomes, answered, [_MALFORMED] * len(answered))
        return count

    def _take_answers(self, exchanges: list[Exchange]) -> None:
        deliveries: list[Delivery] = []
        outcomes: list[Outcome] = []
        for exchange in exchanges:
            delivery: Delivery = exchange.tag  # type: ignore[assignment]
            deliveries.append(delivery)
            if exchange.status == 200:
                delivery.provider_message_id = _message_id(exchange.body)
                outcomes.append(DELIVERED)
            else:
                outcomes.append(self._outcome_of(exchange))
        self._sink.on_outcomes(deliveries, outcomes)

    def _outcome_of(self, exchange: Exchange) -> Outcome:
        row = _BY_FATE.get(exchange.fate) or self._row(exchange)
        if row.remedy is not Remedy.REFRESH_TOKEN or self._worth_resending(exchange):
            return row.outcome
        return replace(row.outcome, kind=OutcomeKind.CREDENTIAL_REJECTED)

    def _worth_resending(self, exchange: Exchange) -> bool:
        if exchange.head is not self._head or self._token is None:
            return True
        return self._tokens.refused(self._token)

    def _row(self, exchange: Exchange) -> Row:
        status, body, headers = exchange.status, exchange.body, exchange.headers
        now_unix_ms = int(self._unix_s() * 1000)
        if b"retry-after" in headers:
            return read_answer(status, body, headers, now_unix_ms)
        row = self._known.get((status, body))
        if row is None:
            if len(self._known) >= _MAX_KNOWN_ANSWERS:
                self._known.clear()
            row = self._known[status, body] = read_answer(status, body, headers, now_unix_ms)
        return row

    def _tell_capacity(self) -> None:
        self._sink.on_capacity(self.route)


def _path(settings: FcmSettings, account: ServiceAccount) -> bytes:
    return f"/v1/projects/{settings.project_id or account.project_id}/messages:send".encode("ascii")


def _ttl_s(notification: Notification, now_unix_ms: int) -> int:
    return (notification.expires_unix_ms - now_unix_ms) // 1000


def _message_id(body: bytes) -> str | None:
    """Cut the message's own name out of {"name": "projects/p/messages/0:1"}; a JSON parser costs ten times that."""
    start = body.rfind(b"/") + 1
    end = body.find(b'"', start)
    return body[start:end].decode("ascii", "replace") if start and end > start else None
