"""APNs through aioapns, selectable as `transport = "aioapns"`: the reference to compare with, not the default.

Faults of aioapns 4.0 that stay with whoever selects it: a connection stalls for good after 65,535 bytes of error
bodies; an answer is matched by apns-id, so a refusal without a body never ends and its stream is lost; an entry per
success stays for ever; GOAWAY closes the connection under what is in flight; connections close after ten idle seconds;
a connection's first burst ignores SETTINGS; each request costs a task. Cured here: a timeout per request, bounded
requests in flight, no blind resending, and one provider token for all connections instead of one each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ssl import SSLContext

import orjson
from aioapns import APNs, NotificationRequest
from aioapns import PushType as AioapnsPushType
from aioapns.common import NotificationResult
from aioapns.connection import APNsTLSClientProtocol, AuthorizationHeaderProvider
from aioapns.exceptions import ConnectionClosed, ConnectionError, MaxAttemptsExceeded  # noqa: A004

from adapters.apns.channel import HOSTS, ApnsSettings
from adapters.apns.payload import render
from adapters.apns.provider_token import ProviderTokens
from adapters.apns.push_id import stamp
from adapters.apns.push_types import RULES
from adapters.apns.table import NOT_SENT, TIMED_OUT, UNKNOWN, row_for
from adapters.line import render_each
from core.delivery import Delivery, Notification
from core.errors import ContentRefused
from core.ports import Rendered, Sink
from core.reaction import DELIVERED, Outcome, OutcomeKind


@dataclass(frozen=True, slots=True)
class AioapnsSettings:
    """Where and how wide; host is Apple's for the app's environment unless given."""

    app: ApnsSettings
    tls: SSLContext
    host: str = ""
    port: int = 443
    max_connections: int = 2
    max_in_flight: int = 500
    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class AioapnsEnvelope:
    """What all deliveries of a notification share, in aioapns' words."""

    message: dict[str, object]
    push_type: AioapnsPushType
    topic: str
    priority: int
    collapse_id: str
    expires_unix_ms: int


