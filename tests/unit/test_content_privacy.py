"""The one rule of locked screens: what may be seen before unlocking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.content.masks import mask_card, mask_name, mask_phone
from core.content.privacy import Privacy, applied, general_text, privacy_of
from core.content.rendered import Rendered
from core.content.templates import Button, TemplateBody
from core.policy.people import Channel, LockScreenDetail
from tests.unit.template_stand import compiled, private, push, show, text

BODY = "{{ name }} paid {{ amount | money }} with {{ card }} at {{ merchant }}"


def test_full_shows_everything() -> None:
    assert text(BODY) == "Ana paid $1,250.50 with 4111111111111111 at Corner Coffee"


def test_masked_shows_dots_for_what_is_sensitive() -> None:
    assert text(BODY, reader=private(Privacy.MASKED)) == "Ana paid ••• with ••• at Corner Coffee"


def test_hidden_shows_only_that_there_is_something() -> None:
    body = replace(
        push(BODY, title="{{ merchant }}"),
        subtitle="x",
        image_url="https://a.example/a.jpg",
        deep_link="https://a.example/{{ name }}",
        sound="coin.caf",
        buttons=(Button("Pay {{ amount }}", "https://a.example/"),),
    )
    result = show(compiled(body), reader=private(Privacy.HIDDEN))
    assert result == Rendered(
        Channel.PUSH, "en", body="You have a new notification", deep_link="https://a.example/Ana", sound="coin.caf"
    )


def test_filters_mask_what_is_not_declared_sensitive_too() -> None:
    source = "{{ merchant | mask_name }} {{ merchant | mask_balance }}"
    assert text(source) == "Corner Coffee Corner Coffee"
    assert text(source, reader=private(Privacy.MASKED)) == "C••• •••"


def test_a_mask_filter_may_show_less_than_the_dots_of_a_sensitive_value() -> None:
    assert text("{{ card | mask_card }}") == "•••• 1111"
    assert text("{{ card | mask_card }}", reader=private(Privacy.MASKED)) == "••••"


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.EMAIL, Channel.IN_APP])
def test_what_is_read_after_unlocking_is_not_masked(channel: Channel) -> None:
    template = compiled(TemplateBody(channel, "en", title="x" if channel is not Channel.SMS else "", body=BODY))
    for privacy in Privacy:
        result = show(template, reader=private(privacy), channel=channel)
        assert isinstance(result, Rendered)
        assert "$1,250.50" in result.body
        assert applied(privacy, channel) is Privacy.FULL


def test_links_are_not_masked_since_nobody_sees_them() -> None:
    body = replace(push("x"), deep_link="https://a.example/{{ card }}")
    result = show(compiled(body), reader=private(Privacy.MASKED))
    assert isinstance(result, Rendered)
    assert result.deep_link == "https://a.example/4111111111111111"


def test_a_users_wish_goes_before_the_apps_default() -> None:
    assert privacy_of(LockScreenDetail.UNSET, Privacy.HIDDEN) is Privacy.HIDDEN
    assert privacy_of(LockScreenDetail.MASKED, Privacy.FULL) is Privacy.MASKED
    assert privacy_of(LockScreenDetail.FULL, Privacy.HIDDEN) is Privacy.FULL


def test_the_general_sentence_is_in_the_language_of_the_text() -> None:
    assert general_text("zh", "Hans") == "您有一条新通知"
    assert general_text("zh", "Hant") == "您有一則新通知"
    assert general_text("eo", "Latn") == general_text("en")


MASKS = {
    (mask_card, "4111 1111 1111 1234"): ("•••• 1234", "••••"),
    (mask_card, "12"): ("••••", "••••"),
    (mask_card, "no digits"): ("••••", "••••"),
    (mask_phone, "+86 138 1234 5678"): ("+•• ••• •••• 5678", "+•• ••• •••• ••78"),
    (mask_phone, "12345"): ("•••45", "•••45"),
    (mask_phone, "1"): ("•", "•"),
    (mask_name, "王小明"): ("王小明", "王•••"),
    (mask_name, "👩‍👩‍👧 Ana"): ("👩‍👩‍👧 Ana", "👩‍👩‍👧•••"),
    (mask_name, ""): ("", "•••"),
}


@pytest.mark.parametrize(("case", "shown"), MASKS.items(), ids=range(len(MASKS)))
def test_masks_hide_digits_and_names(case: tuple[object, str], shown: tuple[str, str]) -> None:
    mask, value = case
    assert callable(mask)
    assert (mask(value, locked=False), mask(value, locked=True)) == shown
