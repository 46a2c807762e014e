"""What FCM is given for each kind of content."""

from __future__ import annotations

from typing import NamedTuple, cast

import orjson
import pytest

from adapters.fcm.payload import FcmMessage, render, splice
from adapters.fcm.platforms import PlatformBlocks, Platforms
from core.content.message import Content, FcmOptions
from core.errors import ContentRefused
from core.model import NotificationClass

ALL = PlatformBlocks(Platforms())
BARE = PlatformBlocks(Platforms(android=False, apns=False, webpush=False))
Block = dict[str, object]


class Kind(NamedTuple):
    klass: NotificationClass
    tag: str
    collapses: bool = False


PAYMENT = Kind(NotificationClass.TRANSACTIONAL, "tag1")
CAMPAIGN = Kind(NotificationClass.MARKETING, "news", collapses=True)


def built(content: Content, kind: Kind = PAYMENT, blocks: PlatformBlocks = ALL) -> FcmMessage:
    return render(content, blocks, kind.klass, kind.tag, 1_750_003_600, collapses=kind.collapses)


def body(content: Content, kind: Kind = PAYMENT, blocks: PlatformBlocks = ALL) -> Block:
    return cast("Block", orjson.loads(splice(built(content, kind, blocks).shared(3_600), "tok:en-1")))


def message(content: Content, kind: Kind = PAYMENT, blocks: PlatformBlocks = ALL) -> Block:
    return cast("Block", body(content, kind, blocks)["message"])


def block(content: Content, name: str, kind: Kind = PAYMENT) -> Block:
    return cast("Block", message(content, kind)[name])


def refused(content: Content) -> str:
    with pytest.raises(ContentRefused) as caught:
        built(content)
    return caught.value.reason


def test_common_part_has_text_image_data_and_the_token() -> None:
    content = Content(title="Paid", body="12 EUR", image_url="https://cdn/i", deep_link="wallet://1", data={"a": "b"})
    assert message(content, blocks=BARE) == {
        "notification": {"title": "Paid", "body": "12 EUR", "image": "https://cdn/i"},
        "data": {"a": "b", "deep_link": "wallet://1", "image_url": "https://cdn/i"},
        "token": "tok:en-1",
    }


def test_android_of_a_payment_is_urgent_and_replaced_by_tag_alone() -> None:
    assert block(Content(title="t", badge=2), "android") == {
        "priority": "high", "ttl": "3600s",
        "notification": {"tag": "tag1", "sound": "default", "notification_count": 2},
    }  # fmt: skip


def test_android_of_a_campaign_is_normal_and_collapses_by_the_callers_key() -> None:
    android = block(Content(title="t", sound="none"), "android", CAMPAIGN)
    assert android == {
        "priority": "normal", "ttl": "3600s", "collapse_key": "news", "notification": {"tag": "news"},
    }  # fmt: skip


def test_all_android_options_have_their_key() -> None:
    options = FcmOptions(
        priority="normal", channel_id="pay", tag="own", icon="ic", color="#ff0000", click_action="OPEN",
        restricted_package_name="com.example", analytics_label="lab", direct_boot_ok=True,
    )  # fmt: skip
    content = Content(title="t", sound="coin", fcm=options)
    assert block(content, "android") == {
        "priority": "normal", "ttl": "3600s", "restricted_package_name": "com.example", "direct_boot_ok": True,
        "notification": {
            "tag": "own", "channel_id": "pay", "icon": "ic", "color": "#ff0000", "click_action": "OPEN",
            "sound": "coin",
        },
    }  # fmt: skip
    assert message(content)["fcm_options"] == {"analytics_label": "lab"}


def test_apns_block_replaces_on_screen_and_expires() -> None:
    content = Content(title="t", badge=1, thread_key="tx", image_url="https://cdn/i")
    assert block(content, "apns") == {
        "headers": {"apns-expiration": "1750003600", "apns-priority": "10", "apns-collapse-id": "tag1"},
        "payload": {"aps": {"sound": "default", "badge": 1, "thread-id": "tx", "mutable-content": 1}},
    }


