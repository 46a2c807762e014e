"""Previews of one template: phones locked and open, a text message, and what an author should mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.content.faults import TemplateRefused
from core.content.limits import ANDROID, IOS, Visible
from core.content.locales import parse_tag
from core.content.preview import Look, Preview, cut_warnings, preview, sms_warnings
from core.content.privacy import Privacy
from core.content.rendered import Reader, Refusal, Rendered
from core.content.rendering import CompiledTemplate, compile_template
from core.content.sms import SmsCount
from core.content.templates import Raw, TemplateBody, TemplateSource, Values, Variable
from core.errors import ContentRefused, InvalidRequest
from core.model import NotificationClass
from core.policy.people import Channel
from gateway.web.preview_form import Entered, Row
from gateway.web.preview_values import WrongEntry, sample, typed, written

SCREENS: Final = {screen.platform: screen for screen in (IOS, ANDROID)}


class Problem(NamedTuple):
    """What keeps a preview from being shown. place: words and keys of the page's texts; line: 0 for the whole."""

    place: tuple[str, ...]
    why: str
    line: int = 0


class Phone(NamedTuple):
    """One screen. rendered: what stands beside the two texts, which a screen does not cut by characters."""

    look: Look
    screen: Visible
    masked: bool
    rendered: Rendered
    right_to_left: bool


class TextMessage(NamedTuple):
    """A text message and what it takes."""

    rendered: Rendered
    parts: SmsCount
    right_to_left: bool


@dataclass(frozen=True, slots=True)
class Looks:
    """All that a page shows of a template. pairs: masked and open, by platform. notes: beside what the looks tell."""

    pairs: tuple[tuple[Phone, Phone], ...] = ()
    message: TextMessage | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def compile_entered(entered: Entered) -> CompiledTemplate | tuple[Problem, ...]:
    """Compile the texts that were entered, or tell what is wrong where."""
    bodies = tuple(entered.bodies())
    variables = tuple(row.variable for row in entered.rows if row.name)
    locale = bodies[0].locale if bodies else "en"
    source = TemplateSource(
        "preview", 1, NotificationClass.TRANSACTIONAL, "preview", locale, variables, bodies
    )  # fmt: skip
    try:
        return compile_template(source)
    except TemplateRefused as refused:
        return tuple(Problem(_place(fault.field, bodies, variables), fault.why, fault.line) for fault in refused.faults)
    except InvalidRequest as refused:
        return (Problem(_place(refused.field, bodies, variables), refused.why),)


def rows_for(template: CompiledTemplate, entered: Entered, now_unix_s: int) -> tuple[Row, ...]:
    """Return a row for each variable of a stored template, with what was entered for it, its default or a sample."""
    told = {row.name: row.text for row in entered.rows if row.text}
    return tuple(
        Row(one.name, one.type, told.get(one.name) or _usual(one, entered.currency, now_unix_s), one.sensitive)
        for one in template.source.variables
    )


def show(template: CompiledTemplate, entered: Entered, rows: tuple[Row, ...], now_unix_s: int) -> Looks:
    """Render a template on every screen that it has texts for."""
    values, problems = _values(template, entered, rows)
    if problems:
        return Looks(problems=problems)
    found: dict[tuple[Channel, Privacy], Preview] = {}
    for channel, privacies in ((Channel.PUSH, (Privacy.MASKED, Privacy.FULL)), (Channel.SMS, (Privacy.FULL,))):
        for privacy in privacies:
            reader = Reader(entered.locale, entered.time_zone, entered.currency, privacy)
            try:
                found[channel, privacy] = preview(template, channel, reader, values, now_unix_s)
            except ContentRefused as refused:
                problems = (*problems, *_refused(template, channel, refused))
    return Looks(_pairs(found), _message(found), _notes(found), tuple(dict.fromkeys(problems)))


def _usual(one: Variable, currency: str, now_unix_s: int) -> str:
    return sample(one, currency, now_unix_s) if one.default is None else written(one.default)


def _values(template: CompiledTemplate, entered: Entered, rows: tuple[Row, ...]) -> tuple[Values, tuple[Problem, ...]]:
    """Return the values by where templates look for them: a name with a dot is a user's, an event's or the app's."""
    declared = {one.name: one for one in template.source.variables}
    kinds: dict[str, dict[str, Raw]] = {source: {} for source in Values._fields}
    problems = []
    for row in rows:
        if not row.name or not row.text:
            continue
        source, dot, key = row.name.partition(".")
        try:
            value = typed(declared.get(row.name, row.variable), row.text, entered.currency, entered.time_zone)
        except WrongEntry as wrong:
            problems.append(Problem(("variable", row.name), str(wrong)))
            continue
        kinds.get(source if dot else "data", {})[key if dot else row.name] = value
    return Values(**kinds), tuple(problems)


def _refused(template: CompiledTemplate, channel: Channel, refused: ContentRefused) -> tuple[Problem, ...]:
    has_body = any(body.channel is channel for body in template.source.bodies)
    if refused.reason == Refusal.NO_BODY and not has_body:
        return ()
    return (Problem((f"channel_{channel.name}",), refused.why),)


def _pairs(found: Mapping[tuple[Channel, Privacy], Preview]) -> tuple[tuple[Phone, Phone], ...]:
    masked, full = found.get((Channel.PUSH, Privacy.MASKED)), found.get((Channel.PUSH, Privacy.FULL))
    if masked is None or full is None:
        return ()
    return tuple(
        (_phone(masked, one, masked=True), _phone(full, other, masked=False))
        for one, other in zip(masked.looks, full.looks, strict=True)
    )


def _phone(shown: Preview, look: Look, *, masked: bool) -> Phone:
    return Phone(look, SCREENS[look.platform], masked, shown.rendered, _right_to_left(shown.rendered))


def _message(found: Mapping[tuple[Channel, Privacy], Preview]) -> TextMessage | None:
    shown = found.get((Channel.SMS, Privacy.FULL))
    if shown is None or shown.sms is None:
        return None
    return TextMessage(shown.rendered, shown.sms, _right_to_left(shown.rendered))


def _right_to_left(rendered: Rendered) -> bool:
    tag = parse_tag(rendered.locale)
    return tag is not None and tag.right_to_left


def _notes(found: Mapping[tuple[Channel, Privacy], Preview]) -> tuple[str, ...]:
    """Return the warnings beside those on lengths, which stand under each phone."""
    notes = []
    for shown in found.values():
        told = {*sms_warnings(shown.sms), *(warning for look in shown.looks for warning in cut_warnings(look))}
        notes += [warning for warning in shown.warnings if warning not in told]
    return tuple(dict.fromkeys(notes))


def _place(field: str, bodies: tuple[TemplateBody, ...], variables: tuple[Variable, ...]) -> tuple[str, ...]:
    """Return where a fault's path points in the form."""
    kind, _, rest = field.partition("[")
    number, _, part = rest.partition("]")
    if number.isdigit() and kind == "bodies" and int(number) < len(bodies):
        body = bodies[int(number)]
        name = "sms" if body.channel is Channel.SMS else part.removeprefix(".")
        return (f"locale_{body.locale}", f"field_{name}")
    if number.isdigit() and kind == "variables" and int(number) < len(variables):
        return ("variable", variables[int(number)].name)
    return (f"field_{field}" if field == "bodies" else field,)
