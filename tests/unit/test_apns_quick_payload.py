"""The quick way of writing an alert leaves out nothing and adds nothing: to the byte it is the general way's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.apns.payload import render
from adapters.apns.quick_payload import render_alerts
from core.content.limits import APNS_MAX_BYTES
from core.content.message import ApnsOptions, Content
from core.delivery import Notification
from core.errors import ContentRefused
from core.model import PushType

ENVELOPE = object()
ODD = ['"', "\\", "\0", "\b", "\t", "\n", "\f", "\r", "\x1f", "\x7f", "/", "\u2028", "付", "😀", "é", "</script>"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(st.sampled_from(ODD)).map("".join)
KEYS = TEXT | st.sampled_from(["aps", "deep_link", "image_url", "video_url", "kind"])
CONTENT = st.builds(
    Content, title=TEXT, body=TEXT, image_url=TEXT, video_url=TEXT, deep_link=TEXT, badge=st.integers(-1, 99_999),
    sound=TEXT | st.just("none"), thread_key=TEXT, data=st.none() | st.dictionaries(KEYS, TEXT, max_size=4),
    pass_type_id=st.just(""), apns=st.none(), fcm=st.none(),
)  # fmt: skip


def notification(content: Content | None, push_type: int = PushType.ALERT) -> Notification:
    return Notification("t", "a", "", 1, push_type, b"", 0, 0, 1, 0, 0, (), (), content)


def quick(content: Content, max_bytes: int = APNS_MAX_BYTES) -> bytes | None:
    (parts,) = render_alerts([notification(content)], max_bytes, ENVELOPE)
    assert parts is None or parts[1] is ENVELOPE
    return None if parts is None else parts[0]


@given(CONTENT)
@settings(max_examples=600)
def test_both_ways_write_the_same_bytes(content: Content) -> None:
    payload = quick(content)
    if payload is None:
        assert content.data is not None
        assert content.data.keys() & {"aps", "deep_link", "image_url", "video_url"}
    else:
        assert payload == render(content, PushType.ALERT, 0)


@pytest.mark.parametrize("byte", ["x", '"', "\0", "付"])
@pytest.mark.parametrize("beyond", range(-2, 3))
def test_what_is_too_large_is_left_to_the_general_way(byte: str, beyond: int) -> None:
    empty = len(render(Content(title="a", body=""), PushType.ALERT, 0)) + len(',"body":""')
    width = len(render(Content(title=byte), PushType.ALERT, 0)) - len(render(Content(title="a"), PushType.ALERT, 0)) + 1
    room = 4_096 - empty + beyond
    content = Content(title="a" * (1 + room % width), body=byte * (room // width))
    try:
        expected: bytes | None = render(content, PushType.ALERT, 0)
    except ContentRefused:
        expected = None
    assert (quick(content), expected is None) == (expected, beyond > 0)


@given(st.integers(0, 4_096))
def test_a_smaller_limit_is_kept(limit: int) -> None:
    content = Content(title="Paid", body="x" * 300, data={"a": "b"})
    expected = render(content, PushType.ALERT, 0)
    assert quick(content, limit) == (expected if len(expected) <= limit else None)


@pytest.mark.parametrize(
    "other",
    [
        notification(Content(title="x"), PushType.BACKGROUND), notification(None),
        notification(Content(title="x", apns=ApnsOptions())), notification(Content(pass_type_id="pass.a")),
    ],
)  # fmt: skip
def test_what_is_no_plain_alert_is_left_to_the_general_way(other: Notification) -> None:
    plain = notification(Content(title="x"))
    first, second, third = render_alerts([plain, other, plain], APNS_MAX_BYTES, ENVELOPE)
    assert (first == third, second) == (True, None)
    assert first is not None
