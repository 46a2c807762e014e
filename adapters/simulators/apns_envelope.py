"""Judges the apns-* headers of a push as APNs does.

Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from adapters.simulators.answer import Refusal

MAX_COLLAPSE_ID_BYTES = 64
CACHE_SIZE = 4096

BAD_COLLAPSE_ID = Refusal(400, "BadCollapseId")
BAD_EXPIRATION_DATE = Refusal(400, "BadExpirationDate")
BAD_MESSAGE_ID = Refusal(400, "BadMessageId")
BAD_PRIORITY = Refusal(400, "BadPriority")
INVALID_PUSH_TYPE = Refusal(400, "InvalidPushType")
MISSING_TOPIC = Refusal(400, "MissingTopic")
TOPIC_DISALLOWED = Refusal(400, "TopicDisallowed")

_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_EXPIRATION = re.compile(rb"[0-9]{1,12}").fullmatch


class PushTypeRule(NamedTuple):
    """What a push type demands: the topic's suffix, the payload's limit, and how the sender proves who it is."""

    suffix: str = ""
    max_bytes: int = 4096
    token_only: bool = False
    priorities: frozenset[bytes] = frozenset((b"10", b"5", b"1"))


PUSH_TYPES: Mapping[bytes, PushTypeRule] = {
    b"alert": PushTypeRule(),
    b"background": PushTypeRule(priorities=frozenset((b"5",))),
    b"location": PushTypeRule(".location-query", token_only=True),
    b"voip": PushTypeRule(".voip", max_bytes=5120),
    b"complication": PushTypeRule(".complication"),
    b"fileprovider": PushTypeRule(".pushkit.fileprovider"),
    b"mdm": PushTypeRule(),
    b"liveactivity": PushTypeRule(".push-type.liveactivity", token_only=True),
    b"pushtotalk": PushTypeRule(".voip-ptt"),
    b"controls": PushTypeRule(".push-type.controls"),
    b"widgets": PushTypeRule(".push-type.widgets"),
}
# Before iOS 13 there was no push type, and APNs still takes pushes without one.
UNTYPED = PushTypeRule(max_bytes=5120)


class Identity(NamedTuple):
    """Who sends. topics: bundle ids and pass type ids it may push to, any if None; a single one may be left out of
    the request when it comes from a certificate."""

    name: str
    topics: frozenset[str] | None
    by_token: bool


class EnvelopeJudge:
    """Remembers its verdicts on (sender, topic, push type, priority), which few requests do not share."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes | None, bytes | None, bytes | None], Refusal | int] = {}

    def judge(self, headers: Mapping[bytes, bytes], identity: Identity) -> Refusal | int:
        """Return how many payload bytes are allowed, or what is wrong first."""
        expiration, collapse_id = headers.get(b"apns-expiration"), headers.get(b"apns-collapse-id")
        if not _UUID(headers.get(b"apns-id", b"")) and b"apns-id" in headers:
            return BAD_MESSAGE_ID
        if expiration is not None and not _EXPIRATION(expiration):
            return BAD_EXPIRATION_DATE
        if collapse_id is not None and not 0 < len(collapse_id) <= MAX_COLLAPSE_ID_BYTES:
            return BAD_COLLAPSE_ID
        shared = (
            identity.name,
            headers.get(b"apns-topic"),
            headers.get(b"apns-push-type"),
            headers.get(b"apns-priority"),
        )
        verdict = self._known.get(shared)
        if verdict is None:
            verdict = self._judge_shared(identity, *shared[1:])
            if len(self._known) < CACHE_SIZE:
                self._known[shared] = verdict
        return verdict

    def _judge_shared(
        self, identity: Identity, topic: bytes | None, push_type: bytes | None, priority: bytes | None
    ) -> Refusal | int:
        rule = UNTYPED if push_type is None else PUSH_TYPES.get(push_type)
        if rule is None:
            return INVALID_PUSH_TYPE
        if (priority or b"10") not in rule.priorities:
            return BAD_PRIORITY
        if topic is None:
            return rule.max_bytes if _has_default_topic(identity) else MISSING_TOPIC
        if rule.token_only and not identity.by_token:
            return TOPIC_DISALLOWED
        if not _may_push(identity, topic.decode("ascii", "replace"), rule.suffix):
            return TOPIC_DISALLOWED
        return rule.max_bytes


def _has_default_topic(identity: Identity) -> bool:
    return not identity.by_token and identity.topics is not None and len(identity.topics) == 1


def _may_push(identity: Identity, topic: str, suffix: str) -> bool:
    base = topic.removesuffix(suffix)
    if not base or (suffix and base == topic):
        return False
    return identity.topics is None or base in identity.topics