def test_webpush_block_has_ttl_urgency_and_an_https_link() -> None:
    assert block(Content(title="t", deep_link="https://x/y"), "webpush") == {
        "headers": {"TTL": "3600", "Urgency": "high"}, "fcm_options": {"link": "https://x/y"},
    }  # fmt: skip
    assert "fcm_options" not in block(Content(title="t", deep_link="wallet://y"), "webpush")


def test_values_of_one_notification_never_reach_the_next_of_the_same_shape() -> None:
    first = message(Content(title="t", deep_link="https://x/1"), Kind(NotificationClass.SERVICE, 'a"\\b'))
    second = message(Content(title="t", deep_link="https://x/2"), Kind(NotificationClass.SERVICE, "c"))
    assert cast("Block", cast("Block", first["android"])["notification"])["tag"] == 'a"\\b'
    assert cast("Block", cast("Block", second["android"])["notification"])["tag"] == "c"
    assert cast("Block", second["webpush"])["fcm_options"] == {"link": "https://x/2"}


def test_shapes_are_bounded() -> None:
    blocks = PlatformBlocks(Platforms())
    for badge in range(3_000):
        built(Content(title="t", badge=badge), blocks=blocks)
    assert len(blocks._known) <= 1_024


def test_data_only_shows_nothing_anywhere() -> None:
    content = Content(title="t", data={"a": "b"}, fcm=FcmOptions(data_only=True))
    assert "notification" not in message(content)
    assert "notification" not in block(content, "android")
    apns = block(content, "apns")
    assert apns["payload"] == {"aps": {"content-available": 1}}
    assert cast("Block", apns["headers"])["apns-priority"] == "5"


def test_empty_content_is_still_a_message() -> None:
    assert message(Content(), blocks=BARE) == {"data": {}, "token": "tok:en-1"}


def test_validate_only_stands_beside_the_message() -> None:
    assert body(Content(title="t", fcm=FcmOptions(validate_only=True)))["validate_only"] is True
    assert "validate_only" not in body(Content(title="t"))


@pytest.mark.parametrize("key", ["from", "message_type", "google.x", "gcm.notification.y"])
def test_reserved_data_keys_are_refused(key: str) -> None:
    assert refused(Content(data={key: "v"})) == "INVALID_ARGUMENT"


def test_ttl_follows_the_time_of_sending_and_is_bounded() -> None:
    rendered = built(Content(title="t"))
    for ttl_s, expected in [(10, "10s"), (9, "9s"), (-5, "0s"), (9_999_999, "2419200s")]:
        sent = orjson.loads(splice(rendered.shared(ttl_s), "t"))
        assert sent["message"]["android"]["ttl"] == expected
    assert rendered.shared(9) is rendered.shared(9)


def test_size_is_taken_to_the_last_byte() -> None:
    def size(letters: int) -> int:
        return len(orjson.dumps({"data": {}, "notification": {"body": "x" * letters}}))

    most = 4_096 - size(0)
    built(Content(body="x" * most), blocks=BARE)
    with pytest.raises(ContentRefused, match="4097 bytes"):
        built(Content(body="x" * (most + 1)), blocks=BARE)


def test_raw_message_gets_the_token_and_nothing_else() -> None:
    raw = b' {"data": {"k": "v"}} '
    assert body(Content(title="ignored", fcm=FcmOptions(raw_message_json=raw))) == {
        "message": {"data": {"k": "v"}, "token": "tok:en-1"}
    }


@pytest.mark.parametrize("raw", [b"{", b"[]", b"{}", b'{"token":"x"}', b'{"topic":"x"}', b'{"condition":"x"}'])
def test_raw_message_must_be_one_without_a_target(raw: bytes) -> None:
    assert refused(Content(fcm=FcmOptions(raw_message_json=raw))) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("token", ['a"b', "a\\b", "a\nb", "é", '","topic":"all'])
def test_a_token_cannot_break_out_of_its_string(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        splice(b'{"message":{"data":{}', token)
