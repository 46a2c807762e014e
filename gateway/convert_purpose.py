"""The contract's category, tags and template of a notification -> what policy and content know of it."""

from __future__ import annotations

from core.content.purpose import Purpose
from core.errors import InvalidRequest
from gateway.convert_values import to_raws
from gateway.fields import bounded, required
from protos.walletpush.v1 import notification_pb2 as pb

_MAX_TAGS = 16
_MAX_NAME_BYTES = 64
_MAX_VERSION = 2**31 - 1


def has_purpose(msg: pb.Notification) -> bool:
    """Tell whether a notification says more of itself than class and content."""
    return bool(msg.category or msg.tags) or msg.HasField("template")


def to_purpose(msg: pb.Notification) -> Purpose | None:
    """Return what a notification says of itself, None for nothing. Raises InvalidRequest naming the field."""
    if not has_purpose(msg):
        return None
    category = bounded("category", msg.category, _MAX_NAME_BYTES)
    if len(msg.tags) > _MAX_TAGS:
        raise InvalidRequest("tags", f"at most {_MAX_TAGS}, not {len(msg.tags)}")
    tags = tuple(required(f"tags[{n}]", tag, _MAX_NAME_BYTES) for n, tag in enumerate(msg.tags))
    if not msg.HasField("template"):
        return Purpose(category, tags)
    if msg.devices or not msg.user_ids:
        raise InvalidRequest("template", "is rendered for users: name user_ids, and no devices")
    template_id = required("template.template_id", msg.template.template_id, _MAX_NAME_BYTES)
    if not 0 <= msg.template.version <= _MAX_VERSION:
        raise InvalidRequest("template.version", "must not be negative")
    variables = to_raws("template.variables", msg.template.variables)
    return Purpose(category, tags, template_id, msg.template.version, variables)
