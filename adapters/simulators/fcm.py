"""A stand-in of FCM's HTTP v1 API: checks what FCM checks, and answers in Google's form.

Source: https://firebase.google.com/docs/cloud-messaging/send/v1-api
"""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import orjson

from adapters.simulators.answer import CUT, Answer
from adapters.simulators.bearer_tokens import BearerTokens
from adapters.simulators.connection_state import ConnectionState
from adapters.simulators.faults import Dice, Faults, Luck
from adapters.simulators.fcm_checks import Violation
from adapters.simulators.fcm_errors import (
    INTERNAL,
    MALFORMED_JSON,
    PATH_NOT_FOUND,
    PERMISSION_DENIED,
    PROJECT_NOT_FOUND,
    SENDER_ID_MISMATCH,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNREGISTERED,
    FcmRefusal,
    invalid_argument,
    quota_exceeded,
)
from adapters.simulators.fcm_schema import part, violations
from adapters.simulators.ledger import ACCEPTED, VALIDATED, Ledger
from adapters.simulators.token_book import TokenBook

_PATH = re.compile(rb"/v1/projects/([^/]+)/messages:send").fullmatch
_TTL = re.compile(rb'"ttl"\s*:\s*"[0-9.]+s?"', re.IGNORECASE)
_JSON = (b"content-type", b"application/json; charset=UTF-8")


@dataclass(frozen=True, slots=True)
class FcmRules:
    """Which projects exist. project_id: the one the service account may send in; others are only known to exist.

    id_data_key: the data field that names a message in the ledger, together with the device token; a message without
    it is named by a hash of its body, times to live apart, since those shrink when a message is sent again.
    """

    project_id: str
    other_projects: frozenset[str] = frozenset()
    id_data_key: str = "notification_id"


class Envelope(NamedTuple):
    """What the ledger wants to know of a message, each empty when the message does not tell."""

    message_id: bytes
    token: bytes
    collapse_id: bytes


class FcmSimulator:
    """Judges requests one by one and writes each into the ledger; clock_s gives unix seconds."""

    def __init__(
        self,
        rules: FcmRules,
        ledger: Ledger,
        book: TokenBook,
        bearers: BearerTokens,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._ledger = ledger
        self._book = book
        self._bearers = bearers
        self._names = itertools.count(int(clock_s() * 1_000_000))
        self.dice = Dice(Faults(), clock_s)

    def answer(
        self, state: ConnectionState, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], body: bytes
    ) -> Answer | None:
        """Return the answer of one request, None if there shall be none; fields are without pseudo-headers."""
        request = _decode(body)
        message = _message_of(request)
        envelope = self._envelope(message, body)
        luck = self.dice.roll(envelope.token)
        if luck is Luck.SWALLOWED:
            self._ledger.record(*envelope, (0, "Swallowed"))
            self._ledger.record_unanswered(envelope.message_id)
            return None
        refusal = _own_failure(luck) if luck else None
        if refusal is None:
            refusal = self._judge(method, path, fields, request, len(body))
        if refusal is None:
            refusal = self._judge_device(luck, envelope.token)
        if refusal is not None:
            self._ledger.record(*envelope, (refusal.status, refusal.reason))
            answer = self._refuse(envelope, refusal)
        else:
            answer = self._accept(envelope, request)
        if luck is Luck.RESET:
            self._ledger.record_unanswered(envelope.message_id)
            return CUT
        return answer

    def _judge(
        self,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        request: Mapping[str, object] | None,
        size: int,
    ) -> FcmRefusal | None:
        target = _PATH(path)
        if target is None or method != b"POST":
            return PATH_NOT_FOUND
        if not self._bearers.is_good(dict(fields).get(b"authorization")):
            return UNAUTHENTICATED
        project = target[1].decode(errors="replace")
        if project != self._rules.project_id:
            return PERMISSION_DENIED if project in self._rules.other_projects else PROJECT_NOT_FOUND
        if request is None:
            return MALFORMED_JSON
        wrong = violations(request, size)
        return invalid_argument(wrong) if wrong else None

    def _judge_device(self, luck: Luck, token: bytes) -> FcmRefusal | None:
        if luck is Luck.UNREGISTERED:
            return UNREGISTERED
        if luck is Luck.THROTTLED:
            return quota_exceeded(f"project:{self._rules.project_id}")
        entry = self._book.get(token)
        match entry.state if entry is not None else None:
            case "unregistered" | "expired":
                return UNREGISTERED
            case "wrong_topic":
                return SENDER_ID_MISMATCH
            case "wrong_environment":
                return invalid_argument([Violation("message.token", "not a registration token")])
            case "throttled":
                return quota_exceeded("device")
        return None

    def _accept(self, envelope: Envelope, request: Mapping[str, object] | None) -> Answer:
        if request is not None and part(request, "validate_only"):
            self._ledger.record(*envelope, VALIDATED)
            return self._named(envelope, "fake_message_id")
        self._ledger.record(*envelope, ACCEPTED)
        return self._named(envelope, f"0:{next(self._names)}")

    def _named(self, envelope: Envelope, name: str) -> Answer:
        body = orjson.dumps({"name": f"projects/{self._rules.project_id}/messages/{name}"})
        return Answer(200, envelope.message_id, _JSON, body)

    def _refuse(self, envelope: Envelope, refusal: FcmRefusal) -> Answer:
        extra: tuple[bytes, ...] = _JSON
        retry_after_s = self.dice.faults.retry_after_s
        if retry_after_s and refusal.status in (429, 503):
            extra += (b"retry-after", b"%d" % retry_after_s)
        if refusal.status == 401:
            extra += (b"www-authenticate", b'Bearer realm="https://accounts.google.com/", error="invalid_token"')
        return Answer(refusal.status, envelope.message_id, extra, refusal.body())

    def _envelope(self, message: Mapping[str, object], body: bytes) -> Envelope:
        token = _text(message.get("token"))
        named = _text(part(message, "data", self._rules.id_data_key))
        message_id = named + b"/" + token if named else _digest(body)
        collapse_id = part(message, "android", "collapse_key") or part(message, "android", "notification", "tag")
        return Envelope(message_id, token, _text(collapse_id))


def _own_failure(luck: Luck) -> FcmRefusal | None:
    if luck is Luck.INTERNAL:
        return INTERNAL
    return UNAVAILABLE if luck is Luck.UNAVAILABLE else None


def _decode(body: bytes) -> Mapping[str, object] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else None


def _message_of(request: Mapping[str, object] | None) -> Mapping[str, object]:
    message = request.get("message") if request is not None else None
    return cast("Mapping[str, object]", message) if isinstance(message, dict) else {}


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(_TTL.sub(b"", body), digest_size=16).hexdigest().encode()


def _text(found: object) -> bytes:
    return found.encode() if isinstance(found, str) else b""
