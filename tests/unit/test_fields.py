"""Single fields: what is bounded by bytes, what may stand in a header, which links and tokens have a form."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.model import Provider
from gateway.fields import bounded, check_token, deep_link, header_safe, https_url, required, timestamp_unix_ms

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
CONTROLS = frozenset(map(chr, [*range(32), 127])) - {"\t", "\n", "\r"}


@given(TEXT, st.integers(0, 100))
def test_bounded_counts_bytes_and_refuses_control_characters(text: str, max_bytes: int) -> None:
    fits = len(text.encode()) <= max_bytes and not CONTROLS & set(text)
    if fits or not text:
        assert bounded("field", text, max_bytes) == text
    else:
        with pytest.raises(InvalidRequest) as caught:
            bounded("field", text, max_bytes)
        assert caught.value.field == "field"


def test_required_refuses_nothing_at_all() -> None:
    assert required("field", "x", 1) == "x"
    with pytest.raises(InvalidRequest, match="is required"):
        required("field", "", 1)


@given(TEXT)
def test_what_is_header_safe_holds_visible_ascii_alone(text: str) -> None:
    safe = all(33 <= ord(character) <= 126 for character in text)
    if safe:
        assert header_safe("field", text, 200) == text
    else:
        with pytest.raises(InvalidRequest):
            header_safe("field", text, 200)


@pytest.mark.parametrize("url", [
    "", "https://example.com/a.png?x=1&y=%20#z", "https://e", "https://[2001:db8::1]/", "https://e/" + "a" * 2_038,
])  # fmt: skip
def test_an_https_url_is_taken(url: str) -> None:
    assert https_url("field", url) == url


@pytest.mark.parametrize("url", [
    "https://", "http://example.com", "HTTPS://example.com", "ftp://example.com", "example.com", " https://e",
    "https://e x", "https://e\n", 'https://e/"', "https://e/<a>", "https://例子.cn", "https://e/" + "a" * 2_039,
])  # fmt: skip
def test_what_is_no_https_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        https_url("field", url)


@pytest.mark.parametrize("link", [
    "", "wallet://pay/1", "https://example.com/路径", "tel:+861012345678", "mailto:a@example.com", "a:b",
    "wallet://" + "a" * 2_039,
])  # fmt: skip
def test_a_link_with_a_harmless_scheme_is_taken(link: str) -> None:
    assert deep_link("field", link) == link


@pytest.mark.parametrize("link", [
    "javascript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", "vbscript:x", "file:///x", "wallet", ":x", "1a:b",
    "wallet:", "a b:c", "wallet://a b", "wallet://a\n", "wallet://" + "a" * 2_040, "wallet://" + "路" * 680,
])  # fmt: skip
def test_a_link_that_may_run_or_has_no_form_is_refused(link: str) -> None:
    with pytest.raises(InvalidRequest):
        deep_link("field", link)


@given(st.binary(min_size=1, max_size=256), st.booleans())
def test_an_apns_token_of_any_even_length_becomes_lower_case(raw: bytes, upper: bool) -> None:
    text = raw.hex().upper() if upper else raw.hex()
    assert check_token("field", text, Provider.APNS) == raw.hex()


@pytest.mark.parametrize("token", ["", "a", "abc", "zz", "ab" * 257, "ab cd", "ab\n", "0xab", "ａｂ", "ab-cd", "١٢"])
def test_what_is_no_apns_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        check_token("field", token, Provider.APNS)


@pytest.mark.parametrize("token", ["a", "cJ2x:APA91b_-", "a" * 4_096, "a/b+c=", "A.b%c,d"])
def test_an_fcm_token_is_taken(token: str) -> None:
    assert check_token("field", token, Provider.FCM) == token


@pytest.mark.parametrize("token", ["", "a" * 4_097, "a b", 'a"b', "a\\b", "a\n", "令牌", "a\0"])
def test_what_is_no_fcm_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        check_token("field", token, Provider.FCM)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_timestamp_lies_between_1970_and_9999(seconds: int, nanos: int) -> None:
    stamp = Timestamp(seconds=seconds, nanos=nanos)
    if 0 <= seconds < 253_402_300_800 and 0 <= nanos < 10**9:
        assert timestamp_unix_ms("field", stamp) == seconds * 1_000 + nanos // 10**6
    else:
        with pytest.raises(InvalidRequest):
            timestamp_unix_ms("field", stamp)


@pytest.mark.parametrize(("seconds", "nanos", "unix_ms"), [
    (0, 0, 0), (1, 999_999, 1_000), (1, 1_000_000, 1_001), (253_402_300_799, 999_999_999, 253_402_300_799_999),
])  # fmt: skip
def test_a_timestamp_is_cut_to_milliseconds(seconds: int, nanos: int, unix_ms: int) -> None:
    assert timestamp_unix_ms("field", Timestamp(seconds=seconds, nanos=nanos)) == unix_ms
