"""Prepared header fields: what is legal, what is indexed, and that nothing illegal reaches the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http2.exchange import Exchange
from adapters.http2.fate import Fate
from adapters.http2.headers import HeaderBlock
from adapters.http2.session import ClientSession
from tests.fixtures_http2 import HEAD
from tests.unit.http2_wire import Wire

AUTHORIZATION = b"bearer " + b"x" * 200


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"Upper", b"x")], [(b"", b"x")], [(b"a b", b"x")], [(b"x", b"line\r\nbreak")], [(b"x", b"nul\x00")],
        [(b"x", b"1"), (b":late", b"x")], [(b"x-%d" % number, b"") for number in range(32)],
    ],
)
def test_illegal_block_is_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match=r"header|pseudo"):
        HeaderBlock(pairs)


def test_block_does_not_show_its_values() -> None:
    assert "secret" not in repr(HeaderBlock([(b"authorization", b"secret")]))


@pytest.mark.parametrize("extra", [(b"a",), (b"A", b""), (b":path", b"/"), (b"a", b"\n"), (b"a", b"") * 17])
def test_illegal_extra_field_is_refused(extra: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"extra|header"):
        Exchange(HEAD, b"/", extra)


@pytest.mark.parametrize("path", [b"", b"/a b", b"/\r\n", b"/\x00", b"/\x7f"])
def test_illegal_path_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="path"):
        Exchange(HEAD, path)


def test_new_exchange_has_no_answer() -> None:
    new = Exchange(HEAD, b"/", (), b"body", "tag")
    assert (new.fate, new.status, new.body, new.headers, new.connection) == (Fate.PENDING, 0, b"", {}, None)
    assert (new.payload, new.tag, new.live, new.sent) == (b"body", "tag", False, False)


def sizes_of_requests(head: HeaderBlock, extra: tuple[bytes, ...] = (), count: int = 3) -> list[int]:
    """Bytes on the wire of the first, second, ... request of one connection."""
    wire = Wire()
    sizes = []
    for _ in range(count):
        before = wire.client.bytes_out
        wire.client.submit([Exchange(head, b"/3/device/00", extra)], 0)
        wire.run()
        sizes.append(wire.client.bytes_out - before)
    return sizes


def test_stable_fields_cost_one_byte_from_the_second_request_on() -> None:
    plain = sizes_of_requests(HEAD)
    richer = sizes_of_requests(HeaderBlock([*HEAD.pairs, (b"apns-push-type", b"alert"), (b"apns-priority", b"10")]))
    assert richer[0] > plain[0] + 10
    assert richer[1] == richer[2] == plain[1] + 2


def test_authorization_is_never_indexed_whatever_is_asked() -> None:
    fields = [*HEAD.pairs, (b"authorization", AUTHORIZATION)]
    for sensitive in (frozenset[bytes](), frozenset({b"authorization"})):
        sizes = sizes_of_requests(HeaderBlock(fields, sensitive))
        assert sizes[1] == sizes[2] > 150


def test_sensitive_and_extra_fields_stay_out_of_the_table() -> None:
    secret = sizes_of_requests(HeaderBlock([*HEAD.pairs, (b"x-secret", b"s" * 100)], {b"x-secret"}))
    assert secret[1] == secret[2] > 80
    literal = sizes_of_requests(HEAD, (b"apns-id", b"i" * 36))
    assert literal[1] == literal[2] > sizes_of_requests(HEAD)[1] + 20


names = st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name not in {b"connection", b"te", b"host", b"upgrade", b"keep-alive", b"proxy-connection",
                              b"transfer-encoding", b"content-length"}
)
values = st.from_regex(rb"[!-~]([ -~]{0,40}[!-~])?|", fullmatch=True)


@given(st.lists(st.tuples(names, values), max_size=12), st.lists(st.tuples(names, values), max_size=12))
def test_every_field_arrives_in_order(shared: list[tuple[bytes, bytes]], own: list[tuple[bytes, bytes]]) -> None:
    wire = Wire()
    head = HeaderBlock([*HEAD.pairs[:3], *shared])
    sent = Exchange(head, b"/p", tuple(part for pair in own for part in pair))
    wire.client.submit([sent], 0)
    [request] = wire.run()
    assert request.headers == shared + own
    assert (request.method, request.path) == (b"POST", b"/p")


def test_only_wanted_answer_fields_are_kept() -> None:
    wire = Wire(ClientSession((b"apns-id", b"retry-after")))
    sent = Exchange(HEAD, b"/")
    wire.client.submit([sent], 0)
    [request] = wire.run()
    request.respond(503, None, b"", (b"retry-after", b"30", b"x-other", b"no", b"apns-id", b"i"))
    wire.run()
    assert sent.headers == {b"retry-after": b"30", b"apns-id": b"i"}
