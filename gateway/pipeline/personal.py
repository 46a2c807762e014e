"""What one user's device gets: the template in their language, masked or sealed as they and the app want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from core.content.encryption import GenericText, load_key, sealed, veiled
from core.content.message import Content
from core.content.privacy import Privacy, privacy_of
from core.content.rendered import NotRendered, Reader, RenderItem
from core.content.rendering import CompiledTemplate
from core.content.templates import Values
from core.delivery import Notification
from core.errors import ContentRefused, InvalidRequest
from core.policy.people import Channel, Recipient, UserDevice
from core.policy.rules import AppRules
from gateway.logs import get_logger
from gateway.pipeline.routes import Route

T = TypeVar("T")
TEMPLATE_ERROR = "TEMPLATE_ERROR"
Templates = Mapping[tuple[str, str, int], CompiledTemplate | None]
Parts = tuple[bytes, object] | ContentRefused


@dataclass(frozen=True, slots=True)
class Veil:
    """What stands in the clear for an app whose contents are sealed to devices.

    texts: by locale or language, at least one; the first stands in for all others.
    """

    texts: Mapping[str, GenericText]

    def text(self, locale: str) -> GenericText:
        """Return the text nearest to a locale."""
        return nearest(self.texts, locale)


class Copy(NamedTuple):
    """One notification for one device of one user. total: how many it stands for, as a summary."""

    notification: Notification
    recipient: Recipient
    device: UserDevice
    total: int = 1


class Personal:
    """veils: of the apps whose contents are sealed."""

    def __init__(self, veils: Mapping[str, Veil]) -> None:
        self._veils = veils
        self._logger = get_logger("personal")

    def set_veils(self, veils: Mapping[str, Veil]) -> None:
        """Take the veils of reloaded settings."""
        self._veils = veils

    def veils(self, app: str) -> bool:
        """Tell whether an app's contents are sealed."""
        return app in self._veils

    def contents(
        self, copies: Sequence[Copy], rules: AppRules, templates: Templates, now_unix_ms: int
    ) -> list[Content | ContentRefused]:
        """Return what each copy says, in order; what fails for one user fails for that one only.

        copies: of one app. templates: all that the copies name.
        """
        said: list[Content | ContentRefused | None] = [one.notification.content for one in copies]
        for template, places in _by_template(copies, templates):
            if template is None:
                for place in places:
                    said[place] = ContentRefused(TEMPLATE_ERROR, "the template is gone")
                continue
            items = [_item(copies[place], rules) for place in places]
            for place, rendered in zip(places, template.render_many(items, now_unix_ms // 1_000), strict=True):
                if isinstance(rendered, NotRendered):
                    said[place] = self._failed(copies[place], rendered)
                else:
                    said[place] = rendered.content(copies[place].notification.content)
        for place, one in enumerate(copies):
            if one.total > 1 and rules.summary_texts:
                said[place] = _summary(one, rules)
        veil = self._veils.get(rules.app)
        done = [one or ContentRefused("INTERNAL", "no content") for one in said]
        return done if veil is None else [_veiled(*pair, veil) for pair in zip(copies, done, strict=True)]

    def _failed(self, copy: Copy, failure: NotRendered) -> ContentRefused:
        # Which variable and why; never the value, which is the user's.
        self._logger.info(
            "template_failed", app=copy.notification.app, reason=str(failure.reason), field=failure.field,
            notification=copy.notification.id.hex(),
        )  # fmt: skip
        return ContentRefused(TEMPLATE_ERROR, f"{failure.field}: {failure.why}")


def nearest(texts: Mapping[str, T], locale: str) -> T:
    """Return the text of a locale, else of its language, else the first."""
    return texts.get(locale) or texts.get(locale.partition("-")[0]) or next(iter(texts.values()))


def payload_of(route: Route, notification: Notification, content: Content) -> Parts:
    """Return payload and envelope of a content of its own on a route."""
    kept = notification.content
    notification.content = content
    try:
        (parts,) = route.channel.render_many([notification])
    finally:
        notification.content = kept
    return parts


def reader_of(recipient: Recipient, device: UserDevice, rules: AppRules) -> Reader:
    """Return who reads: the device's language and zone go before the user's, and these before the app's."""
    return Reader(
        device.locale or recipient.locale or rules.default_locale,
        device.time_zone or recipient.time_zone or rules.time_zone,
        recipient.currency or rules.currency,
        privacy_of(recipient.lock_screen, Privacy(rules.lock_screen)),
    )


def _summary(copy: Copy, rules: AppRules) -> Content:
    title, body = nearest(rules.summary_texts, reader_of(copy.recipient, copy.device, rules).locale)
    title, body = (text.replace("{count}", str(copy.total)) for text in (title, body))
    return Content(title, body)


def _item(copy: Copy, rules: AppRules) -> RenderItem:
    purpose = copy.notification.purpose
    data = purpose.variables if purpose is not None else {}
    values = Values(data=data, user=copy.recipient.attributes, event=data)
    return RenderItem(Channel.PUSH, reader_of(copy.recipient, copy.device, rules), values)


def _by_template(
    copies: Sequence[Copy], templates: Templates
) -> list[tuple[CompiledTemplate | None, list[int]]]:
    places: dict[tuple[str, str, int], list[int]] = {}
    for place, copy in enumerate(copies):
        purpose = copy.notification.purpose
        if purpose is not None and purpose.template_id:
            key = (copy.notification.app, purpose.template_id, purpose.template_version)
            places.setdefault(key, []).append(place)
    return [(templates.get(key), members) for key, members in places.items()]


def _veiled(copy: Copy, content: Content | ContentRefused, veil: Veil) -> Content | ContentRefused:
    if isinstance(content, ContentRefused):
        return content
    text = veil.text(copy.device.locale or copy.recipient.locale)
    if not copy.device.encryption_key:
        return veiled(content, text)
    try:
        key = load_key("device.encryption_key", copy.device.encryption_key)
    except InvalidRequest:
        return veiled(content, text)
    return sealed(content, key, copy.notification.app, text)
