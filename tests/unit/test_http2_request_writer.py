"""Requests whose fields were encoded beforehand, read by an HPACK decoder that shares nothing with the encoder."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from adapters.http2.exchange import Exchange
from adapters.http2.headers import HeaderBlock
from adapters.http2.session import ClientSession

Fields = list[tuple[bytes, bytes]]
START = ((b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"api.push.apple.com"))
SETTINGS, HEADERS = 4, 1
TABLE_SIZE, MAX_STREAMS = 1, 3
DEFAULT_TABLE = 4_096
NAMES = st.sampled_from([b"apns-topic", b"apns-push-type", b"apns-priority", b"x-a", b"x-b"])
VALUES = st.sampled_from([b"", b"10", b"alert", b"v" * 60, b"\xc3\xa9", b"long" * 400])


class Peer:
    """A client session and the peer's decoder; settings reach both, as an acknowledged SETTINGS frame does."""

    def __init__(self, *settings: tuple[int, int]) -> None:
        self.client = ClientSession()
        self.decoder = Decoder(max_header_list_size=1 << 20)
        self.set((MAX_STREAMS, 1_000), *settings)
        self.client.drain()

    def set(self, *settings: tuple[int, int]) -> None:
        payload = b"".join(struct.pack(">HI", *pair) for pair in settings)
        frame = struct.pack(">I", len(payload))[1:] + bytes([SETTINGS, 0, 0, 0, 0, 0]) + payload
        self.client.receive(bytearray(frame), len(frame))
        for name, value in settings:
            if name == TABLE_SIZE:
                self.decoder.max_allowed_table_size = value

    def send(self, *exchanges: Exchange) -> list[Fields]:
        """Send requests; return the fields of each as they arrive."""
        assert self.client.submit(list(exchanges), 0) == len(exchanges)
        decoded = [self.decoder.decode(block, raw=True) for block in blocks(self.client.drain())]
        return [[(bytes(name), bytes(value)) for name, value in fields] for fields in decoded]

    def size(self, exchange: Exchange) -> int:
        """Send a request; return how many bytes its header fields took."""
        self.client.submit([exchange], 0)
        (block,) = blocks(self.client.drain())
        self.decoder.decode(block, raw=True)
        return len(block)


def blocks(data: bytes) -> Iterator[bytes]:
    """Yield the header blocks among frames."""
    while data:
        length, kind = int.from_bytes(data[:3]), data[3]
        if kind == HEADERS:
            yield data[9 : 9 + length]
        data = data[9 + length :]


def exchange(head: HeaderBlock, own: Fields, path: bytes = b"/3/device/00") -> Exchange:
    return Exchange(head, path, tuple(part for pair in own for part in pair))


def expected(head: HeaderBlock, own: Fields, path: bytes = b"/3/device/00") -> Fields:
    pseudo = [pair for pair in head.pairs if pair[0].startswith(b":")]
    return [*pseudo, (b":path", path), *head.pairs[len(pseudo) :], *own]


HEADS = st.lists(st.tuples(NAMES, VALUES), max_size=4).map(lambda pairs: HeaderBlock([*START, *pairs]))
OWN = st.lists(st.tuples(NAMES, VALUES), max_size=3)
STEPS = st.lists(
    st.tuples(st.integers(0, 3), OWN) | st.integers(0, 3 * DEFAULT_TABLE) | st.sampled_from([0, 200, 400]),
    min_size=1, max_size=12,
)  # fmt: skip


@given(st.lists(HEADS, min_size=4, max_size=4), STEPS)
def test_every_field_arrives_whatever_table_the_peer_allows(
    heads: list[HeaderBlock], steps: list[tuple[int, Fields] | int]
) -> None:
    peer = Peer()
    for step in steps:
        if isinstance(step, int):
            peer.set((TABLE_SIZE, step))
        else:
            head, own = heads[step[0]], step[1]
            assert peer.send(exchange(head, own)) == [expected(head, own)]


def test_shared_fields_are_told_once_and_referred_to_from_then_on() -> None:
    head = HeaderBlock([*START, (b"apns-topic", b"com.example.wallet"), (b"apns-push-type", b"alert")])
    peer = Peer()
    first, second, third = (peer.size(exchange(head, [])) for _ in range(3))
    assert (second, third) == (5 + 14, second)
    assert first > second + 40


def test_two_blocks_in_turn_tell_their_fields_again() -> None:
    one, other = (HeaderBlock([*START, (b"apns-topic", b"com.example.%d" % number)]) for number in range(2))
    peer = Peer()
    for _ in range(200):
        assert peer.send(exchange(one, []), exchange(other, [])) == [expected(one, []), expected(other, [])]


def test_a_peer_without_a_table_gets_none_filled() -> None:
    head = HeaderBlock([*START, (b"apns-topic", b"com.example.wallet")])
    peer = Peer((TABLE_SIZE, 0))
    sizes = [peer.size(exchange(head, [])) for _ in range(3)]
    assert sizes[1] == sizes[2] > 40
    assert not peer.decoder.header_table.dynamic_entries


def test_secrets_are_marked_as_never_to_be_indexed() -> None:
    head = HeaderBlock([*START, (b"authorization", b"bearer x")])
    for settings in ((), ((TABLE_SIZE, 0),)):
        peer = Peer(*settings)
        peer.client.submit([exchange(head, [(b"apns-id", b"1")])], 0)
        (block,) = blocks(peer.client.drain())
        fields = {field[0]: type(field).__name__ for field in peer.decoder.decode(block, raw=True)}
        assert (fields[b"authorization"], fields[b"apns-id"]) == ("NeverIndexedHeaderTuple",) * 2


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"DELETE"])
def test_any_method_may_be_used(method: bytes) -> None:
    head = HeaderBlock([(b":method", method), *START[1:]])
    assert Peer().send(exchange(head, []), exchange(head, [])) == [expected(head, [])] * 2


def test_a_long_token_does_not_outgrow_a_frame() -> None:
    head = HeaderBlock([*START, (b"authorization", b"b" * 4_000)])
    assert Peer().send(exchange(head, [], b"/" + b"p" * 6_000)) == [expected(head, [], b"/" + b"p" * 6_000)]


def test_what_a_frame_should_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="7168 bytes"):
        Exchange(HeaderBlock(START), b"/" + b"p" * 8_000)
    with pytest.raises(ValueError, match="7168 bytes"):
        Exchange(HeaderBlock(START), b"/", (b"x", b"v" * 8_000))
    with pytest.raises(ValueError, match="at most 8192 fit"):
        Exchange(HeaderBlock([*START, (b"x", b"\x7e" * 9_000)]), b"/")
    with pytest.raises(ValueError, match=":method"):
        Exchange(HeaderBlock(START[1:]), b"/")
