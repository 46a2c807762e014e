"""Segments and Liquid give the same message for every template that can be reduced, or fail alike."""

from __future__ import annotations

import random
from datetime import date
from unittest import mock

from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from core.content import compiling
from core.content.faults import TemplateRefused
from core.content.privacy import Privacy
from core.content.rendered import NotRendered, Reader, Rendered, RenderItem
from core.content.rendering import CompiledTemplate, compile_template
from core.content.templates import Button, Raw, TemplateBody, TemplateSource, Values
from core.policy.people import Channel
from core.values import Moment, Money
from tests.unit.template_stand import DATA, NOW_UNIX_S, compiled, push, show, source

FILTERS = {
    "name": ["upcase", "downcase", "capitalize", "append: '!'", "prepend: \"<\"", "replace: 'a', 'bb'", "truncate: 3",
             "size", "escape", "url_encode", "mask_name", "mask_phone", "mask_card", "default: 'you'", "remove: 'a'"],
    "nick": ["default: 'friend'", "upcase", "size", "append: 1"],
    "card": ["mask_card", "mask_phone", "append: '.'", "upcase"],
    "amount": ["money", "append: ' paid'", "mask_balance", "number", "number: 1"],
    "points": ["number", "plus: 1", "times: 1.5", "divided_by: 7", "modulo: 5", "round", "percent", "default: 0",
               "at_least: 10", "money: 'EUR'", "abs", "floor"],
    "rate": ["percent", "percent: 2", "number", "number: 3", "round: 2", "ceil", "floor", "minus: 0.5"],
    "vip": ["default: 'no'", "append: '?'"],
    "paid_at": ["date", "time", "datetime: 'short'", "date: 'full'", "default: 'never'"],
    "due": ["date: 'long'", "date", "default: 'never'"],
    "page": ["append: '#a'", "default: 'https://a.example/'"],
    "user.city": ["default: 'here'", "upcase", "append: '!'"],
    "user.born": ["date", "default: 'once'"],
}  # fmt: skip
OPERANDS = [
    *FILTERS,
    "'Ana'",
    "'gold'",
    "10",
    "0.5",
    "true",
    "false",
    "nil",
    "empty",
    "blank",
    "amount.value",
    "amount.currency",
]
ORDERED = [
    ["points", "rate", "10", "0.5", "amount.value", "user.city"],
    ["name", "nick", "card", "'Ana'", "amount.currency", "user.city"],
]
WORDS = ["a", " ", "<b>", "&", "'", '"', "\n", "%", "é", "界", "🎉", "}}", "\u2067"]
TEXTS = [
    "",
    "Ana",
    "a b&c<",
    "界隈",
    "דנה",
    "e\u0301\u0301",
    "👩‍👩‍👧‍👦",
    "4111 1111 1111 1111",
    "+49 170 1234567",
    "\x07\u202e",
    "a" * 999,
]
LOCALES = ["en-US", "de", "zh-CN", "ar", "hi-IN", ""]


