"""Proto -> the options that concern one provider alone, validated."""

from __future__ import annotations

import re

import orjson

from core.content.message import ApnsOptions, FcmOptions
from core.errors import InvalidRequest
from gateway.fields import bounded, header_safe, timestamp_unix_ms
from protos.walletpush.v1 import notification_pb2 as pb

_INTERRUPTION = frozenset({"", "passive", "active", "time-sensitive", "critical"})
_ACTIVITY_EVENTS = frozenset({"", "start", "update", "end"})
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}")
# orjson reads 1,024 levels but writes only 254, and no provider takes a tenth of that.
_MAX_DEPTH = 32
_FCM_TARGETS = frozenset({"token", "topic", "condition"})


def apns_options(options: pb.ApnsOptions) -> ApnsOptions:
    """Validate the APNs options. Raises InvalidRequest."""
    if options.priority not in (0, 1, 5, 10):
        raise InvalidRequest("apns.priority", "1, 5 or 10")
    score = options.relevance_score if options.HasField("relevance_score") else None
    if score is not None and not 0.0 <= score <= 1.0:
        raise InvalidRequest("apns.relevance_score", "0 to 1")
    return ApnsOptions(
        topic=header_safe("apns.topic", options.topic, 128),
        priority=options.priority,
        subtitle=bounded("apns.subtitle", options.subtitle, 256),
        category=bounded("apns.category", options.category, 64),
        interruption_level=_one_of("apns.interruption_level", options.interruption_level, _INTERRUPTION),
        relevance_score=score,
        mutable_content=options.mutable_content,
        content_available=options.content_available,
        target_content_id=bounded("apns.target_content_id", options.target_content_id, 128),
        filter_criteria=bounded("apns.filter_criteria", options.filter_criteria, 128),
        stale_date_unix_s=_seconds("apns.stale_time", options),
        dismissal_date_unix_s=_seconds("apns.dismissal_time", options),
        live_activity_event=_one_of("apns.live_activity_event", options.live_activity_event, _ACTIVITY_EVENTS),
        content_state_json=_json_object("apns.content_state_json", options.content_state_json, 4_000),
        attributes_type=bounded("apns.attributes_type", options.attributes_type, 128),
        attributes_json=_json_object("apns.attributes_json", options.attributes_json, 4_000),
        raw_payload_json=_json_object("apns.raw_payload_json", options.raw_payload_json, 5_120),
    )


def fcm_options(options: pb.FcmOptions) -> FcmOptions:
    """Validate the FCM options. Raises InvalidRequest."""
    if options.color and not _COLOR.fullmatch(options.color):
        raise InvalidRequest("fcm.color", "#rrggbb")
    if options.analytics_label and not _LABEL.fullmatch(options.analytics_label):
        raise InvalidRequest("fcm.analytics_label", "1 to 50 of a-z A-Z 0-9 - _ . ~ %")
    raw = _json_object("fcm.raw_message_json", options.raw_message_json, 4_096)
    if raw and _FCM_TARGETS & set(orjson.loads(raw)):
        raise InvalidRequest("fcm.raw_message_json", "names a target; targets come from devices and user_ids")
    return FcmOptions(
        priority=_one_of("fcm.priority", options.priority, frozenset({"", "high", "normal"})),
        channel_id=bounded("fcm.channel_id", options.channel_id, 128),
        tag=bounded("fcm.tag", options.tag, 128),
        icon=bounded("fcm.icon", options.icon, 128),
        color=options.color,
        restricted_package_name=bounded("fcm.restricted_package_name", options.restricted_package_name, 256),
        analytics_label=options.analytics_label,
        direct_boot_ok=options.direct_boot_ok,
        data_only=options.data_only,
        validate_only=options.validate_only,
        raw_message_json=raw,
    )


def _one_of(field: str, value: str, allowed: frozenset[str]) -> str:
    if value not in allowed:
        raise InvalidRequest(field, f"one of {', '.join(sorted(filter(None, allowed)))}")
    return value


def _seconds(field: str, options: pb.ApnsOptions) -> int:
    name = field.partition(".")[2]
    return timestamp_unix_ms(field, getattr(options, name)) // 1_000 if options.HasField(name) else 0


def _json_object(field: str, text: str, max_bytes: int) -> bytes:
    if not text:
        return b""
    raw = text.encode()
    if len(raw) > max_bytes:
        raise InvalidRequest(field, f"at most {max_bytes:,} bytes, not {len(raw):,}")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(field, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(field, "must be a JSON object")
    if _too_deep(value):
        raise InvalidRequest(field, f"nested deeper than {_MAX_DEPTH}")
    return raw


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = [one for one in inner if isinstance(one, (dict, list))]
        if not level:
            return False
    return True
