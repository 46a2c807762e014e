"""Cutting never splits what a reader sees as one character, and never exceeds its limit."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from core.content.truncation import ELLIPSIS, byte_count, character_count, truncate, truncate_bytes

FAMILY = "👩‍👩‍👧‍👦"
FLAG = "🇩🇪"
MARKED = "e\u0301\u0323"
KEYCAP = "1️⃣"
DEVANAGARI = "क्षि"
PIECES = ["a", "界", " ", "\r\n", FAMILY, FLAG, MARKED, KEYCAP, DEVANAGARI, "👍🏽", "\u200d", "\u0301", "한", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=40)


def clusters(text: str) -> list[str]:
    return regex.findall(r"\X", text)


@pytest.mark.parametrize("character", [FAMILY, FLAG, MARKED, KEYCAP, "👍🏽", "\r\n"])
def test_what_is_seen_as_one_character_counts_as_one_and_stays_whole(character: str) -> None:
    assert character_count(f"a{character}b") == 3
    assert truncate(f"a{character}bcd", 3) == f"a{character}".rstrip() + ELLIPSIS
    assert truncate(f"a{character}bcd", 2) == "a" + ELLIPSIS


@given(TEXTS, st.integers(0, 30))
def test_a_cut_text_has_at_most_so_many_characters_and_begins_as_the_whole(text: str, limit: int) -> None:
    cut = truncate(text, limit)
    assert character_count(cut) <= limit
    if character_count(text) <= limit:
        assert cut == text
    else:
        kept = cut.removesuffix(ELLIPSIS) if limit else cut
        assert kept == "".join(clusters(text)[: max(limit - 1, 0)]).rstrip()


@given(TEXTS, st.integers(0, 120))
def test_a_text_cut_to_bytes_fits_and_ends_between_characters(text: str, limit: int) -> None:
    cut = truncate_bytes(text, limit)
    assert byte_count(cut) <= limit
    if byte_count(text) <= limit:
        assert cut == text
    else:
        kept = cut.removesuffix(ELLIPSIS)
        ends = {"".join(clusters(text)[:number]).rstrip() for number in range(len(clusters(text)) + 1)}
        assert kept in ends


def test_an_ellipsis_that_does_not_fit_is_left_out() -> None:
    assert truncate("abc", 2, "...") == "ab"
    assert truncate_bytes("abcd", 2) == "ab"
    assert truncate("abc", 0) == ""
