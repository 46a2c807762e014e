"""Readers get the nearest text, by CLDR's order of scripts, territories and parents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.content.locales import Tag, babel_locale, fallbacks, format_tag, parse_tag
from core.content.rendered import Reader, Rendered
from tests.unit.template_stand import compiled, push, show

TAGS = st.sampled_from([
    "zh", "zh-CN", "zh-TW", "zh-HK", "zh-MO", "zh-Hant", "zh-Hans-SG", "en", "en-GB", "en-AU", "en-US", "es-MX", "es",
    "pt-BR", "pt-AO", "sr-Latn", "sr", "sr-RS", "de-AT", "nb", "nn", "no", "ar-EG", "he", "iw", "fil", "hi-Latn",
])  # fmt: skip

CHOICES = {
    ("zh-Hans-CN", "zh-CN zh en"): "zh-CN",
    ("zh-CN", "zh-Hans en"): "zh",
    ("zh_CN", "zh en"): "zh",
    ("zh-SG", "zh en"): "zh",
    ("zh", "zh-CN en"): "zh-CN",
    ("zh-TW", "zh en"): "en",
    ("zh-TW", "zh zh-Hant en"): "zh-Hant",
    ("zh-HK", "zh-TW zh en"): "zh-TW",
    ("zh-MO", "zh-HK zh-TW en"): "zh-HK",
    ("en-AU", "en-GB en-001 en de"): "en-001",
    ("es-MX", "es-419 es en"): "es-419",
    ("pt-AO", "pt-PT pt en"): "pt-PT",
    ("sr-Latn", "sr en"): "en",
    ("nn", "no en"): "no",
    ("iw", "he en"): "he",
    ("fr-CA", "de en"): "de",
    ("", "de en"): "de",
    ("nonsense", "de en"): "de",
}


@pytest.mark.parametrize(("wanted", "there", "taken"), [(*key, taken) for key, taken in CHOICES.items()])
def test_a_reader_gets_the_nearest_locale_or_the_default(wanted: str, there: str, taken: str) -> None:
    locales = there.split()
    default = locales[0] if "default" in there or wanted in ("fr-CA", "", "nonsense") else locales[-1]
    bodies = [push(locale, locale=locale) for locale in sorted(locales, key=lambda one: one != default)]
    result = show(compiled(*bodies), reader=Reader(wanted, "UTC", "USD"))
    assert isinstance(result, Rendered)
    assert result.locale == taken


@given(TAGS, st.lists(TAGS, min_size=1, max_size=6))
def test_the_nearest_locale_is_the_first_of_the_readers_chain_that_is_there(wanted: str, there: list[str]) -> None:
    distinct = list({parse_tag(one): one for one in there}.values())
    result = show(compiled(*(push(one, locale=one) for one in distinct)), reader=Reader(wanted))
    assert isinstance(result, Rendered)
    tag, tags = parse_tag(wanted), [parse_tag(one) for one in distinct]
    assert tag is not None
    expected = next((one for one in fallbacks(tag) if one in tags), tags[0])
    assert result.locale == str(expected)


@given(TAGS)
def test_chains_begin_with_the_tag_and_end(text: str) -> None:
    tag = parse_tag(text)
    assert tag is not None
    chain = fallbacks(tag)
    assert chain[0] == tag
    assert len(set(chain)) == len(chain) <= 6
    assert parse_tag(str(tag)) == tag
    assert babel_locale(tag).language in {one.language for one in chain}


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{1,8}){0,4}", fullmatch=True))
def test_any_text_is_a_tag_or_none(text: str) -> None:
    tag = parse_tag(text)
    assert tag is None or babel_locale(tag) is not None


def test_amounts_are_written_as_the_reader_does_where_the_language_is_the_same() -> None:
    british, american, german = Tag("en", "Latn", "GB"), Tag("en", "Latn"), Tag("de", "Latn", "DE")
    assert format_tag(british, american) == british
    assert format_tag(german, american) == american
    assert format_tag(None, american) == american
