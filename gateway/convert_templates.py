"""Templates <-> proto; what is wrong in their texts is for the compiler to say, with every fault at once."""

from __future__ import annotations

from core.content.faults import Fault, TemplateRefused
from core.content.store import StoredTemplate
from core.content.templates import (
    Button,
    MediaFacts,
    TemplateBody,
    TemplateSource,
    Variable,
    VariableType,
)
from core.errors import InvalidRequest
from core.model import NotificationClass
from core.policy.people import Channel
from gateway.convert_values import from_value, to_value
from gateway.receipts import to_timestamp
from protos.walletpush.v1 import template_pb2 as pb

_CHANNELS = {int(channel): channel for channel in Channel}
_TYPES = {int(one): one for one in VariableType}
_TEXTS = ("title", "subtitle", "body", "html", "image_url", "video_url", "icon", "deep_link", "sound")


def to_source(field: str, told: pb.Template) -> TemplateSource:
    """Return a template's source, version 0. Raises InvalidRequest for what has no place in the model."""
    klass = told.notification_class - 1
    if not 0 <= klass < len(NotificationClass):
        raise InvalidRequest(f"{field}.notification_class", "must be security, transactional, service or marketing")
    return TemplateSource(
        template_id=told.template_id, version=0, klass=NotificationClass(klass), category=told.category,
        default_locale=told.default_locale,
        variables=tuple(_variable(f"{field}.variables[{n}]", one) for n, one in enumerate(told.variables)),
        bodies=tuple(_body(f"{field}.bodies[{n}]", one) for n, one in enumerate(told.bodies)), tags=tuple(told.tags),
    )  # fmt: skip


def refusal(field: str, refused: TemplateRefused) -> TemplateRefused:
    """Return a compiler's refusal with the paths of a request."""
    faults = tuple(Fault(f"{field}.{one.field}", one.why, one.line) for one in refused.faults)
    return TemplateRefused(faults, refused.count)


def to_channel(field: str, told: int) -> Channel:
    """Return a channel. Raises InvalidRequest for none."""
    channel = _CHANNELS.get(told)
    if channel is None:
        raise InvalidRequest(field, "must name a channel")
    return channel


def _variable(field: str, told: pb.Variable) -> Variable:
    kind = _TYPES.get(told.type)
    if kind is None:
        raise InvalidRequest(f"{field}.type", "must name a type")
    default = to_value(f"{field}.default_value", told.default_value) if told.HasField("default_value") else None
    # Deeper than one the compiler refuses, and must not be walked into: messages nest as deep as they like.
    fields = tuple(_inner(f"{field}.fields[{n}]", one) for n, one in enumerate(told.fields))
    return Variable(told.name, kind, told.required, default, told.sensitive, fields)


def _inner(field: str, told: pb.Variable) -> Variable:
    if told.fields:
        raise InvalidRequest(f"{field}.fields", "a list within a list is not allowed")
    return _variable(field, told)


def _body(field: str, told: pb.TemplateBody) -> TemplateBody:
    return TemplateBody(
        to_channel(f"{field}.channel", told.channel), told.locale, **{name: getattr(told, name) for name in _TEXTS},
        buttons=tuple(Button(one.label, one.link) for one in told.buttons),
        image=_facts(f"{field}.image", told.image), video=_facts(f"{field}.video", told.video),
    )  # fmt: skip


def _facts(field: str, told: pb.MediaFacts) -> MediaFacts:
    if told.size_bytes < 0:
        raise InvalidRequest(f"{field}.size_bytes", "must not be negative")
    return MediaFacts(told.size_bytes, told.media_type)


def from_stored(stored: StoredTemplate, *, bodies: bool = True) -> pb.Template:
    """Return a stored version as proto."""
    source = stored.source
    told = pb.Template(
        app=stored.app, template_id=source.template_id, version=source.version,
        notification_class=source.klass + 1,  # type: ignore[arg-type]
        category=source.category, default_locale=source.default_locale,
        variables=[_told_variable(one) for one in source.variables], tags=source.tags,
        publish_time=to_timestamp(stored.published_unix_ms), publisher=stored.publisher, retired=stored.retired,
    )  # fmt: skip
    if bodies:
        told.bodies.extend(_told_body(one) for one in source.bodies)
    return told


def _told_variable(one: Variable) -> pb.Variable:
    told = pb.Variable(
        name=one.name, type=int(one.type),  # type: ignore[arg-type]
        required=one.required, sensitive=one.sensitive, fields=[_told_variable(inner) for inner in one.fields],
    )  # fmt: skip
    if one.default is not None:
        told.default_value.CopyFrom(from_value(one.default))
    return told


def _told_body(one: TemplateBody) -> pb.TemplateBody:
    return pb.TemplateBody(
        channel=int(one.channel),  # type: ignore[arg-type]
        locale=one.locale, **{name: getattr(one, name) for name in _TEXTS},
        buttons=[pb.ActionButton(label=button.label, link=button.link) for button in one.buttons],
        image=_told_facts(one.image), video=_told_facts(one.video),
    )  # fmt: skip


def _told_facts(one: MediaFacts) -> pb.MediaFacts | None:
    return pb.MediaFacts(size_bytes=one.bytes, media_type=one.media_type) if one != MediaFacts() else None


