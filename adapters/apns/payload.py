"""A notification's content -> the JSON that a device gets from APNs.

Beside `aps` stand the caller's data and, where given, `deep_link`, `image_url` and `video_url`, which the app reads.
Source: https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from core.content.limits import APNS_MAX_BYTES, RESERVED_FOR_APNS
from core.content.message import ApnsOptions, Content
from core.errors import ContentRefused
from core.model import PushType

# https://developer.apple.com/documentation/walletpasses/adding-a-web-service-to-update-passes: an empty dictionary.
WALLET_PASS = b"{}"
SILENT = "none"
_ALERT = int(PushType.ALERT)
_NO_OPTIONS = ApnsOptions()
_LIVE_ACTIVITY_EVENTS = frozenset({"start", "update", "end"})


def render(content: Content, push_type: int, accepted_unix_s: int, max_bytes: int = APNS_MAX_BYTES) -> bytes:
    """Build the payload; a wallet pass update and a raw payload are what they are.

    sound: "" plays the default one, "none" plays none. accepted_unix_s: a Live Activity's timestamp.
    Raises ContentRefused if it is too large, has a reserved data key, or lacks what the push type needs.
    """
    if content.pass_type_id:
        return WALLET_PASS
    options = content.apns or _NO_OPTIONS
    if options.raw_payload_json:
        payload = _raw(options.raw_payload_json)
    elif push_type == _ALERT:
        payload = orjson.dumps(_with_extras(content, {"aps": _alert(content, options)}))
    else:
        payload = _render_other(content, options, push_type, accepted_unix_s)
    if len(payload) > max_bytes:
        raise ContentRefused("PayloadTooLarge", f"{len(payload)} bytes of payload, APNs takes {max_bytes}")
    # A copy of the right size: orjson 3.13 leaves short bytes in their 4 KiB buffer, and payloads wait by the million.
    return b"%b" % payload


def _alert(content: Content, options: ApnsOptions) -> dict[str, object]:
    aps: dict[str, object] = {}
    text = _text(content, options)
    if text:
        aps["alert"] = text
    if content.badge >= 0:
        aps["badge"] = content.badge
    sound = content.sound
    if sound != SILENT:
        aps["sound"] = sound or "default"
    if content.thread_key:
        aps["thread-id"] = content.thread_key
    if content.image_url or content.video_url:
        aps["mutable-content"] = 1
    if options is not _NO_OPTIONS:
        _add_options(aps, options)
    return aps


def _text(content: Content, options: ApnsOptions) -> dict[str, str]:
    text = {}
    if content.title:
        text["title"] = content.title
    if options.subtitle:
        text["subtitle"] = options.subtitle
    if content.body:
        text["body"] = content.body
    return text


def _add_options(aps: dict[str, object], options: ApnsOptions) -> None:
    if options.category:
        aps["category"] = options.category
    if options.interruption_level:
        aps["interruption-level"] = options.interruption_level
    if options.relevance_score is not None:
        aps["relevance-score"] = options.relevance_score
    if options.mutable_content:
        aps["mutable-content"] = 1
    if options.content_available:
        aps["content-available"] = 1
    if options.target_content_id:
        aps["target-content-id"] = options.target_content_id
    if options.filter_criteria:
        aps["filter-criteria"] = options.filter_criteria


def _with_extras(content: Content, payload: dict[str, object]) -> dict[str, object]:
    data = content.data
    if data:
        if RESERVED_FOR_APNS in data:
            raise ContentRefused("ReservedDataKey", f"data key {RESERVED_FOR_APNS!r} belongs to Apple")
        payload.update(data)
    if content.deep_link:
        payload["deep_link"] = content.deep_link
    if content.image_url:
        payload["image_url"] = content.image_url
    if content.video_url:
        payload["video_url"] = content.video_url
    return payload


def _raw(payload: bytes) -> bytes:
    _check_object("raw_payload_json", payload)
    return payload


def _check_object(field: str, text: bytes) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ContentRefused("InvalidPayload", f"{field} is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ContentRefused("InvalidPayload", f"{field} is not a JSON object")


def _render_other(content: Content, options: ApnsOptions, push_type: int, accepted_unix_s: int) -> bytes:
    if push_type == PushType.LIVEACTIVITY:
        aps = _live_activity(content, options, accepted_unix_s)
    else:
        aps = _APS_OF.get(push_type, _alert)(content, options)
    payload: dict[str, object] = {} if push_type == PushType.MDM else {"aps": aps}
    return orjson.dumps(_with_extras(content, payload))


def _background(content: Content, options: ApnsOptions) -> dict[str, object]:
    return {"content-available": 1}


def _changed(content: Content, options: ApnsOptions) -> dict[str, object]:
    return {"content-changed": True}


def _empty(content: Content, options: ApnsOptions) -> dict[str, object]:
    return {}


def _call(content: Content, options: ApnsOptions) -> dict[str, object]:
    text = _text(content, options)
    return {"alert": text} if text else {}


_APS_OF: dict[int, Callable[[Content, ApnsOptions], dict[str, object]]] = {
    PushType.BACKGROUND: _background,
    PushType.CONTROLS: _changed,
    PushType.WIDGETS: _changed,
    PushType.VOIP: _call,
    PushType.LOCATION: _empty,
    PushType.COMPLICATION: _empty,
    PushType.FILEPROVIDER: _empty,
    PushType.PUSHTOTALK: _empty,
    PushType.MDM: _empty,
}


def _live_activity(content: Content, options: ApnsOptions, accepted_unix_s: int) -> dict[str, object]:
    """Source: https://developer.apple.com/documentation/activitykit/starting-and-updating-live-activities-with-activitykit-push-notifications."""
    event = options.live_activity_event
    if event not in _LIVE_ACTIVITY_EVENTS:
        raise ContentRefused("InvalidPayload", "a Live Activity's event is start, update or end")
    aps: dict[str, object] = {"timestamp": accepted_unix_s, "event": event}
    if options.content_state_json:
        aps["content-state"] = _fragment("content_state_json", options.content_state_json)
    elif event != "end":
        raise ContentRefused("InvalidPayload", f"a Live Activity's {event} needs content_state_json")
    if event == "start":
        aps |= _attributes(options)
    if options.stale_date_unix_s:
        aps["stale-date"] = options.stale_date_unix_s
    if options.dismissal_date_unix_s:
        aps["dismissal-date"] = options.dismissal_date_unix_s
    if options.relevance_score is not None:
        aps["relevance-score"] = options.relevance_score
    text = _text(content, options)
    if text:
        aps["alert"] = text | {"sound": content.sound or "default"} if content.sound != SILENT else text
    return aps


def _attributes(options: ApnsOptions) -> dict[str, object]:
    if not options.attributes_type or not options.attributes_json:
        raise ContentRefused("InvalidPayload", "a Live Activity's start needs attributes_type and attributes_json")
    fragment = _fragment("attributes_json", options.attributes_json)
    return {"attributes-type": options.attributes_type, "attributes": fragment}


def _fragment(field: str, text: bytes) -> orjson.Fragment:
    _check_object(field, text)
    return orjson.Fragment(text)
