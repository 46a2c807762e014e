"""Compiled templates -> messages: a plan for each kind of reader, then one pass over the values of each message.

A plan holds the body that fits, its texts bound to locale, zone and privacy, and every text without values finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from core.content.compiling import Compiled, CompiledBody, compile_source
from core.content.faults import Fault
from core.content.filling import Binder
from core.content.links import HTTPS_ONLY, LinkPolicy
from core.content.liquid import Program
from core.content.locales import Tag, fallbacks, parse_tag
from core.content.planning import Plan
from core.content.privacy import Privacy
from core.content.rendered import NotRendered, Reader, Refusal, Rendered, RenderItem
from core.content.templates import SOURCES, TemplateSource, Values
from core.content.values import Input, MissingValue, WrongValue
from core.errors import ContentRefused
from core.policy.people import Channel

_MAX_PLANS = 512
# By channel, by privacy, by (locale, zone, currency).
_Plans: TypeAlias = list[list[dict[tuple[str, str, str], Plan | NotRendered]]]
_FALLBACK = {Channel.WEB_PUSH: Channel.PUSH, Channel.IN_APP: Channel.PUSH}


class CompiledTemplate:
    """One version, compiled once. It remembers up to 512 plans; nothing else of what it renders stays."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        # By channel and privacy, which are indices: hashing an enum costs more than all the rest of finding a plan.
        self._plans: _Plans = _no_plans()
        self._planned = 0

    @property
    def source(self) -> TemplateSource:
        """What was published."""
        return self._compiled.source

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What an author should know though it is no fault, for instance an image that Android does not show."""
        return self._compiled.warnings

    @property
    def declared(self) -> tuple[Input, ...]:
        """The declared variables, as they are read."""
        return self._compiled.declared

    @property
    def user_attributes(self) -> frozenset[str]:
        """The attributes of users that any text reads, so that others need not be fetched or decrypted."""
        reads = {one for body in self._compiled.bodies.values() for one in body.inputs}
        return frozenset(one.key for one in reads if SOURCES[one.source] == "user")

    def plain(self, channel: Channel, locale: str) -> bool:
        """Tell whether the body for a reader is all segments, which render some five times as fast as Liquid."""
        body = self._choose(channel, parse_tag(locale))
        return body is not None and not any(isinstance(one.text, Program) for one in body.texts.values())

    def render(self, channel: Channel, reader: Reader, values: Values, now_unix_s: int) -> Rendered:
        """Render one message. Raises ContentRefused, its reason a Refusal."""
        result = self.render_many([RenderItem(channel, reader, values)], now_unix_s)[0]
        if isinstance(result, NotRendered):
            raise ContentRefused(result.reason, f"{result.field}: {result.why}" if result.field else result.why)
        return result

    def render_many(self, items: Sequence[RenderItem], now_unix_s: int) -> list[Rendered | NotRendered]:
        """Render a batch; the answers stand in the same order, and what fails for one fails for that one only."""
        results: list[Rendered | NotRendered] = []
        for channel, reader, values in items:
            locale, time_zone, currency, privacy = reader
            plan = self._plans[channel][privacy].get((locale, time_zone, currency))
            if plan is None:
                plan = self._plan(channel, reader)
            results.append(plan.render(values, now_unix_s) if isinstance(plan, Plan) else plan)
        return results

    def _plan(self, channel: Channel, reader: Reader) -> Plan | NotRendered:
        if self._planned >= _MAX_PLANS:
            self._plans, self._planned = _no_plans(), 0
        self._planned += 1
        tag = parse_tag(reader.locale)
        body = self._choose(channel, tag)
        plan: Plan | NotRendered
        if body is None:
            plan = NotRendered(
                Refusal.NO_BODY, "", f"no body for {channel.name.lower()} in {tag} or the default locale"
            )
        else:
            plan = Plan(body, channel, tag, reader, self._compiled.links)
        self._plans[channel][reader.privacy][reader.locale, reader.time_zone, reader.currency] = plan
        return plan

    def _choose(self, channel: Channel, tag: Tag | None) -> CompiledBody | None:
        """Return the nearest body: a reader's language goes before the channel's own text."""
        bodies = self._compiled.bodies
        channels = (channel, _FALLBACK[channel]) if channel in _FALLBACK else (channel,)
        for one in (*(fallbacks(tag) if tag else ()), *fallbacks(self._compiled.default)):
            for way in channels:
                if (way, one) in bodies:
                    return bodies[way, one]
        return None


def _no_plans() -> _Plans:
    return [[{} for _ in range(max(Privacy) + 1)] for _ in range(max(Channel) + 1)]


def compile_template(source: TemplateSource, links: LinkPolicy = HTTPS_ONLY) -> CompiledTemplate:
    """Compile a version. Raises TemplateRefused with every fault that was found, at most 100 of them told."""
    return CompiledTemplate(compile_source(source, links))


def check_values(template: CompiledTemplate, values: Values, currency: str = "") -> tuple[Fault, ...]:
    """Return a fault for each declared variable that is missing or wrong; what only users' records hold is left out.

    currency: of amounts that name none; "" where it is known only with the user.
    """
    return tuple(fault for one in template.declared if (fault := _value_fault(one, values, currency or "USD")))


def check_many(template: CompiledTemplate, batch: Sequence[Values], currency: str = "") -> list[tuple[Fault, ...]]:
    """Return check_values for each of a batch, in order."""
    return [check_values(template, values, currency) for values in batch]


def _value_fault(one: Input, values: Values, currency: str) -> Fault | None:
    if one.source != 0:
        return None
    try:
        Binder((one,)).bind(values, currency)
    except MissingValue:
        return Fault(f"variables[{one.name}]", "is missing")
    except WrongValue as exc:
        return Fault(f"variables[{one.name}]", str(exc).removeprefix(f"{one.name} "))
    return None
