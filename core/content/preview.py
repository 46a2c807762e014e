"""What an author should see before publishing: a message as each screen would show it, and what would be cut."""

from __future__ import annotations

from typing import NamedTuple

from core.content.limits import ANDROID, BROWSER, IOS, Visible
from core.content.locales import parse_tag
from core.content.rendered import Reader, Rendered
from core.content.rendering import CompiledTemplate, check_values
from core.content.sms import SmsCount, count_sms
from core.content.templates import Values
from core.content.truncation import ELLIPSIS, character_count, truncate
from core.policy.people import Channel

_SCREENS: dict[Channel, tuple[Visible, ...]] = {
    Channel.PUSH: (IOS, ANDROID),
    Channel.WEB_PUSH: (BROWSER,),
    Channel.IN_APP: (),
    Channel.SMS: (),
    Channel.EMAIL: (),
}


class Look(NamedTuple):
    """A message on one platform; title and body end in an ellipsis where about so much is cut. Counts: characters."""

    platform: str
    title: str
    body: str
    title_count: int
    body_count: int
    title_cut: bool
    body_cut: bool


class Preview(NamedTuple):
    """rendered: the whole message. sms: its parts, for a text message. warnings: sentences for the author."""

    rendered: Rendered
    looks: tuple[Look, ...]
    sms: SmsCount | None
    warnings: tuple[str, ...]


def preview(template: CompiledTemplate, channel: Channel, reader: Reader, values: Values, now_unix_s: int) -> Preview:
    """Render one message and say what a person should know of it. Raises ContentRefused."""
    rendered = template.render(channel, reader, values, now_unix_s)
    looks = tuple(_look(rendered, screen) for screen in _SCREENS[channel])
    sms = count_sms(rendered.body) if channel is Channel.SMS else None
    warnings = [
        *_locale_warnings(reader, rendered),
        *(f"{fault.field} {fault.why}" for fault in check_values(template, values, reader.currency)),
        *(warning for look in looks for warning in cut_warnings(look)),
        *sms_warnings(sms),
        *(str(fault) for fault in template.warnings),
    ]
    return Preview(rendered, looks, sms, tuple(warnings))


def cut_warnings(look: Look) -> list[str]:
    """Return what a platform would cut, in sentences."""
    cut = (("title", look.title_cut, look.title_count), ("body", look.body_cut, look.body_count))
    return [f"{look.platform} would cut the {name} of {count} characters" for name, is_cut, count in cut if is_cut]


def sms_warnings(sms: SmsCount | None) -> list[str]:
    """Return what a text message costs, in a sentence, if it takes more than one."""
    if sms is None or sms.segments <= 1:
        return []
    return [f"takes {sms.segments} text messages of {sms.per_segment} units each, in {sms.encoding}"]


def _look(rendered: Rendered, screen: Visible) -> Look:
    title, body = character_count(rendered.title), character_count(rendered.body)
    return Look(
        screen.platform,
        truncate(rendered.title, screen.title),
        truncate(rendered.body, screen.body),
        title,
        body,
        title > screen.title or rendered.title.endswith(ELLIPSIS),
        body > screen.body or rendered.body.endswith(ELLIPSIS),
    )


def _locale_warnings(reader: Reader, rendered: Rendered) -> list[str]:
    if not reader.locale:
        return []
    wanted, taken = parse_tag(reader.locale), parse_tag(rendered.locale)
    if wanted is None:
        return [f"{reader.locale[:64]} is no locale that is known; {rendered.locale} is shown"]
    if taken is None or wanted[:2] != taken[:2]:
        return [f"there is no text in {reader.locale}; {rendered.locale} is shown"]
    return []
