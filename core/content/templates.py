"""What an author publishes: an immutable version of a template, its variables and its texts by channel and locale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

from core.model import NotificationClass
from core.policy.people import Channel
from core.values import Value


class VariableType(IntEnum):
    """What a variable holds; the numbers are the contract's. LIST: of texts, or of records with declared fields."""

    TEXT = 1
    INTEGER = 2
    NUMBER = 3
    FLAG = 4
    TIME = 5
    DATE = 6
    MONEY = 7
    URL = 8
    LIST = 9


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that texts use: NAME comes from the notification, user.NAME, event.NAME and app.NAME from where they say.

    What stands in texts with such a prefix need not be declared: it then takes the type of its value. required: a
    notification without it is refused. sensitive: see core.content.privacy. fields: of each item of a LIST; none, and
    its items are texts.
    """

    name: str
    type: VariableType
    required: bool = True
    default: Value | None = None
    sensitive: bool = False
    fields: tuple[Variable, ...] = ()


class Field(StrEnum):
    """A text of a body."""

    TITLE = "title"
    SUBTITLE = "subtitle"
    BODY = "body"
    HTML = "html"
    IMAGE_URL = "image_url"
    VIDEO_URL = "video_url"
    ICON = "icon"
    DEEP_LINK = "deep_link"
    SOUND = "sound"


class Button(NamedTuple):
    """A button under a notification; both are Liquid in a body, and what came of it once rendered."""

    label: str
    link: str


class MediaFacts(NamedTuple):
    """What the author declares of a file behind a URL. bytes: 0 where not known. media_type: "" for the extension's."""

    bytes: int = 0
    media_type: str = ""


_UNKNOWN = MediaFacts()


@dataclass(frozen=True, slots=True)
class TemplateBody:
    """The texts of one channel and locale; all are Liquid. locale: BCP 47."""

    channel: Channel
    locale: str
    title: str = ""
    subtitle: str = ""
    body: str = ""
    html: str = ""
    image_url: str = ""
    video_url: str = ""
    icon: str = ""
    deep_link: str = ""
    sound: str = ""
    buttons: tuple[Button, ...] = ()
    image: MediaFacts = _UNKNOWN
    video: MediaFacts = _UNKNOWN

    def source(self, field: Field) -> str:
        """Return one text."""
        text: str = getattr(self, field.value)
        return text

    def sources(self) -> Iterator[str]:
        """Give all texts, buttons' included."""
        yield from (self.source(field) for field in Field)
        for button in self.buttons:
            yield from button


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One version of a template. tags: what frequency caps may count."""

    template_id: str
    version: int
    klass: NotificationClass
    category: str
    default_locale: str
    variables: tuple[Variable, ...] = ()
    bodies: tuple[TemplateBody, ...] = ()
    tags: tuple[str, ...] = ()


Raw: TypeAlias = "Value | Sequence[str] | Sequence[Mapping[str, Value]] | None"
_NOTHING: Mapping[str, Raw] = {}


class Values(NamedTuple):
    """What a message is filled with, by where it comes from. data: what the caller sent with the notification."""

    data: Mapping[str, Raw] = _NOTHING
    user: Mapping[str, Raw] = _NOTHING
    event: Mapping[str, Raw] = _NOTHING
    app: Mapping[str, Raw] = _NOTHING


SOURCES = Values._fields
