"""Values are taken as their variables say: the quick look at them finds what the whole one does."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.content.filling import AMOUNT, ITSELF, WRITTEN, Binder, Filler
from core.content.links import HTTPS_ONLY
from core.content.templates import Raw, Values, Variable, VariableType
from core.content.values import Input, MissingValue, WrongValue, reader_of
from core.values import Moment, Money

CURRENCIES = st.sampled_from(["USD", "JPY", "", "XXX", "usd", "US"])
INTEGERS = st.integers(-(2**64), 2**64) | st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) + 1])
ANY_VALUE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["a" * 1_024, "a" * 1_025, "é" * 512, "é" * 513, "\x7f", "\n", "a\x00", "", "https://a.example/"]),
    INTEGERS,
    st.floats(),
    st.booleans(),
    st.builds(Moment, INTEGERS),
    st.dates(),
    st.builds(Money, INTEGERS, CURRENCIES),
    st.just(datetime(2026, 1, 1)),  # noqa: DTZ001
    st.just((1, "USD")),
    st.just(["a"]),
)


def input_of(variable: Variable) -> Input:
    read = reader_of(variable, HTTPS_ONLY)
    return Input(variable.name, 0, variable.name, variable.type, variable.required, variable.default, read)


@given(ANY_VALUE, st.sampled_from(VariableType), st.sampled_from(["EUR", ""]))
def test_a_value_is_taken_or_refused_as_its_type_says(value: Raw, kind: VariableType, currency: str) -> None:
    one = input_of(Variable("x", kind))
    try:
        expected: object = one.read(value, currency)
    except WrongValue:
        with pytest.raises(WrongValue, match=r"^x "):
            Binder((one,)).bind(Values({"x": value}), currency)
    else:
        found = Binder((one,)).bind(Values({"x": value}), currency)
        assert found == [expected]
        assert type(found[0]) is type(expected)


def test_values_come_from_their_source_in_the_order_of_the_inputs() -> None:
    read = reader_of(None, HTTPS_ONLY)
    inputs = tuple(
        Input(f"{source}.x", place, "x", None, required=False, default=None, read=read)
        for place, source in enumerate(Values._fields)
    )
    assert Binder(inputs).bind(Values({"x": 1}, {"x": "a"}, {}, {"x": date(2026, 1, 1)}), "") == [
        1,
        "a",
        None,
        date(2026, 1, 1),
    ]


def test_a_missing_value_is_told_by_name_unless_it_is_optional_or_has_a_default() -> None:
    optional = input_of(Variable("a", VariableType.TEXT, required=False))
    with_default = input_of(Variable("b", VariableType.MONEY, default=Money(5)))
    needed = input_of(Variable("c", VariableType.TEXT))
    assert Binder((optional, with_default)).bind(Values(), "EUR") == [None, Money(5, "EUR")]
    with pytest.raises(MissingValue, match="c"):
        Binder((needed,)).bind(Values(), "EUR")


def test_a_text_is_filled_from_its_values_every_time_anew() -> None:
    fill = Filler(["<", None, "|", None, ">"], [(1, 1, ITSELF, None), (3, 0, WRITTEN, str)], [(2, lambda bound: "+")])
    assert fill([1, "a"]) == "<a+1>"
    assert fill([2, "b"]) == "<b+2>"


def test_what_would_not_fit_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Filler(["a"], [(1, 0, ITSELF, None)], [])
    with pytest.raises(TypeError, match="AmountWriter"):
        Filler(["a"], [(0, 0, AMOUNT, str)], [])
    with pytest.raises(IndexError, match="fewer values"):
        Filler(["a"], [(0, 3, ITSELF, None)], [])([1])
    with pytest.raises(TypeError):
        Filler(["a"], [(0, 0, ITSELF, None)], [])([1])
