"""Cursors: a place in every journal as text, and nothing else is taken for one."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from gateway.cursor import Position, format_cursor, parse_cursor

POSITIONS = st.dictionaries(
    st.integers(0, 4_095), st.builds(Position, st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)), max_size=30
)


@given(POSITIONS)
def test_a_cursor_gives_back_its_positions(positions: dict[int, Position]) -> None:
    assert parse_cursor(format_cursor(positions)) == positions


@given(POSITIONS)
def test_a_cursor_travels_in_a_url_and_does_not_depend_on_order(positions: dict[int, Position]) -> None:
    text = format_cursor(positions)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")
    assert format_cursor(dict(reversed(positions.items()))) == text


@given(st.text(max_size=100) | st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_other_text_is_refused_or_means_positions(text: str) -> None:
    try:
        positions = parse_cursor(text)
    except InvalidRequest:
        return
    assert all(0 <= position.seq < 2**63 for position in positions.values())


@given(POSITIONS, st.data())
def test_a_cursor_that_lost_characters_is_refused(positions: dict[int, Position], data: st.DataObject) -> None:
    text = format_cursor(positions)
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(InvalidRequest):
        parse_cursor(text[:-cut])


@pytest.mark.parametrize("seq", [2**63, 2**64 - 1])
def test_a_row_that_no_store_can_have_is_refused(seq: int) -> None:
    with pytest.raises(InvalidRequest):
        parse_cursor(format_cursor({0: Position(seq)}))


def test_more_journals_than_there_can_be_are_refused() -> None:
    assert len(parse_cursor(format_cursor({number: Position(1) for number in range(4_096)}))) == 4_096
    with pytest.raises(InvalidRequest):
        parse_cursor(format_cursor({number: Position(1) for number in range(4_097)}))


def test_another_version_is_refused() -> None:
    raw = base64.urlsafe_b64decode(format_cursor({}) + "==")
    with pytest.raises(InvalidRequest):
        parse_cursor(base64.urlsafe_b64encode(b"\2" + raw[1:]).decode())
