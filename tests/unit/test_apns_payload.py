"""What APNs is given for each kind of content."""

from __future__ import annotations

from typing import cast

import orjson
import pytest

from adapters.apns.payload import render
from core.content.message import ApnsOptions, Content
from core.errors import ContentRefused
from core.model import PushType

AT_S = 1_750_000_000


def rendered(content: Content, push_type: int = PushType.ALERT) -> dict[str, object]:
    return cast("dict[str, object]", orjson.loads(render(content, push_type, AT_S)))


def aps_of(content: Content, push_type: int = PushType.ALERT) -> dict[str, object]:
    return cast("dict[str, object]", rendered(content, push_type)["aps"])


def refused(content: Content, push_type: int = PushType.ALERT, max_bytes: int = 4_096) -> str:
    with pytest.raises(ContentRefused) as caught:
        render(content, push_type, AT_S, max_bytes)
    return caught.value.reason


def test_alert_has_text_default_sound_badge_and_thread() -> None:
    content = Content(title="Paid", body="12 EUR", badge=0, thread_key="tx", apns=ApnsOptions(subtitle="Card 4242"))
    assert rendered(content) == {
        "aps": {
            "alert": {"title": "Paid", "subtitle": "Card 4242", "body": "12 EUR"},
            "badge": 0,
            "sound": "default",
            "thread-id": "tx",
        }
    }


def test_named_and_silent_sounds() -> None:
    assert aps_of(Content(title="t", sound="coin.caf"))["sound"] == "coin.caf"
    assert "sound" not in aps_of(Content(title="t", sound="none"))


@pytest.mark.parametrize(
    ("field", "content"),
    [("image_url", Content(image_url="https://cdn/x")), ("video_url", Content(video_url="https://cdn/x"))],
)
def test_media_asks_the_app_to_fetch_it(field: str, content: Content) -> None:
    payload = rendered(content)
    assert cast("dict[str, object]", payload["aps"])["mutable-content"] == 1
    assert payload[field] == "https://cdn/x"


def test_all_options_have_their_key() -> None:
    options = ApnsOptions(
        category="PAY", interruption_level="time-sensitive", relevance_score=0.0, mutable_content=True,
        content_available=True, target_content_id="window", filter_criteria="work",
    )  # fmt: skip
    assert aps_of(Content(body="b", apns=options)) == {
        "alert": {"body": "b"}, "sound": "default", "category": "PAY", "interruption-level": "time-sensitive",
        "relevance-score": 0.0, "mutable-content": 1, "content-available": 1, "target-content-id": "window",
        "filter-criteria": "work",
    }  # fmt: skip


def test_data_and_deep_link_stand_beside_aps() -> None:
    payload = rendered(Content(title="t", deep_link="wallet://tx/1", data={"tx": "1"}))
    assert payload["tx"] == "1"
    assert payload["deep_link"] == "wallet://tx/1"


def test_data_never_takes_the_place_of_aps() -> None:
    assert refused(Content(title="t", data={"aps": "x"})) == "ReservedDataKey"


def test_background_says_nothing_and_makes_no_sound() -> None:
    assert rendered(Content(title="t", badge=3, data={"sync": "1"}), PushType.BACKGROUND) == {
        "aps": {"content-available": 1}, "sync": "1",
    }  # fmt: skip


@pytest.mark.parametrize("push_type", [PushType.WIDGETS, PushType.CONTROLS])
def test_widgets_and_controls_are_told_of_a_change(push_type: PushType) -> None:
    assert rendered(Content(), push_type) == {"aps": {"content-changed": True}}


@pytest.mark.parametrize(
    "push_type", [PushType.LOCATION, PushType.COMPLICATION, PushType.FILEPROVIDER, PushType.PUSHTOTALK]
)
def test_other_types_carry_data_with_an_empty_aps(push_type: PushType) -> None:
    assert rendered(Content(data={"a": "b"}), push_type) == {"aps": {}, "a": "b"}


def test_mdm_carries_its_magic_alone() -> None:
    assert rendered(Content(data={"mdm": "magic"}), PushType.MDM) == {"mdm": "magic"}


def test_a_call_rings_by_the_app_not_by_a_sound() -> None:
    assert aps_of(Content(title="Bank calls"), PushType.VOIP) == {"alert": {"title": "Bank calls"}}


def activity(**options: object) -> Content:
    defaults: dict[str, object] = {"live_activity_event": "update", "content_state_json": b'{"left":3}'}
    return Content(apns=ApnsOptions(**(defaults | options)))  # type: ignore[arg-type]


def test_live_activity_update() -> None:
    content = activity(stale_date_unix_s=9, dismissal_date_unix_s=10, relevance_score=75.0)
    assert aps_of(content, PushType.LIVEACTIVITY) == {
        "timestamp": AT_S, "event": "update", "content-state": {"left": 3}, "stale-date": 9, "dismissal-date": 10,
        "relevance-score": 75.0,
    }  # fmt: skip


def test_live_activity_start_carries_attributes_and_an_alert() -> None:
    content = activity(live_activity_event="start", attributes_type="Ride", attributes_json=b'{"id":1}')
    aps = aps_of(content._replace(title="Ride"), PushType.LIVEACTIVITY)
    assert (aps["attributes-type"], aps["attributes"]) == ("Ride", {"id": 1})
    assert aps["alert"] == {"title": "Ride", "sound": "default"}


def test_live_activity_ends_without_a_state() -> None:
    content = activity(live_activity_event="end", content_state_json=b"")
    assert aps_of(content, PushType.LIVEACTIVITY) == {"timestamp": AT_S, "event": "end"}


@pytest.mark.parametrize(
    "options",
    [
        {"live_activity_event": "pause"},
        {"content_state_json": b""},
        {"content_state_json": b"{"},
        {"content_state_json": b"[1]"},
        {"live_activity_event": "start"},
        {"live_activity_event": "start", "attributes_type": "Ride", "attributes_json": b"nope"},
    ],
)
def test_live_activity_that_ios_would_drop_is_refused(options: dict[str, object]) -> None:
    assert refused(activity(**options), PushType.LIVEACTIVITY) == "InvalidPayload"


def test_raw_payload_goes_as_it_is() -> None:
    raw = b'{ "aps" : {"alert":"x"} }'
    assert render(Content(title="ignored", apns=ApnsOptions(raw_payload_json=raw)), PushType.ALERT, AT_S) == raw


@pytest.mark.parametrize("raw", [b"{", b"[]", b"7"])
def test_raw_payload_must_be_an_object(raw: bytes) -> None:
    assert refused(Content(apns=ApnsOptions(raw_payload_json=raw))) == "InvalidPayload"


def test_wallet_pass_update_is_an_empty_dictionary() -> None:
    assert render(Content(title="x", pass_type_id="pass.com.example.card"), PushType.ALERT, AT_S) == b"{}"


@pytest.mark.parametrize(("push_type", "limit"), [(PushType.ALERT, 4_096), (PushType.VOIP, 5_120)])
def test_size_is_taken_to_the_last_byte(push_type: PushType, limit: int) -> None:
    empty = len(render(Content(body="x"), push_type, AT_S, limit)) - 1
    assert len(render(Content(body="x" * (limit - empty)), push_type, AT_S, limit)) == limit
    assert refused(Content(body="x" * (limit - empty + 1)), push_type, limit) == "PayloadTooLarge"


def test_size_counts_bytes_not_letters() -> None:
    assert refused(Content(body="é" * 2_100)) == "PayloadTooLarge"
