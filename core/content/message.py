"""What a notification says, before any provider's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ApnsOptions(NamedTuple):
    """What a caller may set for APNs alone; None or "" leaves the default. priority: 1, 5 or 10."""

    topic: str = ""
    priority: int = 0
    subtitle: str = ""
    category: str = ""
    interruption_level: str = ""
    relevance_score: float | None = None
    mutable_content: bool = False
    content_available: bool = False
    target_content_id: str = ""
    filter_criteria: str = ""
    stale_date_unix_s: int = 0
    dismissal_date_unix_s: int = 0
    live_activity_event: str = ""
    content_state_json: bytes = b""
    attributes_type: str = ""
    attributes_json: bytes = b""
    raw_payload_json: bytes = b""


class FcmOptions(NamedTuple):
    """What a caller may set for FCM alone; "" leaves the default. priority: "high", "normal" or ""."""

    priority: str = ""
    channel_id: str = ""
    tag: str = ""
    icon: str = ""
    color: str = ""
    restricted_package_name: str = ""
    analytics_label: str = ""
    click_action: str = ""
    direct_boot_ok: bool = False
    data_only: bool = False
    validate_only: bool = False
    raw_message_json: bytes = b""


class Content(NamedTuple):
    """The visible message and its data. badge is -1 when unset; pass_type_id makes it a wallet pass update."""

    title: str = ""
    body: str = ""
    image_url: str = ""
    video_url: str = ""
    deep_link: str = ""
    badge: int = -1
    sound: str = ""
    thread_key: str = ""
    data: Mapping[str, str] | None = None
    pass_type_id: str = ""
    apns: ApnsOptions | None = None
    fcm: FcmOptions | None = None