class AioapnsChannel:
    """core.ports.Channel over aioapns, with token authentication and the push types that aioapns knows."""

    def __init__(
        self, route: int, app: str, settings: AioapnsSettings, sink: Sink, unix_s: Callable[[], float],
        tokens: ProviderTokens,
    ) -> None:  # fmt: skip
        self.route = route
        self.app = app
        self._settings = settings
        self._sink = sink
        self._unix_s = unix_s
        self._tokens = tokens
        self._client: APNs | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._starved = False

    @property
    def capacity(self) -> int:
        """Requests that may be started; aioapns does not say how many streams are free."""
        free = self._settings.max_in_flight - len(self._tasks) if self._client is not None else 0
        self._starved = free <= 0
        return max(free, 0)

    def render(self, notification: Notification) -> tuple[bytes, AioapnsEnvelope]:
        """Build payload and envelope. Raises ContentRefused, also for what aioapns cannot send."""
        content = notification.content
        if content is None:
            raise ValueError("the notification's content is gone")
        settings = self._settings.app
        push_type = settings.pass_push_type if content.pass_type_id else notification.push_type
        rule = RULES.get(push_type)
        if rule is None or rule.name.decode() not in _KNOWN_TYPES:
            raise ContentRefused("InvalidPushType", f"aioapns does not know push type {push_type}")
        payload = render(content, push_type, notification.accepted_unix_ms // 1000, rule.max_bytes)
        options = content.apns
        topic = content.pass_type_id or (options.topic if options else "") or settings.bundle_id + rule.suffix
        priority = (options.priority if options else 0) or rule.priority
        return payload, AioapnsEnvelope(
            orjson.loads(payload), AioapnsPushType(rule.name.decode()), topic, priority,
            notification.collapse_id.decode("ascii", "replace"), notification.expires_unix_ms,
        )  # fmt: skip

    def render_many(self, notifications: list[Notification]) -> list[Rendered]:
        """Build payloads and envelopes, or tell why not."""
        return render_each(self.render, notifications)

    def submit(self, deliveries: Sequence[Delivery], now_unix_ms: int) -> int:
        """Start a task per delivery, as aioapns wants it; return how many were taken."""
        client = self._client
        count = min(len(deliveries), self.capacity)
        if client is None or not count:
            return 0
        for delivery, push_id in zip(deliveries[:count], stamp(deliveries, count), strict=True):
            task = asyncio.create_task(self._deliver(client, delivery, push_id.decode(), now_unix_ms))
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        return count

    async def start(self) -> None:
        """Make the client; it connects with the first request."""
        self._client = self._make_client()
        self._sink.on_capacity(self.route)

    async def close(self, drain_s: float) -> None:
        """Wait for what is in flight, at most drain_s, then close; what is left is answered UNKNOWN."""
        client, self._client = self._client, None
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if client is not None:
            client.pool.close()

    async def _deliver(self, client: APNs, delivery: Delivery, push_id: str, now_unix_ms: int) -> None:
        outcome = UNKNOWN.outcome
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                outcome = self._outcome(await client.send_notification(_request(delivery, push_id, now_unix_ms)))
        except TimeoutError:
            outcome = TIMED_OUT.outcome
        except (ConnectionError, OSError):
            outcome = NOT_SENT.outcome
        except (ConnectionClosed, MaxAttemptsExceeded):
            outcome = UNKNOWN.outcome
        finally:
            self._sink.on_outcomes([delivery], [outcome])

    def _outcome(self, result: NotificationResult) -> Outcome:
        if result.is_successful:
            return DELIVERED
        outcome = row_for(int(result.status), result.description or "").outcome
        if outcome.kind is OutcomeKind.DEVICE_GONE and result.timestamp:
            return replace(outcome, gone_since_unix_ms=result.timestamp)
        if outcome.kind is OutcomeKind.CREDENTIAL_EXPIRED and not self._token_renewed():
            return replace(outcome, kind=OutcomeKind.CREDENTIAL_REJECTED)
        return outcome

    def _token_renewed(self) -> bool:
        now_unix_s = int(self._unix_s())
        return self._tokens.refused(self._tokens.at(now_unix_s), now_unix_s)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._starved and self._client is not None:
            self._starved = False
            self._sink.on_capacity(self.route)

    def _make_client(self) -> APNs:
        settings, key = self._settings, self._tokens.key
        client = APNs(
            key="given by the shared provider tokens", key_id=key.key_id, team_id=key.team_id,
            topic=settings.app.bundle_id, max_connections=settings.max_connections, max_connection_attempts=1,
            ssl_context=settings.tls, err_func=_keep_quiet,
        )  # fmt: skip
        host = settings.host or HOSTS[settings.app.environment]
        client.pool.protocol_class = _protocol_class(host, settings.port, _SharedToken(self._tokens, self._unix_s))
        return client


_KNOWN_TYPES = frozenset(each.value for each in AioapnsPushType)


class _SharedToken(AuthorizationHeaderProvider):
    """Gives every connection the one provider token in force."""

    def __init__(self, tokens: ProviderTokens, unix_s: Callable[[], float]) -> None:
        self._tokens = tokens
        self._unix_s = unix_s

    def get_header(self) -> str:
        """Return the authorization header's value."""
        return self._tokens.at(int(self._unix_s())).authorization.decode("ascii")


def _protocol_class(host: str, port: int, authorization: AuthorizationHeaderProvider) -> type[APNsTLSClientProtocol]:
    class Protocol(APNsTLSClientProtocol):
        APNS_SERVER = host
        APNS_PORT = port

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.auth_provider = authorization
            super().connection_made(transport)

    return Protocol


def _request(delivery: Delivery, push_id: str, now_unix_ms: int) -> NotificationRequest:
    envelope = delivery.envelope
    if not isinstance(envelope, AioapnsEnvelope):
        raise TypeError("the delivery was rendered by another channel")
    return NotificationRequest(
        delivery.token, envelope.message, notification_id=push_id,
        time_to_live=max(0, (envelope.expires_unix_ms - now_unix_ms) // 1000), priority=envelope.priority,
        collapse_key=envelope.collapse_id, push_type=envelope.push_type, apns_topic=envelope.topic,
    )  # fmt: skip


async def _keep_quiet(request: NotificationRequest, result: NotificationResult) -> None:
    """Stand in for aioapns' own logging of refusals, which are outcomes here."""
