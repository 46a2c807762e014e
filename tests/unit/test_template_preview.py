"""Authors see how a message looks on each platform, and what would be cut, missing or dear."""

from __future__ import annotations

import pytest

from core.content.preview import preview
from core.content.rendered import Reader
from core.content.templates import TemplateBody, Values
from core.errors import ContentRefused
from core.policy.people import Channel
from tests.unit.template_stand import DATA, ENGLISH, NOW_UNIX_S, compiled, push


def test_each_platform_shows_its_part_and_tells_the_length() -> None:
    template = compiled(push("界" * 200, title="Hi {{ name }}"))
    found = preview(template, Channel.PUSH, ENGLISH, Values(DATA), NOW_UNIX_S)
    ios, android = found.looks
    assert (ios.platform, ios.title, ios.title_cut, ios.body_count, ios.body_cut) == ("iOS", "Hi Ana", False, 200, True)
    assert ios.body == "界" * 177 + "…"
    assert (android.platform, android.body, android.body_cut) == ("Android", "界" * 200, False)
    assert found.warnings == ("iOS would cut the body of 200 characters",)
    assert found.sms is None


def test_a_text_message_tells_its_parts() -> None:
    template = compiled(TemplateBody(Channel.SMS, "en", body="{{ name }}" + "界" * 80))
    found = preview(template, Channel.SMS, ENGLISH, Values(DATA), NOW_UNIX_S)
    assert found.sms is not None
    assert (found.sms.segments, found.sms.encoding) == (2, "UCS-2")
    assert found.warnings == ("takes 2 text messages of 67 units each, in UCS-2",)
    assert found.looks == ()


@pytest.mark.parametrize(
    ("locale", "warning"),
    [("fr", "there is no text in fr; en is shown"), ("tlh", "tlh is no locale that is known; en is shown")],
)
def test_another_language_than_asked_for_is_told(locale: str, warning: str) -> None:
    template = compiled(push("x"))
    assert warning in preview(template, Channel.PUSH, Reader(locale), Values(DATA), NOW_UNIX_S).warnings
    assert preview(template, Channel.PUSH, Reader("en-GB"), Values(DATA), NOW_UNIX_S).warnings == ()


def test_missing_variables_that_this_text_does_not_use_are_told() -> None:
    found = preview(compiled(push("x")), Channel.PUSH, ENGLISH, Values({}), NOW_UNIX_S)
    assert "variables[name] is missing" in found.warnings


def test_a_message_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ContentRefused):
        preview(compiled(push("{{ name }}")), Channel.PUSH, ENGLISH, Values({}), NOW_UNIX_S)


def test_what_was_cut_to_fit_the_payload_is_told() -> None:
    template = compiled(push("a" * 3_000))
    assert (
        "Android would cut the body of 2046 characters"
        in preview(template, Channel.PUSH, ENGLISH, Values(DATA), NOW_UNIX_S).warnings
    )
