"""A template's source as JSON, and back."""

from __future__ import annotations

import orjson
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from core.content.templates import (
    Button,
    Field,
    MediaFacts,
    TemplateBody,
    TemplateSource,
    Variable,
    VariableType,
)
from core.model import NotificationClass
from core.policy.people import Channel
from core.values import Plain, from_plain, to_plain


class _Variable(TypedDict):
    name: str
    type: int
    required: bool
    default: Plain | None
    sensitive: bool
    fields: list[_Variable]


class _Body(TypedDict):
    channel: int
    locale: str
    texts: dict[str, str]
    buttons: list[tuple[str, str]]
    image: tuple[int, str]
    video: tuple[int, str]


class _Source(TypedDict):
    template_id: str
    version: int
    klass: int
    category: str
    default_locale: str
    variables: list[_Variable]
    bodies: list[_Body]
    tags: list[str]


_SOURCE = TypeAdapter(_Source)


def to_json(source: TemplateSource) -> str:
    """Return a source as JSON."""
    told = _Source(
        template_id=source.template_id, version=source.version, klass=int(source.klass), category=source.category,
        default_locale=source.default_locale, variables=[_told_variable(one) for one in source.variables],
        bodies=[_told_body(one) for one in source.bodies], tags=list(source.tags),
    )  # fmt: skip
    return orjson.dumps(told).decode()


def from_json(text: str) -> TemplateSource:
    """Return what to_json was given. Raises pydantic.ValidationError, or ValueError, for anything else."""
    told = _SOURCE.validate_json(text)
    return TemplateSource(
        told["template_id"], told["version"], NotificationClass(told["klass"]), told["category"],
        told["default_locale"], tuple(_variable(one) for one in told["variables"]),
        tuple(_body(one) for one in told["bodies"]), tuple(told["tags"]),
    )  # fmt: skip


def _told_variable(one: Variable) -> _Variable:
    return _Variable(
        name=one.name, type=int(one.type), required=one.required, sensitive=one.sensitive,
        default=None if one.default is None else to_plain(one.default),
        fields=[_told_variable(inner) for inner in one.fields],
    )  # fmt: skip


def _told_body(one: TemplateBody) -> _Body:
    return _Body(
        channel=int(one.channel), locale=one.locale,
        texts={field.value: text for field in Field if (text := one.source(field))},
        buttons=[(button.label, button.link) for button in one.buttons],
        image=(one.image.bytes, one.image.media_type), video=(one.video.bytes, one.video.media_type),
    )  # fmt: skip


def _variable(told: _Variable) -> Variable:
    default = told["default"]
    return Variable(
        told["name"], VariableType(told["type"]), told["required"], None if default is None else from_plain(default),
        told["sensitive"], tuple(_variable(inner) for inner in told["fields"]),
    )  # fmt: skip


def _body(told: _Body) -> TemplateBody:
    return TemplateBody(
        Channel(told["channel"]), told["locale"], **told["texts"],
        buttons=tuple(Button(*one) for one in told["buttons"]),
        image=MediaFacts(*told["image"]), video=MediaFacts(*told["video"]),
    )  # fmt: skip
