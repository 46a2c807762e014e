"""A stand-in of APNs: checks what APNs checks, in its words.

Source: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

from adapters.simulators.answer import CUT, Answer, Refusal
from adapters.simulators.apns_envelope import EnvelopeJudge, Identity
from adapters.simulators.connection_state import ConnectionState
from adapters.simulators.faults import Dice, Faults, Luck
from adapters.simulators.ledger import ACCEPTED, Ledger
from adapters.simulators.provider_tokens import MISSING, Grant, ProviderKey, ProviderTokens
from adapters.simulators.token_book import TokenBook

PATH_PREFIX = b"/3/device/"

BAD_DEVICE_TOKEN = Refusal(400, "BadDeviceToken")
BAD_ENVIRONMENT_KEY = Refusal(403, "BadEnvironmentKeyIdInToken")
BAD_PATH = Refusal(404, "BadPath")
DEVICE_TOKEN_NOT_FOR_TOPIC = Refusal(400, "DeviceTokenNotForTopic")
DUPLICATE_HEADERS = Refusal(400, "DuplicateHeaders")
EXPIRED_TOKEN = Refusal(410, "ExpiredToken")
FORBIDDEN = Refusal(403, "Forbidden")
INTERNAL = Refusal(500, "InternalServerError")
METHOD_NOT_ALLOWED = Refusal(405, "MethodNotAllowed")
MISSING_DEVICE_TOKEN = Refusal(400, "MissingDeviceToken")
PAYLOAD_EMPTY = Refusal(400, "PayloadEmpty")
PAYLOAD_TOO_LARGE = Refusal(413, "PayloadTooLarge")
TOO_MANY_REQUESTS = Refusal(429, "TooManyRequests")
UNAVAILABLE = Refusal(503, "ServiceUnavailable")
UNREGISTERED = Refusal(410, "Unregistered")
UNRELATED_KEY = Refusal(403, "UnrelatedKeyIdInToken")

_OWN_FAILURES = {Luck.INTERNAL: INTERNAL, Luck.UNAVAILABLE: UNAVAILABLE}
_DEVICE_LUCK = {Luck.UNREGISTERED: UNREGISTERED, Luck.THROTTLED: TOO_MANY_REQUESTS}
_TOKEN_STATES = {
    "unregistered": UNREGISTERED,
    "expired": EXPIRED_TOKEN,
    "wrong_environment": BAD_DEVICE_TOKEN,
    "wrong_topic": DEVICE_TOKEN_NOT_FOR_TOPIC,
    "throttled": TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class ApnsRules:
    """Whom this APNs knows. topics: bundle ids and pass type ids that exist, any if None.

    refuses_malformed_json: APNs is not known to say anything about a payload that is no JSON object, and just shows
    nothing; this one answers PayloadEmpty, so that a sender's fault is seen. one_stream_first: a connection may
    have but one stream until it has shown a valid provider token. device_pushes_per_s: 0 is no limit.
    """

    keys: Mapping[str, ProviderKey] = field(default_factory=dict)
    topics: frozenset[str] | None = None
    sandbox: bool = False
    refuses_malformed_json: bool = True
    token_updates_per_20_min: int = 4
    one_stream_first: bool = True
    device_pushes_per_s: int = 0


class ApnsSimulator:
    """Judges requests one by one and writes each into the ledger; clock_s gives unix seconds."""

    def __init__(
        self, rules: ApnsRules, ledger: Ledger, book: TokenBook, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._rules = rules
        self._ledger = ledger
        self._book = book
        self._clock_s = clock_s
        self._tokens = ProviderTokens(rules.keys, clock_s, rules.token_updates_per_20_min)
        self._envelopes = EnvelopeJudge()
        self._recent: dict[bytes, int] = {}
        self._recent_s = 0
        self.dice = Dice(Faults(), clock_s)

    def answer(
        self, state: ConnectionState, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], body: bytes
    ) -> Answer | None:
        """Return the answer of one request, None if there shall be none; fields are without pseudo-headers."""
        headers = dict(fields)
        token = path[len(PATH_PREFIX) :]
        message_id = headers.get(b"apns-id")
        if message_id is None:
            message_id = str(uuid.uuid4()).upper().encode()
        collapse_id = headers.get(b"apns-collapse-id", b"")
        luck = self.dice.roll(token)
        if luck is Luck.SWALLOWED:
            self._ledger.record(message_id, token, collapse_id, (0, "Swallowed"))
            self._ledger.record_unanswered(message_id)
            return None
        # The hash of an enum member is computed in Python, 0.2 us: only the unlucky pay for it.
        refusal = _OWN_FAILURES.get(luck) if luck else None
        if refusal is None:
            refusal = self._judge(state, method, path, fields, headers, body)
        if refusal is None:
            refusal = (_DEVICE_LUCK.get(luck) if luck else None) or self._judge_device(token)
        self._ledger.record(message_id, token, collapse_id, refusal or ACCEPTED)
        if luck is Luck.RESET:
            self._ledger.record_unanswered(message_id)
            return CUT
        return self._refuse(refusal, message_id, token) if refusal else self._accept(message_id)

    def _judge(
        self,
        state: ConnectionState,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> Refusal | None:
        refusal = _judge_target(method, path)
        if refusal is not None:
            return refusal
        if len(headers) != len(fields):
            return DUPLICATE_HEADERS
        identity = self._identify(state, headers.get(b"authorization"))
        if isinstance(identity, Refusal):
            return identity
        allowed = self._envelopes.judge(headers, identity)
        if isinstance(allowed, Refusal):
            return allowed
        if not _is_hexadecimal(path[len(PATH_PREFIX) :]):
            return BAD_DEVICE_TOKEN
        return self._judge_payload(body, allowed)

    def _identify(self, state: ConnectionState, authorization: bytes | None) -> Identity | Refusal:
        if authorization is None:
            return MISSING if state.certificate is None else state.certificate
        grant = self._tokens.judge(authorization)
        if isinstance(grant, Refusal):
            return grant
        if grant.key is state.key and state.identity is not None:
            return state.identity
        return self._bind(state, grant)

    def _bind(self, state: ConnectionState, grant: Grant) -> Identity | Refusal:
        key = grant.key
        if key.sandbox is not None and key.sandbox is not self._rules.sandbox:
            return BAD_ENVIRONMENT_KEY
        if state.key is not None:
            return UNRELATED_KEY if state.key.team_id == key.team_id else FORBIDDEN
        topics = self._rules.topics
        if key.topics is not None:
            topics = key.topics if topics is None else topics & key.topics
        state.key, state.identity = key, Identity(key.key_id, topics, by_token=True)
        return state.identity

    def _judge_payload(self, body: bytes, allowed: int) -> Refusal | None:
        if not body:
            return PAYLOAD_EMPTY
        if len(body) > allowed:
            return PAYLOAD_TOO_LARGE
        if self._rules.refuses_malformed_json and not _is_json_object(body):
            return PAYLOAD_EMPTY
        return None

    def _judge_device(self, token: bytes) -> Refusal | None:
        if self._book:
            entry = self._book.get(token.lower())
            if entry is not None:
                return _TOKEN_STATES[entry.state]
        if self._rules.device_pushes_per_s and self._is_flooded(token):
            return TOO_MANY_REQUESTS
        return None

    def _is_flooded(self, token: bytes) -> bool:
        now_s = int(self._clock_s())
        if now_s != self._recent_s:
            self._recent.clear()
            self._recent_s = now_s
        pushes = self._recent.get(token, 0) + 1
        self._recent[token] = pushes
        return pushes > self._rules.device_pushes_per_s

    def _accept(self, message_id: bytes) -> Answer:
        if not self._rules.sandbox:
            return Answer(200, message_id, (b"apns-id", message_id))
        # The sandbox alone gives the id by which Apple's push console finds a message.
        return Answer(200, message_id, (b"apns-id", message_id, b"apns-unique-id", str(uuid.uuid4()).encode()))

    def _refuse(self, refusal: Refusal, message_id: bytes, token: bytes) -> Answer:
        extra: tuple[bytes, ...] = (b"apns-id", message_id)
        retry_after_s = self.dice.faults.retry_after_s
        if retry_after_s and refusal.status in (429, 503):
            extra += (b"retry-after", b"%d" % retry_after_s)
        body = _body(refusal.reason) if refusal.status != 410 else self._gone(refusal.reason, token)
        return Answer(refusal.status, message_id, extra, body)

    def _gone(self, reason: str, token: bytes) -> bytes:
        entry = self._book.get(token.lower())
        since_ms = entry.since_unix_ms if entry is not None else 0
        return orjson.dumps({"reason": reason, "timestamp": since_ms or int(self._clock_s() * 1000)})


def _judge_target(method: bytes, path: bytes) -> Refusal | None:
    if not path.startswith(PATH_PREFIX):
        return BAD_PATH
    if method != b"POST":
        return METHOD_NOT_ALLOWED
    return MISSING_DEVICE_TOKEN if len(path) == len(PATH_PREFIX) else None


def _is_hexadecimal(token: bytes) -> bool:
    try:
        # fromhex forgives blanks between the digits, isalnum does not.
        return token.isalnum() and bool(bytes.fromhex(token.decode("ascii")))
    except ValueError:
        return False


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


@lru_cache(maxsize=256)
def _body(reason: str) -> bytes:
    return orjson.dumps({"reason": reason})
