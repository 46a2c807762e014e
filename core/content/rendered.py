"""What rendering gives for one reader: the texts, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import orjson

from core.content.message import ApnsOptions, Content, FcmOptions
from core.content.privacy import Privacy
from core.content.templates import Button, Values
from core.policy.people import Channel

# The data key under which an app finds its buttons: a JSON list of {"label": …, "link": …}.
BUTTONS_KEY = "buttons"


class Reader(NamedTuple):
    """Who reads. time_zone: "" or an unknown one shows times in UTC, and says so. currency: of amounts without one."""

    locale: str = ""
    time_zone: str = ""
    currency: str = ""
    privacy: Privacy = Privacy.FULL


class RenderItem(NamedTuple):
    """One message to render."""

    channel: Channel
    reader: Reader
    values: Values


class Refusal(StrEnum):
    """Why there is no message for one reader."""

    NO_BODY = "NoBody"
    MISSING_VALUE = "MissingValue"
    WRONG_VALUE = "WrongValue"
    TEMPLATE_FAILED = "TemplateFailed"
    TOO_MUCH_WORK = "TooMuchWork"
    TOO_LONG = "TooLong"
    WRONG_LINK = "WrongLink"
    SAYS_NOTHING = "SaysNothing"


class NotRendered(NamedTuple):
    """No message for one reader; others are not touched. field: the text or variable; "" for the whole."""

    reason: Refusal
    field: str
    why: str


class Rendered(NamedTuple):
    """One message. locale: of the body that was taken. title: an e-mail's subject."""

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

    def content(self, base: Content | None = None) -> Content:
        """Return the content of a push. base: what the notification brought beside its template."""
        base = base or Content()
        return base._replace(
            title=self.title,
            body=self.body,
            image_url=self.image_url,
            video_url=self.video_url,
            deep_link=self.deep_link,
            sound=self.sound,
            data=self._data(base.data),
            apns=(base.apns or ApnsOptions())._replace(subtitle=self.subtitle) if self.subtitle else base.apns,
            fcm=(base.fcm or FcmOptions())._replace(icon=self.icon) if self.icon else base.fcm,
        )

    def _data(self, data: Mapping[str, str] | None) -> Mapping[str, str] | None:
        if not self.buttons:
            return data
        return {**(data or {}), BUTTONS_KEY: orjson.dumps([one._asdict() for one in self.buttons]).decode()}
