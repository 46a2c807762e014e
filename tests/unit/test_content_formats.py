"""Amounts, numbers and times are written as Babel writes them, in the reader's locale and zone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from babel import Locale
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from core.content.formats import Formats
from core.content.locales import Tag, parse_tag
from core.content.money import exponent, major_units, money_format
from core.values import Moment, Money
from tests.unit.template_stand import NOW_UNIX_S, text

NOON = Moment(NOW_UNIX_S * 1_000)
NBSP = "\xa0"


def tag(locale: str) -> Tag:
    found = parse_tag(locale)
    assert found is not None
    return found


# Babel loses the groups where their separator is an apostrophe (Switzerland), since it reads that as a quote.
LOCALES = st.sampled_from([
    "en-US", "zh-CN", "de-DE", "fr-FR", "es-MX", "pl-PL", "hi-IN", "ar-EG", "ja-JP", "pt-PT", "fa", "he", "nl", "sv",
    "de-AT", "lv", "bg", "en-IN", "bn", "th", "vi", "id", "tr", "ru", "ko",
])  # fmt: skip


@given(
    LOCALES, st.sampled_from(["USD", "EUR", "JPY", "CNY", "INR", "BHD", "CHF", "PLN"]), st.integers(-(10**15), 10**15)
)
def test_amounts_are_written_as_babel_does(locale: str, currency: str, minor_units: int) -> None:
    mine = money_format(tag(locale), currency).text(minor_units)
    babels = format_currency(major_units(minor_units, currency), currency, locale=Locale.parse(locale, sep="-"))
    # CLDR's space between a symbol of letters and the digits, which Babel does not add.
    assert mine.replace(NBSP, "") == babels.replace(NBSP, "")


AMOUNTS = {
    ("en-US", "USD", 125_050): "$1,250.50",
    ("zh-CN", "CNY", 125_050): "¥1,250.50",
    ("de-DE", "EUR", -125_050): "-1.250,50\xa0€",
    ("de-CH", "CHF", 123_456_789): "CHF\xa01’234’567.89",
    ("en-US", "CHF", 100): "CHF\xa01.00",
    ("ja-JP", "JPY", 1_250): "¥1,250",
    ("en-IN", "INR", 123_456_789): "₹12,34,567.89",
    ("en-US", "BHD", 1_250): "BHD\xa01.250",
    # CLDR shows no fillér, but 1,550 of them are 15.50 forints and not 1,550.
    ("en-US", "HUF", 150_000): "HUF\xa01,500",
    ("en-US", "HUF", 1_550): "HUF\xa015.50",
}


@pytest.mark.parametrize(("locale", "currency", "minor", "shown"), [(*key, shown) for key, shown in AMOUNTS.items()])
def test_minor_units_are_those_of_iso_4217(locale: str, currency: str, minor: int, shown: str) -> None:
    assert money_format(tag(locale), currency).text(minor).replace("'", "’").replace("￥", "¥") == shown


def test_currencies_have_iso_digits_where_cldr_shows_fewer() -> None:
    assert (exponent("HUF"), get_currency_precision("HUF")) == (2, 0)
    assert (exponent("KWD"), exponent("JPY"), exponent("EUR")) == (3, 0, 2)


def test_times_are_shown_in_the_readers_zone_and_an_unknown_zone_is_told() -> None:
    assert Formats(tag("en-US"), "Asia/Shanghai").time(NOON) == "4:00\u202fPM"
    assert Formats(tag("zh-CN"), "Asia/Shanghai").datetime(NOON) == "2027年1月15日 16:00:00"
    assert Formats(tag("en-US"), "").time(NOON) == "8:00\u202fAM UTC"
    assert Formats(tag("en-US"), "Atlantis/City").datetime(NOON) == "Jan 15, 2027, 8:00:00\u202fAM UTC"
    assert Formats(tag("en-US"), "UTC").time(NOON) == "8:00\u202fAM"


def test_a_day_is_that_of_the_readers_zone() -> None:
    late = Moment(1_799_971_200_000 + 23 * 3_600_000)
    assert Formats(tag("en-US"), "America/New_York").date(late) == "Jan 15, 2027"
    assert Formats(tag("en-US"), "Asia/Shanghai").date(late) == "Jan 16, 2027"
    assert Formats(tag("de"), "UTC").date(date(2027, 1, 2), "long") == "2. Januar 2027"


@pytest.mark.parametrize(
    ("locale", "days", "words"),
    [("en", 0, "today"), ("en", 1, "tomorrow"), ("en", -1, "yesterday"), ("en", 3, "in 3 days"),
     ("en", -400, "400 days ago"), ("zh-CN", 2, "后天"), ("de", 1, "morgen"), ("fr", -3, "il y a 3 jours")],
)  # fmt: skip
def test_days_are_told_relative_to_now(locale: str, days: int, words: str) -> None:
    day = Moment((NOW_UNIX_S + days * 86_400) * 1_000)
    assert Formats(tag(locale), "UTC").relative_day(day, NOW_UNIX_S) == words


def test_numbers_follow_the_locale_and_plain_ones_have_no_exponent() -> None:
    german = Formats(tag("de"))
    assert german.number(Decimal("1234567.5")) == "1.234.567,5"
    assert german.number(Decimal("1234.5"), 2) == "1.234,50"
    assert german.percent(Decimal("0.1255"), 1) == "12,6\xa0%"
    assert german.text(1e20) == "100000000000000000000"
    assert german.text(0.1) == "0.1"
    assert german.text(1234567) == "1234567"
    with pytest.raises(TypeError):
        german.text([1])


FILTERED = {
    "{{ name | upcase }} {{ name | truncate: 2 }} {{ name | size }}": "ANA A… 3",
    "{{ points | number }} {{ points | plus: 1 }} {{ points | divided_by: 10 }}": "1,234 1235 123",
    "{{ points | times: 0.5 }}": "617",
    "{{ rate | percent: 1 }} {{ rate | round: 2 }}": "12.5% 0.13",
    "{{ amount | money }} {{ points | money: 'JPY' }}": "$1,250.50 ¥1,234",
    "{{ amount.value }} {{ amount.currency }} {{ amount.minor }}": "1250.5 USD 125050",
    "{{ paid_at | date }} {{ paid_at | time: 'medium' }}": "Jan 15, 2027 8:00:00\u202fAM",
    "{{ paid_at | relative_day }}": "today",
    "{{ nick | default: 'friend' }} {{ user.city | default: 'here' }}": "friend here",
    "{{ name | replace: 'n', 'NN' | append: '!' | prepend: '<' }}": "<ANNa!",
    "{{ words | join }} {{ words | first }} {{ words.last }} {{ words[0] }} {{ words.size }}": "one, two one two one 2",
    "{% for e in entries %}{{ forloop.index }} {{ e.label }} {{ e.price }};{% endfor %}": "1 tea $3.00;2 cake $4.50;",
    "{% assign half = points | divided_by: 2.0 %}{{ half }}": "617",
    "{% case name %}{% when 'Ana', 'Bo' %}known{% else %}new{% endcase %}": "known",
    "{% if amount.value > 1000 and vip %}big{% elsif points %}some{% else %}none{% endif %}": "big",
    "{% unless vip %}join{% else %}thanks{% endunless %}": "thanks",
    "{% for w in words reversed %}{% if w == 'one' %}{% break %}{% endif %}{{ w }}{% endfor %}": "two",
}


@pytest.mark.parametrize(("source", "shown"), FILTERED.items(), ids=range(len(FILTERED)))
def test_filters_and_tags_do_what_authors_expect(source: str, shown: str) -> None:
    assert text(source) == shown


def test_an_amount_without_currency_takes_the_readers() -> None:
    assert text("{{ amount }}", {"amount": Money(500)}) == "$5.00"
