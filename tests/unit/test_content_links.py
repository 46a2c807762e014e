"""Links lead where the author wrote, and media are what platforms show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.content import media
from core.content.links import LinkPolicy, encode, link_fault
from core.content.rendered import NotRendered, Refusal, Rendered
from core.content.templates import MediaFacts, TemplateBody
from core.policy.people import Channel
from tests.unit.template_stand import compiled, faults, push, show

WALLET = LinkPolicy(frozenset({"wallet"}))
GOOD = (
    "https://a.example",
    "https://a.example/",
    "https://a.example:8443/b?c=d#e",
    "https://xn--bcher-kva.example/%E7%95%8C",
)
BAD = (
    "", "a.example", "//a.example/", "http://a.example/", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
    "data:text/html,x", "file:///etc/passwd", "intent://x#Intent;end", "https:a.example", "https:///a", "https://", "https://u:p@a.example/",
    "https://a.example@evil.example/", "https://a.example\\@evil.example/", "https://a.example/ b", "https://a.example/\n",
    "https://界.example/", "https://-a.example/", "wallet://pay", "https://a.example/" + "a" * 2_048,
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_https_is_a_link(url: str) -> None:
    assert link_fault(url) == ""


@pytest.mark.parametrize("url", BAD)
def test_anything_else_is_none(url: str) -> None:
    assert link_fault(url)


def test_an_app_may_have_schemes_of_its_own_for_deep_links_but_not_for_media() -> None:
    body = replace(push("x"), deep_link="wallet://pay?to={{ name }}")
    result = show(compiled(body, links=WALLET), {"name": "a&b=c#d"})
    assert isinstance(result, Rendered)
    assert result.deep_link == "wallet://pay?to=a%26b%3Dc%23d"
    assert faults(body)
    assert faults(replace(push("x"), image_url="wallet://image.png"), WALLET)


@given(st.text(max_size=40))
def test_an_encoded_value_has_no_meaning_in_a_url(text: str) -> None:
    assert set(encode(text)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")
    assert link_fault(f"https://a.example/{encode(text)}") == ""


STARTS = (
    "{{ name }}", "{{ name }}://a", "https://{{ name }}/", "https://a.example{{ name }}", "javascript:{{ name }}",
    "{{ page | append: 'x' }}", "{% comment %}{% endcomment %}https://{{ name }}/", " {{ page }}",
    "{% if vip %}https://{% endif %}{{ name }}", "{% assign x = 'https:' %}{{ x }}//{{ name }}",
)  # fmt: skip


@pytest.mark.parametrize("link", STARTS)
def test_no_value_can_change_where_a_link_leads(link: str) -> None:
    assert faults(replace(push("x"), deep_link=link))


def test_a_url_variable_is_a_whole_link_and_encoded_within_one() -> None:
    body = replace(push("x"), deep_link="{{ page }}")
    result = show(compiled(body))
    assert isinstance(result, Rendered)
    assert result.deep_link == "https://example.com/receipt?id=1"
    result = show(compiled(replace(body, deep_link="https://a.example/?back={{ page }}")))
    assert isinstance(result, Rendered)
    assert result.deep_link == "https://a.example/?back=https%3A%2F%2Fexample.com%2Freceipt%3Fid%3D1"


def test_a_link_that_values_spoil_fails_for_that_reader_only() -> None:
    template = compiled(replace(push("x"), deep_link="https://a.example/{{ name }}"))
    bad, good = show(template, {"name": "界" * 300}), show(template)
    assert isinstance(bad, NotRendered)
    assert (bad.reason, bad.field) == (Refusal.WRONG_LINK, "deep_link")
    assert isinstance(good, Rendered)


MB = 2**20
JUDGED = {
    ("https://a.example/a.jpg", 0, "", Channel.PUSH): ("", 0),
    ("https://a.example/a.PNG?x=1", 1 * MB, "", Channel.PUSH): ("", 0),
    ("https://a.example/a.jpg", 5 * MB, "", Channel.PUSH): ("", 1),
    ("https://a.example/a.gif", 0, "", Channel.PUSH): ("", 1),
    ("https://a.example/a.jpg", 11 * MB, "", Channel.PUSH): ("iOS shows at most 10 MB; Android shows at most 1 MB", 0),
    ("https://a.example/a.svg", 0, "", Channel.PUSH): ("has the ending of a type that is not known", 0),
    ("https://a.example/image", 0, "", Channel.PUSH): ("", 0),
    ("https://a.example/image", 0, "image/tiff", Channel.PUSH): (
        "iOS shows no image/tiff; Android shows no image/tiff",
        0,
    ),
    ("https://a.example/a.jpg", 2 * MB, "", Channel.WEB_PUSH): ("browsers shows at most 1 MB", 0),
}


@pytest.mark.parametrize(
    ("url", "size", "kind", "channel", "fault", "warnings"), [(*key, *value) for key, value in JUDGED.items()]
)
def test_images_are_judged_by_type_and_size(
    url: str, size: int, kind: str, channel: Channel, fault: str, warnings: int
) -> None:
    verdict = media.judge(url, MediaFacts(size, kind), media.IMAGES[channel])
    assert verdict.fault.startswith(fault)
    assert bool(verdict.fault) == bool(fault)
    assert len(verdict.warnings) == warnings


def test_a_warning_of_media_is_told_with_the_template() -> None:
    body = TemplateBody(Channel.PUSH, "en", body="x", image_url="https://a.example/a.jpg", image=MediaFacts(5 * MB))
    assert [str(one) for one in compiled(body).warnings] == ["bodies[0].image_url: Android shows at most 1 MB"]


def test_videos_are_judged_too() -> None:
    assert media.judge("https://a.example/a.mp4", MediaFacts(49 * MB), media.VIDEOS[Channel.PUSH]).fault == ""
    assert media.judge("https://a.example/a.mp4", MediaFacts(51 * MB), media.VIDEOS[Channel.PUSH]).fault
    assert media.judge("https://a.example/a.jpg", MediaFacts(), media.VIDEOS[Channel.PUSH]).fault
