"""What authors get wrong is refused at publishing: by field and line, all of it at once, quickly."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from core.content.faults import MAX_FAULTS, TemplateRefused
from core.content.limits import MAX_ALL_TAGS
from core.content.links import LinkPolicy
from core.content.rendering import compile_template
from core.content.templates import Button, MediaFacts, TemplateBody, TemplateSource, Variable, VariableType
from core.policy.people import Channel
from core.values import Moment, Money
from tests.unit.template_stand import NAME, WORDS, compiled, faults, push, source

MAX_S = 1.0
TEXTS = {
    "{{ name": "{{ is never closed by }}",
    "Hi {{ name }": "{{ is never closed by }}",
    "{% if name": "{% is never closed by %}",
    "{% if name %}x": "expected tag endif",
    "{% if name %}x{% endfor %}": "unexpected tag 'endfor'",
    "{% endif %}": "unexpected tag 'endif'",
    "{% if %}x{% endif %}": "missing expression",
    "{% if name %}x{% else if name %}y{% endif %}": "did you mean 'elsif'",
    "{% if name == %}x{% endif %}": "expected a primitive expression",
    "{% if name = 'a' %}x{% endif %}": "found '='",
    "{% unless name %}x": "expected tag endunless",
    "{% case name %}{% when 'a' %}x": "unexpected tag 'end of expression'",
    "{% for word in words %}x": "expected tag endfor",
    "{% for in words %}x{% endfor %}": "found in",
    "{% for word words %}x{% endfor %}": "expected in, found word",
    "{% for word in words limit: points %}x{% endfor %}": "written numbers",
    "{% for i in (1..points) %}x{% endfor %}": "from one written number",
    "{% for i in (1..51) %}x{% endfor %}": "at most 50",
    "{% for letter in name %}x{% endfor %}": "is no list",
    "{% assign = 1 %}": "found assign",
    "{% assign x %}": "expected '='",
    "{% assign name = 1 %}": "is taken",
    "{% assign user = 1 %}": "is taken",
    "{% raw %}x": "never closed by endraw",
    "{% include 'other' %}": "'include' is not allowed",
    "{% banner %}": "'banner' is not allowed",
    "{% %}": "no name",
    "{{ }}": "says nothing",
    "{{ {{ name }} }}": "begins inside another",
    "{{ nam }}": "'nam' is not declared",
    "{{ user }}": "'user' is not declared",
    "{{ Name }}": "is no name",
    "{{ name.first }}": "does not exist",
    "{{ amount.cents }}": "does not exist",
    "{{ name | shout }}": "'shout' does not exist",
    "{{ name | truncate }}": "takes 1 to 2 arguments",
    "{{ name | upcase: 1 }}": "takes 0 arguments",
    "{{ name | money }}": "cannot be applied to 'name', a text",
    "{{ amount | date }}": "cannot be applied to 'amount', a money",
    "{{ paid_at | date: '%d.%m.%Y' }}": "no pattern",
    "{{ points | money: 'DOLLAR' }}": "ISO 4217",
    "{{ rate | number: 99 }}": "0 to 6",
    "{{ name | default: other: 1 }}": "no named arguments",
    "{{ entries }}": "a list cannot be shown",
    "{% if amount > 100 %}x{% endif %}": "compare its .value",
    "{{ name | }}": "expected word",
    "{{ name upcase }}": "expected end of expression, found word",
    "{{ 'name }}": "unexpected",
    "\x00": "control character",
    "x" * 16_385: "longer than 16384 bytes",
}


def test_there_are_fifty() -> None:
    assert len(TEXTS) == 50


@pytest.mark.parametrize(("text", "why"), TEXTS.items(), ids=[text[:40] for text in TEXTS])
def test_a_malformed_text_is_refused_with_its_field_and_why(text: str, why: str) -> None:
    started = time.process_time()
    told = faults(text)
    assert time.process_time() - started < MAX_S
    assert any(why in one for one in told), told
    assert all(one.startswith("bodies[0].body") for one in told)
    assert all(len(one) < 400 for one in told)


def test_every_fault_of_every_text_is_told_with_its_line() -> None:
    bodies = (
        push("fine\n{{ one }}\n{{ two }}", title="{{ name | shout }}"),
        replace(
            push("{% if name %}{{ three }}{% endif %}", locale="de"),
            buttons=(Button("{{ four }}", "https://a.example/"),),
        ),
    )
    with pytest.raises(TemplateRefused) as caught:
        compile_template(source(*bodies))
    assert [str(fault) for fault in caught.value.faults] == [
        "bodies[0].title, line 1: the filter 'shout' does not exist",
        "bodies[0].body, line 2: 'one' is not declared",
        "bodies[0].body, line 3: 'two' is not declared",
        "bodies[1].body, line 1: 'three' is not declared",
        "bodies[1].buttons[0].label, line 1: 'four' is not declared",
    ]
    assert caught.value.field == "bodies[0].title"


def test_faults_beyond_a_hundred_are_counted_and_not_told() -> None:
    with pytest.raises(TemplateRefused) as caught:
        compiled(push("{{ x }}" * 300))
    assert len(caught.value.faults) == MAX_FAULTS
    assert caught.value.count == 300
    assert str(caught.value).endswith("and 200 more")


BODIES = {
    "body": TemplateBody(Channel.PUSH, "en"),
    "title": TemplateBody(Channel.EMAIL, "en", body="an e-mail without a subject"),
    "html": TemplateBody(Channel.PUSH, "en", body="x", html="<b>x</b>"),
    "subtitle": TemplateBody(Channel.SMS, "en", body="x", subtitle="x"),
    "buttons": TemplateBody(Channel.SMS, "en", body="x", buttons=(Button("Go", "https://a.example/"),)),
    "locale": TemplateBody(Channel.PUSH, "klingon", body="x"),
    "deep_link": TemplateBody(Channel.PUSH, "en", body="x", deep_link="wallet://pay"),
    "image_url": TemplateBody(Channel.PUSH, "en", body="x", image_url="https://a.example/virus.exe"),
    "video_url": replace(push("x"), video_url="https://a.example/a.mp4", video=MediaFacts(60 * 2**20)),
    "buttons[0].link": TemplateBody(Channel.PUSH, "en", body="x", buttons=(Button("Go", "javascript:alert(1)"),)),
    "buttons[0]": TemplateBody(Channel.PUSH, "en", body="x", buttons=(Button("", ""),)),
}  # fmt: skip


@pytest.mark.parametrize(("field", "body"), BODIES.items(), ids=BODIES)
def test_a_body_that_its_channel_cannot_show_is_refused(field: str, body: TemplateBody) -> None:
    told = faults(body)
    assert any(one.startswith(f"bodies[0].{field}") for one in told), told


def test_more_than_four_buttons_are_refused() -> None:
    button = Button("Go", "https://a.example/")
    assert faults(replace(push("x"), buttons=(button,) * 5)) == ["bodies[0].buttons: are more than 4"]


DECLARATIONS = {
    "variables[0].name": Variable("user", VariableType.TEXT),
    "variables[0].name: a name has no prefix": Variable("device.id", VariableType.TEXT),
    "variables[0].name: must be": Variable("__class__", VariableType.TEXT),
    "variables[0].default_value: is not a whole number": Variable("n", VariableType.INTEGER, default="1"),
    "variables[0].default_value: has no currency": Variable("m", VariableType.MONEY, default=Money(1, "GOLD")),
    "variables[0].default_value: is outside": Variable("t", VariableType.TIME, default=Moment(-1)),
    "variables[0].default_value: has the scheme": Variable("u", VariableType.URL, default="http://a.example/"),
    "variables[0].fields: only a list": Variable("n", VariableType.TEXT, fields=(NAME,)),
    "variables[0].fields[0].type: a list within": Variable("n", VariableType.LIST, fields=(WORDS,)),
}  # fmt: skip


@pytest.mark.parametrize(("why", "variable"), DECLARATIONS.items(), ids=DECLARATIONS)
def test_a_variable_that_cannot_be_is_refused(why: str, variable: Variable) -> None:
    with pytest.raises(TemplateRefused) as caught:
        compile_template(source(push("x"), variables=(variable,)))
    assert any(str(fault).startswith(why) for fault in caught.value.faults), caught.value.faults


def refused(template: TemplateSource, links: LinkPolicy | None = None) -> list[str]:
    with pytest.raises(TemplateRefused) as caught:
        compile_template(template, links or LinkPolicy())
    return [str(fault) for fault in caught.value.faults]


def test_what_a_template_says_of_itself_is_checked() -> None:
    template = source(push("x"), variables=(NAME, NAME))
    told = refused(replace(template, template_id="A B", category="", default_locale="tlh", tags=("",) * 17))
    starts = ("template_id", "category", "tags: are more", "tags[0]", "variables[1].name", "default_locale")
    assert [start for start in starts if not any(one.startswith(start) for one in told)] == []


def test_no_body_or_too_many_are_refused() -> None:
    assert "bodies: are missing" in refused(source())
    assert refused(source(*[push("x")] * 201)) == ["bodies: are more than 200"]


def test_one_locale_under_two_names_is_refused() -> None:
    assert refused(source(push("x", locale="zh-CN"), push("y", locale="zh-Hans-CN"))) == [
        "bodies[1].locale: zh-CN is there twice for push"
    ]


def test_a_default_locale_without_a_body_is_refused() -> None:
    assert refused(source(push("x", locale="de"), default="fr")) == ["default_locale: no body is in fr"]


def test_tags_of_all_texts_together_are_bounded() -> None:
    bodies = [push("{{ name }}" * 450, locale=f"en-{territory}") for territory in TERRITORIES]
    assert len(bodies) * 450 > MAX_ALL_TAGS
    assert "have 10350 tags of Liquid in all" in refused(source(*bodies))[0]


TERRITORIES = [f"{number:03}" for number in range(100, 123)]


def test_a_scheme_that_runs_code_cannot_be_an_apps_own() -> None:
    assert refused(source(push("x")), LinkPolicy(frozenset({"javascript"})))[0].startswith("links")
