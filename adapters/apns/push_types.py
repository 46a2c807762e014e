"""What each apns-push-type asks for: its topic's suffix, its priorities, its size, its way to authenticate.

Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

from dataclasses import dataclass

from core.content.limits import APNS_MAX_BYTES, APNS_VOIP_MAX_BYTES
from core.model import PushType


@dataclass(frozen=True, slots=True)
class PushTypeRule:
    """One push type. suffix is appended to the bundle id to make the topic; priority is the default one."""

    name: bytes
    suffix: str = ""
    priority: int = 10
    priorities: frozenset[int] = frozenset({1, 5, 10})
    max_bytes: int = APNS_MAX_BYTES
    token_auth_only: bool = False
    topic_required: bool = False


RULES: dict[int, PushTypeRule] = {
    PushType.ALERT: PushTypeRule(b"alert"),
    PushType.BACKGROUND: PushTypeRule(b"background", priority=5, priorities=frozenset({5})),
    PushType.LOCATION: PushTypeRule(b"location", ".location-query", token_auth_only=True),
    PushType.VOIP: PushTypeRule(b"voip", ".voip", max_bytes=APNS_VOIP_MAX_BYTES),
    PushType.COMPLICATION: PushTypeRule(b"complication", ".complication"),
    PushType.FILEPROVIDER: PushTypeRule(b"fileprovider", ".pushkit.fileprovider"),
    # The topic is the UID of the MDM push certificate's subject, which no bundle id tells.
    PushType.MDM: PushTypeRule(b"mdm", topic_required=True),
    PushType.LIVEACTIVITY: PushTypeRule(b"liveactivity", ".push-type.liveactivity", token_auth_only=True),
    PushType.PUSHTOTALK: PushTypeRule(b"pushtotalk", ".voip-ptt"),
    PushType.CONTROLS: PushTypeRule(b"controls", ".push-type.controls"),
    PushType.WIDGETS: PushTypeRule(b"widgets", ".push-type.widgets"),
}
