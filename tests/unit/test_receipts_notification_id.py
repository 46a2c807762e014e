"""The 16 bytes that name a notification."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.notification_id import format_id, format_id_many, make_id, make_id_many, parse_id, parse_id_text

UNIX_MS = st.integers(0, 2**48 - 1)
JOURNALS = st.integers(0, 4095)
SEGMENTS = st.integers(0, 2**46 - 1)


@given(UNIX_MS, JOURNALS, SEGMENTS, st.integers(1, 1000))
def test_ids_of_a_segment_tell_their_parts(unix_ms: int, journal: int, segment: int, count: int) -> None:
    ids = make_id_many(unix_ms, journal, segment, count)
    assert len(ids) == 16 * count
    for index in {0, count // 2, count - 1}:
        one = ids[16 * index : 16 * index + 16]
        assert parse_id(one) == (unix_ms, journal, segment, index)
        assert one == make_id(unix_ms, journal, segment, index)
        named = uuid.UUID(bytes=one)
        assert (named.version, named.variant) == (8, uuid.RFC_4122)
        assert format_id(one) == str(named)
        assert parse_id_text(str(named)) == parse_id_text(str(named).upper()) == one
    assert format_id_many(ids) == [format_id(ids[at : at + 16]) for at in range(0, len(ids), 16)]


@pytest.mark.parametrize(
    ("unix_ms", "journal", "segment", "count"),
    [
        (-1, 0, 0, 1), (2**48, 0, 0, 1), (0, -1, 0, 1), (0, 4096, 0, 1), (0, 0, -1, 1), (0, 0, 2**46, 1), (0, 0, 0, 0),
        (0, 0, 0, 65537),
    ],
)
def test_parts_that_do_not_fit_are_refused(unix_ms: int, journal: int, segment: int, count: int) -> None:
    with pytest.raises(ValueError, match=r"no id has|a segment holds"):
        make_id_many(unix_ms, journal, segment, count)


def test_largest_index_fits_and_the_next_is_refused() -> None:
    assert parse_id(make_id(1, 2, 3, 65535)) == (1, 2, 3, 65535)
    with pytest.raises(ValueError, match="index"):
        make_id(1, 2, 3, 65536)


@pytest.mark.parametrize("foreign", [b"", bytes(15), bytes(17), bytes(16), uuid.uuid4().bytes, b"\xff" * 16])
def test_bytes_that_are_not_ours_are_refused(foreign: bytes) -> None:
    with pytest.raises(ValueError, match="notification"):
        parse_id(foreign)


@pytest.mark.parametrize(
    "text",
    [
        "", "x" * 36, "018bcfe5-6800-8005-8000-00000009000", "018bcfe5-6800-8005-8000-0000000900011",
        "018bcfe56800-8005-8000-0000000900010-", "018bcfe5-6800-4005-8000-000000090001",
        "018bcfe5-6800-8005-0000-000000090001", "018bcfe5-6800-8005-8000-0000000 9001",
        "018bcfe5-6800-8005-8000-00000009000é", "018bcfe5-6800-8005-8000-0000    9001",
    ],
)
def test_texts_that_are_not_ours_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several messages, bytes.fromhex's own among them
        parse_id_text(text)


def test_many_texts_need_whole_ids() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        format_id_many(bytes(17))
