"""The way to APNs for one app in one environment: deliveries become requests, answers become outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.apns.answers import AnswerBook
from adapters.apns.payload import render
from adapters.apns.provider_token import ProviderTokens
from adapters.apns.push_types import PushTypeRule
from adapters.apns.quick_payload import render_alerts
from adapters.apns.requests import Requests, read_answers
from adapters.apns.shapes import Shape, ShapeBook
from adapters.http2.exchange import Exchange
from adapters.line import ExchangePool, Line, PoolFactory, render_each
from core.content.message import Content
from core.delivery import Delivery, Notification
from core.errors import ContentRefused
from core.model import Environment, PushType
from core.ports import Rendered, Sink
from core.reaction import DELIVERED, Outcome, OutcomeKind

# https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
HOSTS = {Environment.PRODUCTION: "api.push.apple.com", Environment.SANDBOX: "api.sandbox.push.apple.com"}
_PLAIN = Content()
_MALFORMED = Outcome(OutcomeKind.REJECTED, 0, "MalformedRequest")


@dataclass(frozen=True, slots=True)
class ApnsSettings:
    """One app in one environment; the other environment is a route of its own, with its own connections.

    authority: the :authority header, "" for Apple's host. environment_certain: each token's environment was told by the
    app itself, so BadDeviceToken means a dead token and retires it. pass_push_type: Apple's page names none for wallet
    passes; background is what is known to update them. extra_push_types: rules for push types newer than ours, by
    number. faults_per_connection: so many InternalServerError in a row and the connection is replaced.
    """

    bundle_id: str
    environment: Environment = Environment.PRODUCTION
    authority: str = ""
    environment_certain: bool = False
    pass_push_type: int = PushType.BACKGROUND
    extra_push_types: Mapping[int, PushTypeRule] = field(default_factory=dict)
    max_shapes: int = 1_024
    faults_per_connection: int = 5


# What all deliveries of one notification share beside the payload: shape, and a collapse id that is not its own.
# A bare tuple, because a NamedTuple costs a quarter of a microsecond per notification.
Envelope = tuple[Shape, bytes]


class ApnsChannel:
    """core.ports.Channel over HTTP/2.

    tokens: None where the pool's TLS context carries a certificate. unix_s: the wall clock. With tokens the pool must
    be a cautious one, which keeps to one stream per connection until a first success.
    """

    def __init__(
        self, route: int, app: str, settings: ApnsSettings, sink: Sink, make_pool: PoolFactory,
        unix_s: Callable[[], float], tokens: ProviderTokens | None = None,
    ) -> None:  # fmt: skip
        self.route = route
        self.app = app
        self._sink = sink
        self._tokens = tokens
        authority = settings.authority or HOSTS[settings.environment]
        self._shapes = ShapeBook(
            settings.bundle_id, settings.environment, authority, settings.pass_push_type, settings.extra_push_types,
            settings.max_shapes, token_auth=tokens is not None,
        )  # fmt: skip
        self._line = Line(make_pool, self._take_answers, self._tell_capacity)
        self._answers = AnswerBook(
            self._line, tokens, unix_s, settings.faults_per_connection, environment_certain=settings.environment_certain
        )

    @property
    def pool(self) -> ExchangePool:
        """The pool in use, for its figures."""
        return self._line.pool

    @property
    def capacity(self) -> int:
        """Streams that are free now."""
        return self._line.capacity

    def render(self, notification: Notification) -> tuple[bytes, Envelope]:
        """Build payload and envelope. Raises ContentRefused; ValueError if the content was dropped already."""
        content = notification.content
        if content is None:
            raise ValueError("the notification's content is gone")
        shape = self._shapes.of(notification.push_type, content)
        accepted_unix_s = notification.accepted_unix_ms // 1000
        payload = render(content, shape.push_type, accepted_unix_s, shape.max_bytes)
        if content.pass_type_id and not notification.collapse_given:
            # Only the last state of a pass matters, so one update of it waits per device.
            return payload, (shape, content.pass_type_id.encode("ascii")[:64])
        return payload, shape.envelope

    def render_many(self, notifications: list[Notification]) -> list[Rendered]:
        """Build payloads and envelopes, or tell why not; common alerts take the quick way."""
        try:
            shape = self._shapes.of(PushType.ALERT, _PLAIN)
        except ContentRefused:
            return render_each(self.render, notifications)
        quick = render_alerts(notifications, shape.max_bytes, shape.envelope)
        return [
            parts if parts is not None else render_each(self.render, [notification])[0]
            for parts, notification in zip(quick, notifications, strict=True)
        ]

    def submit(self, deliveries: Sequence[Delivery], now_unix_ms: int) -> int:
        """Put as many of the head on the wire as there are free streams; return how many.

        A delivery whose token or collapse id no header can carry counts as taken and is answered as rejected.
        """
        count = min(len(deliveries), self._line.capacity)
        if not count:
            return 0
        token = self._tokens.at(now_unix_ms // 1000) if self._tokens else None
        made = Requests(deliveries, count, token)
        return self._send(deliveries, count, made.exchanges, made.malformed)

    async def start(self) -> None:
        """Begin connecting in the background."""
        await self._line.start()

    async def close(self, drain_s: float) -> None:
        """Wait for what is in flight, at most drain_s, then close; what is left is answered UNKNOWN."""
        await self._line.close(drain_s)

    async def rotate(self, tokens: ProviderTokens) -> None:
        """Go over to another signing key: new connections for it, the old ones are drained.

        Source: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
        """
        self._tokens = self._answers.tokens = tokens
        await self._line.renew()

    def _send(
        self, deliveries: Sequence[Delivery], count: int, exchanges: list[Exchange], malformed: list[Delivery]
    ) -> int:
        taken = self._line.submit(exchanges)
        if taken < len(exchanges):
            count = deliveries.index(exchanges[taken].tag)
            for exchange in exchanges[taken:]:
                exchange.tag = None
        if malformed:
            answered = [delivery for delivery in deliveries[:count] if delivery in malformed]
            # Later, because the caller has yet to learn that they were taken.
            asyncio.get_running_loop().call_soon(self._sink.on_outcomes, answered, [_MALFORMED] * len(answered))
        return count

    def _take_answers(self, exchanges: list[Exchange]) -> None:
        deliveries, outcomes, last_success = read_answers(exchanges, DELIVERED, self._answers.outcome_of)
        if last_success is not None:
            self._answers.note_success(last_success, exchanges)
        self._sink.on_outcomes(deliveries, outcomes)

    def _tell_capacity(self) -> None:
        self._sink.on_capacity(self.route)
