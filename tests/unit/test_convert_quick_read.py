"""The quick way of reading takes nothing that the thorough one refuses, and makes the same of what it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.delivery import Notification
from core.errors import InvalidRequest
from gateway.convert import Scope, to_notification
from gateway.quick_read import QuickReader
from protos.walletpush.v1 import notification_pb2 as pb
from tests.acceptance.hostile import NOTIFICATIONS, Wrong
from tests.unit.test_convert import LARGEST, NOW_MS, OVER, SCOPE, Edit, good

READER = QuickReader(SCOPE.tenant, SCOPE.tenant_tag, SCOPE.providers, SCOPE.app_tags)


def common() -> pb.Notification:
    """Return a payment as most callers send it, with each field that the quick way reads."""
    message = good()
    message.devices[0].token = "ab" * 32
    message.devices.add(provider=pb.PROVIDER_FCM, token="c:APA91b_-")
    message.user_ids.append("lin")
    message.content.MergeFrom(pb.Content(body="CNY 12.50 于星巴克", deep_link="wallet://pay/1", badge=3, sound="coin"))
    message.content.data.update({"kind": "payment", "序号": "1"})
    message.collapse_key, message.campaign_id = "pay 1", "spring"
    message.ttl.FromMilliseconds(90_500)
    return message


BODY = common().SerializeToString(deterministic=True)


def parts(made: Notification) -> tuple[object, ...]:
    """Everything that a notification is made of."""
    return (
        made.tenant, made.app, made.campaign, made.klass, made.push_type, made.collapse_given, made.collapse_id,
        made.accepted_unix_ms, made.send_at_unix_ms, made.expires_unix_ms, made.tenant_tag, made.app_tag,
        made.user_ids, made.targets, [type(target.provider) for target in made.targets], made.content,
    )  # fmt: skip


def thorough(body: bytes) -> tuple[object, ...] | None:
    """Return what the thorough way makes of a body, None if it refuses it."""
    try:
        return parts(to_notification(pb.Notification.FromString(body), SCOPE, NOW_MS))
    except InvalidRequest:
        return None


def assert_agrees(raw: bytes) -> bool:
    """Check one body as the intake would have it, after protobuf made it canonical; tell if the quick way took it."""
    # As it is it must only be survived: what is made of it does not count.
    READER.read(raw, NOW_MS)
    try:
        body = pb.Notification.FromString(raw).SerializeToString(deterministic=True)
    except DecodeError:
        return False
    taken = READER.read(body, NOW_MS)
    if taken is None:
        return False
    notification, key = taken
    assert parts(notification) == thorough(body)
    message = pb.Notification.FromString(body)
    assert key == f"{SCOPE.tenant}\0{message.app}\0{message.idempotency_key}".encode()
    return True


def test_an_ordinary_payment_goes_the_quick_way() -> None:
    assert assert_agrees(BODY)


@pytest.mark.parametrize("wrong", NOTIFICATIONS, ids=lambda wrong: wrong.name)
def test_a_malformed_notification_is_left_to_the_thorough_way(wrong: Wrong) -> None:
    message = common()
    wrong.edit(message)
    assert_agrees(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize("edit", [row[1] for row in (*LARGEST, *OVER)])
def test_at_the_borders_both_ways_agree(edit: Edit) -> None:
    message = common()
    edit(message)
    assert_agrees(message.SerializeToString(deterministic=True))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from([
    "", "x" * 64, "x" * 65, "付" * 21, "付" * 22, "a\nb", "a\0b", "\x7f", "https://e.com/a", "wallet://p/1",
    "javascript:x", "#aabbcc", "aps", "from", "google.x", "é", "\u2028", "😀" * 16,
])  # fmt: skip
TOKEN = st.just("ab") | st.sampled_from(
    ["", "AB12", "abc", "zz", "ab" * 256, "ab" * 257, "a:b_C-d", "a b", "ａｂ"]
)  # fmt: skip
DEVICE = st.builds(
    pb.DeviceToken, provider=st.sampled_from([0, 1, 2, 3]), token=TOKEN, environment=st.sampled_from([0, 1, 2, 3])
)
CONTENT = st.builds(
    pb.Content, title=TEXT, body=TEXT, image_url=TEXT, deep_link=TEXT, sound=TEXT, thread_key=TEXT,
    badge=st.none() | st.sampled_from([-1, 0, 1, 99_999, 100_000]), data=st.dictionaries(TEXT, TEXT, max_size=3),
)  # fmt: skip
TTL = st.builds(Duration, seconds=st.integers(-1, 3_000_000), nanos=st.integers(-1, 10**9))
CHANGES: dict[str, st.SearchStrategy[object]] = {
    "idempotency_key": TEXT, "app": st.sampled_from(["wallet", "apple", "", "other"]),
    "user_ids": st.lists(TEXT, max_size=2), "devices": st.lists(DEVICE, max_size=3),
    "notification_class": st.integers(-1, 5), "content": CONTENT, "collapse_key": TEXT, "campaign_id": TEXT,
    "push_type": st.integers(-1, 13), "ttl": TTL,
}  # fmt: skip


# Few fields at a time, or hardly any message would be right in all of them.
@given(st.sets(st.sampled_from(sorted(CHANGES)), max_size=3), st.data())
@settings(max_examples=800)
def test_of_any_message_both_ways_make_the_same(names: set[str], data: st.DataObject) -> None:
    message = common()
    for name in sorted(names):
        message.ClearField(name)
        change = pb.Notification(**{name: data.draw(CHANGES[name])})  # type: ignore[arg-type]
        message.MergeFrom(change)
    assert_agrees(message.SerializeToString(deterministic=True))


def mutated(change: Callable[[bytearray, int, int], object]) -> Callable[[int, int], bytes]:
    def make(place: int, value: int) -> bytes:
        raw = bytearray(BODY)
        change(raw, place % len(raw), value)
        return bytes(raw)

    return make


MUTATIONS = [
    mutated(lambda raw, place, value: raw.__setitem__(place, value)),
    mutated(lambda raw, place, value: raw.insert(place, value)),
    mutated(lambda raw, place, _: raw.__delitem__(place)),
    mutated(lambda raw, place, _: raw.__delitem__(slice(place, None))),
    mutated(lambda raw, place, value: raw.extend(raw[place : place + value])),
]


@given(st.sampled_from(MUTATIONS), st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=1_500)
def test_of_damaged_bytes_the_quick_way_takes_nothing_else(
    mutation: Callable[[int, int], bytes], place: int, value: int
) -> None:
    assert_agrees(mutation(place, value))


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_of_foreign_bytes_the_quick_way_takes_nothing_else(body: bytes) -> None:
    assert_agrees(body)


def test_every_prefix_is_read_within_its_bounds() -> None:
    for length in range(len(BODY)):
        assert_agrees(BODY[:length])


def test_a_field_that_comes_twice_counts_as_protobuf_says() -> None:
    again = pb.Notification(idempotency_key="other", app="apple", content=pb.Content(body="more"))
    assert_agrees(BODY + again.SerializeToString())
    assert_agrees(again.SerializeToString() + BODY)
    assert_agrees(BODY + pb.Notification(wallet_pass=pb.WalletPassUpdate(pass_type_id="pass.a")).SerializeToString())


def test_another_scope_takes_only_its_own_apps() -> None:
    other = Scope("rival", 8, {"elsewhere": frozenset({1})}, {"elsewhere": 1})
    assert QuickReader(other.tenant, other.tenant_tag, other.providers, other.app_tags).read(BODY, NOW_MS) is None