class Author:
    """Writes templates and values by chance; one seed gives the same ones always.

    Hypothesis draws the seed only: to draw each part by itself takes it a hundred times as long.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def text(self, depth: int = 2) -> str:
        return "".join(self._part(depth) for _ in range(self._chance.randrange(5)))

    def _part(self, depth: int) -> str:
        kind = self._chance.randrange(3 if depth else 2)
        return self._output() if kind == 0 else self._chance.choice(WORDS) if kind == 1 else self._branch(depth - 1)

    def _output(self) -> str:
        name = self._chance.choice(list(FILTERS))
        used = [self._chance.choice(FILTERS[name]) for _ in range(self._chance.randrange(3))]
        return "{{ " + " | ".join([name, *used]) + " }}"

    def _branch(self, depth: int) -> str:
        tag = self._chance.choice(["if", "unless"])
        text = f"{{% {tag} {self._condition()} %}}{self.text(depth)}"
        if self._chance.random() < 0.4:
            text += f"{{% elsif {self._condition()} %}}{self.text(depth)}"
        if self._chance.random() < 0.5:
            text += f"{{% else %}}{self.text(depth)}"
        return f"{text}{{% end{tag} %}}"

    def _condition(self) -> str:
        operator = self._chance.choice(["", "==", "!=", "<", ">", "<=", ">=", "contains"])
        # An order is only among numbers or among texts.
        operands = self._chance.choice(ORDERED) if operator[:1] in "<>" else OPERANDS
        one = self._chance.choice(operands)
        one = f"{one} {operator} {self._chance.choice(operands)}" if operator else one
        joined = self._chance.choice(["", "", "and", "or"])
        return f"{one} {joined} {self._chance.choice(OPERANDS)}" if joined else one

    def message(self) -> tuple[Reader, Values]:
        chance = self._chance
        data: dict[str, Raw] = {
            "name": chance.choice(TEXTS),
            "card": chance.choice(TEXTS),
            "merchant": chance.choice(TEXTS),
            "amount": Money(chance.randrange(-(10**9), 10**9), chance.choice(["USD", "JPY", "BHD", "INR", ""])),
            "points": self._maybe(chance.randrange(-(10**6), 10**6)),
            "rate": self._maybe(chance.choice([0.0, -0.0, 0.1, 1e-9, 123456.789, chance.uniform(-1e6, 1e6)])),
            "vip": self._maybe(chance.random() < 0.5),
            "paid_at": self._maybe(Moment(chance.randrange(2 * 10**12))),
            "due": self._maybe(date(2026, 1, 1 + chance.randrange(31))),
            "page": self._maybe(chance.choice(["https://a.example/b?c=d&e=f", "https://a.example/"])),
            "nick": self._maybe(chance.choice(TEXTS)),
        }
        user = {"city": self._maybe(chance.choice(TEXTS)), "born": self._maybe(date(1980, 2, 29))}
        zone = chance.choice(["", "Asia/Shanghai", "America/New_York"])
        reader = Reader(chance.choice(LOCALES), zone, chance.choice(["EUR", ""]), chance.choice(list(Privacy)))
        return reader, Values(data, user)

    def _maybe(self, value: Raw) -> Raw:
        return None if self._chance.random() < 0.25 else value


def both(template: TemplateSource) -> tuple[CompiledTemplate, CompiledTemplate]:
    with mock.patch.object(compiling, "reduce", return_value=None):
        whole = compile_template(template)
    return compile_template(template), whole


# Without explanations: for them every line is traced on Python 3.11.
@settings(max_examples=150, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(0, 2**63), st.booleans())
def test_segments_and_liquid_give_the_same_message(seed: int, email: bool) -> None:
    author = Author(seed)
    title, text = author.text(), author.text()
    bodies = [email_body(title, text, locale) if email else push_body(title, text, locale) for locale in ("en", "ar")]
    try:
        segments, liquid = both(source(*bodies))
    except TemplateRefused:
        assume(False)
    channel = bodies[0].channel
    assert segments.plain(channel, "en")
    items = [RenderItem(channel, *author.message()) for _ in range(5)]
    for mine, theirs in zip(
        segments.render_many(items, NOW_UNIX_S), liquid.render_many(items, NOW_UNIX_S), strict=True
    ):
        # Of several faults either may be told.
        assert mine == theirs or (isinstance(mine, NotRendered) and isinstance(theirs, NotRendered)), (title, text)


def email_body(title: str, text: str, locale: str) -> TemplateBody:
    return TemplateBody(Channel.EMAIL, locale, title=title, html=text)


def push_body(title: str, text: str, locale: str) -> TemplateBody:
    return TemplateBody(
        Channel.PUSH,
        locale,
        title=title,
        body=text,
        deep_link="https://a.example/{{ name }}?c={{ card }}",
        buttons=(Button("Go {{ name }}", "{{ page }}"),),
    )


def test_comments_raw_text_and_blank_branches_are_reduced_as_liquid_shows_them() -> None:
    text = (
        "a{% comment %}x{{ name }}{% endcomment %}{% raw %}{{ b }}{% endraw %}{% if vip %} \n{% endif %}"
        "{%- if vip -%} c {%- else -%} {% endif %}"
    )
    segments, liquid = both(source(push(text)))
    assert segments.plain(Channel.PUSH, "en")
    shown = show(segments)
    assert shown == show(liquid)
    assert isinstance(shown, Rendered)
    assert shown.body == "a{{ b }}c"


def test_loops_assignments_and_the_present_day_are_left_to_liquid() -> None:
    for text in (
        "{% for w in words %}{{ w }}{% endfor %}",
        "{% assign x = name %}{{ x }}",
        "{{ paid_at | relative_day }}",
    ):
        template = compiled(push(text))
        assert not template.plain(Channel.PUSH, "en")
        assert isinstance(show(template, DATA), Rendered)
