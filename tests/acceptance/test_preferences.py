"""Consents, suppressions and quiet windows through the contract: what is in force, and the proof of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.walletpush.v1 import preference_pb2 as pb
from protos.walletpush.v1 import user_pb2
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub
from protos.walletpush.v1.user_pb2_grpc import UserServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, error_of, fields_of, status_of
from tests.acceptance.people import APP, CONSENTS, EditConsent, a_no, a_yes

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def preferences(gateway: Gateway) -> Iterator[PreferenceServiceStub]:
    with gateway.channel() as channel:
        yield PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]


def update(preferences: PreferenceServiceStub, user_id: str, *consents: pb.Consent) -> dict[str, tuple[bool, str]]:
    request = pb.UpdatePreferencesRequest(app=APP, user_id=user_id, consents=consents)
    return by_push(preferences.UpdatePreferences(request, timeout=TIMEOUT_S).preferences)


def in_force(preferences: PreferenceServiceStub, user_id: str) -> pb.GetPreferencesResponse:
    request = pb.GetPreferencesRequest(app=APP, user_id=user_id)
    answer: pb.GetPreferencesResponse = preferences.GetPreferences(request, timeout=TIMEOUT_S)
    return answer


def by_push(answer: pb.GetPreferencesResponse) -> dict[str, tuple[bool, str]]:
    return {one.category: (one.allowed, one.reason) for one in answer.preferences if one.channel == pb.CHANNEL_PUSH}


def test_without_a_word_marketing_is_off_and_the_rest_is_the_apps_to_say(preferences: PreferenceServiceStub) -> None:
    answer = in_force(preferences, "nobody yet")
    told = by_push(answer)
    assert told["security"] == (True, "SECURITY")
    assert told["payment"] == told["service"] == (True, "APP_DEFAULT")
    assert told["promotion"] == told["news"] == (False, "NO_CONSENT")
    assert len(answer.preferences) == 5 * len(told)


def test_a_no_to_all_marketing_takes_back_each_yes_and_blocks_nothing_else(preferences: PreferenceServiceStub) -> None:
    assert update(preferences, "lin", a_yes(), a_yes("news"))["promotion"] == (True, "USER_CATEGORY_CHANNEL")
    told = update(preferences, "lin", a_no())
    assert told["promotion"] == told["survey"] == (False, "USER_ALL")
    assert told["payment"] == (True, "APP_DEFAULT")
    assert update(preferences, "lin", a_yes("news"))["news"] == (True, "USER_CATEGORY_CHANNEL")
    assert update(preferences, "lin")["promotion"] == (False, "USER_ALL")


def test_an_answer_older_than_the_one_in_force_is_history_alone(preferences: PreferenceServiceStub) -> None:
    late = a_yes()
    late.consent_time.seconds = 1_600_000_000
    assert update(preferences, "wei", a_no("promotion"), late)["promotion"] == (False, "USER_CATEGORY")
    request = pb.ListConsentHistoryRequest(app=APP, user_id="wei", page_size=1)
    first = preferences.ListConsentHistory(request, timeout=TIMEOUT_S)
    assert first.consents[0].consent_time.seconds == 1_600_000_000
    request.page_token = first.next_page_token
    second = preferences.ListConsentHistory(request, timeout=TIMEOUT_S)
    assert (second.consents[0].granted, second.consents[0].actor, second.next_page_token) == (False, "local", "")


@pytest.mark.parametrize(("field", "edit"), CONSENTS)
def test_a_malformed_consent_is_refused_by_its_field_and_nothing_of_the_call_is_recorded(
    preferences: PreferenceServiceStub, field: str, edit: EditConsent
) -> None:
    consent = a_yes()
    edit(consent)
    error = error_of(lambda: update(preferences, "strict", a_yes("news"), consent))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [f"consents[1].{field}"])
    assert by_push(in_force(preferences, "strict"))["news"] == (False, "NO_CONSENT")


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("app", pb.UpdatePreferencesRequest(app="nobody's", user_id="u")),
        ("user_id", pb.UpdatePreferencesRequest(app=APP)),
        ("user_id", pb.UpdatePreferencesRequest(app=APP, user_id="u" * 129)),
        ("consents", pb.UpdatePreferencesRequest(app=APP, user_id="u", consents=[a_yes()] * 101)),
        ("quiet_windows", pb.UpdatePreferencesRequest(app=APP, user_id="u", quiet_windows=[pb.QuietWindow()] * 22)),
        ("set_quiet_windows", pb.UpdatePreferencesRequest(app=APP, user_id="u", quiet_windows=[pb.QuietWindow()])),
    ],
)
def test_a_malformed_update_is_refused_by_its_field(
    preferences: PreferenceServiceStub, field: str, request_: pb.UpdatePreferencesRequest
) -> None:
    error = error_of(lambda: preferences.UpdatePreferences(request_, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [field])


@pytest.mark.parametrize(
    ("field", "window"),
    [
        ("start_minute", pb.QuietWindow(start_minute=1_440)),
        ("start_minute", pb.QuietWindow(start_minute=-1)),
        ("end_minute", pb.QuietWindow(end_minute=1_441)),
        ("weekdays", pb.QuietWindow(weekdays=[0])),
        ("weekdays", pb.QuietWindow(weekdays=[8])),
        ("category", pb.QuietWindow(category="nothing")),
    ],
)
def test_a_malformed_window_is_refused_by_its_field(
    preferences: PreferenceServiceStub, field: str, window: pb.QuietWindow
) -> None:
    request = pb.UpdatePreferencesRequest(app=APP, user_id="w", quiet_windows=[window], set_quiet_windows=True)
    error = error_of(lambda: preferences.UpdatePreferences(request, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [f"quiet_windows[0].{field}"])


def test_quiet_windows_are_replaced_together_and_emptied_when_meant(preferences: PreferenceServiceStub) -> None:
    windows = [pb.QuietWindow(start_minute=1_320, end_minute=420, weekdays=[1, 7], category="news", holidays=True)]
    request = pb.UpdatePreferencesRequest(app=APP, user_id="owl", quiet_windows=windows, set_quiet_windows=True)
    answer = preferences.UpdatePreferences(request, timeout=TIMEOUT_S).preferences
    assert list(answer.quiet_windows) == windows
    update(preferences, "owl", a_yes())
    assert list(in_force(preferences, "owl").quiet_windows) == windows
    del request.quiet_windows[:]
    assert not preferences.UpdatePreferences(request, timeout=TIMEOUT_S).preferences.quiet_windows


def test_a_suppression_stops_what_it_covers_until_it_is_taken_back(preferences: PreferenceServiceStub) -> None:
    stop = pb.Suppression(includes_transactional=True, reason="moved abroad", end_time=Timestamp(seconds=4_000_000_000))
    add = pb.AddSuppressionRequest(app=APP, user_id="quiet", suppression=stop)
    preferences.AddSuppression(add, timeout=TIMEOUT_S)
    answer = in_force(preferences, "quiet")
    assert list(answer.suppressions) == [stop]
    assert (by_push(answer)["payment"], by_push(answer)["security"]) == ((False, "SUPPRESSED"), (True, "SECURITY"))
    remove = pb.RemoveSuppressionRequest(app=APP, user_id="quiet")
    assert preferences.RemoveSuppression(remove, timeout=TIMEOUT_S).removed
    assert not preferences.RemoveSuppression(remove, timeout=TIMEOUT_S).removed
    assert by_push(in_force(preferences, "quiet"))["payment"] == (True, "APP_DEFAULT")


@pytest.mark.parametrize(
    ("field", "edit"),
    [
        ("reason", lambda one: one.ClearField("reason")),
        ("reason", lambda one: setattr(one, "reason", "r" * 129)),
        ("category", lambda one: setattr(one, "category", "nothing")),
        ("channel", lambda one: setattr(one, "channel", 99)),
        ("end_time", lambda one: one.end_time.FromSeconds(1)),
    ],
)
def test_a_malformed_suppression_is_refused_by_its_field(
    preferences: PreferenceServiceStub, field: str, edit: Callable[[pb.Suppression], None]
) -> None:
    request = pb.AddSuppressionRequest(app=APP, user_id="s", suppression=pb.Suppression(reason="asked"))
    edit(request.suppression)
    error = error_of(lambda: preferences.AddSuppression(request, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [f"suppression.{field}"])


def test_categories_are_listed_with_their_class_and_purpose(preferences: PreferenceServiceStub) -> None:
    request = pb.ListCategoriesRequest(app=APP)
    listed = {one.category: one for one in preferences.ListCategories(request, timeout=TIMEOUT_S).categories}
    assert {"payment", "account", "security", "promotion", "loyalty", "survey", "news"} <= set(listed)
    assert not listed["promotion"].default_on
    assert all({"en", "zh-CN"} <= set(one.titles) & set(one.purposes) for one in listed.values())


def test_too_many_lowers_the_weekly_cap_at_once(preferences: PreferenceServiceStub, gateway: Gateway) -> None:
    now = Timestamp()
    now.GetCurrentTime()
    user = user_pb2.User(app=APP, user_id="busy", last_open_time=now)
    with gateway.channel() as channel:
        users = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        users.UpsertUser(user_pb2.UpsertUserRequest(user=user), timeout=TIMEOUT_S)
    caps = []
    for too_many in (False, True, False):
        request = pb.ReportFeedbackRequest(app=APP, user_id="busy", too_many=too_many)
        caps.append(preferences.ReportFeedback(request, timeout=TIMEOUT_S).weekly_cap)
    assert caps == [3, 1, 3]


@pytest.mark.parametrize("token", ["x", "-1", "0", "9" * 30, "１"])
def test_a_forged_page_is_refused(preferences: PreferenceServiceStub, token: str) -> None:
    request = pb.ListConsentHistoryRequest(app=APP, user_id="u", page_token=token)
    error = error_of(lambda: preferences.ListConsentHistory(request, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["page_token"])


def test_what_was_acknowledged_outlives_a_kill(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway(workers=2)
    gateway.start()
    for number in range(20):
        with gateway.channel() as channel:
            stub = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            update(stub, f"k{number}", a_yes())
    gateway.kill()
    gateway.start()
    with gateway.channel() as channel:
        stub = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        for number in range(20):
            assert by_push(in_force(stub, f"k{number}"))["promotion"] == (True, "USER_CATEGORY_CHANNEL")


def test_who_may_not_manage_users_is_refused_everything(own_gateway: Callable[..., Gateway]) -> None:
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    gateway = own_gateway(f'[[callers]]\nname = "sender"\nkey_sha256 = ["{digest}"]\napps = ["*"]\n')
    gateway.start()
    key = (("authorization", "Bearer test"),)
    with gateway.channel() as channel:
        users = UserServiceStub(channel)  # type: ignore[no-untyped-call]
        preferences = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        calls = (
            lambda: users.GetUser(user_pb2.GetUserRequest(app=APP, user_id="u"), timeout=TIMEOUT_S, metadata=key),
            lambda: list(users.ImportUsers(iter([]), timeout=TIMEOUT_S, metadata=key)),
            lambda: preferences.ListCategories(pb.ListCategoriesRequest(app=APP), timeout=TIMEOUT_S, metadata=key),
        )
        assert [error_of(call).code() for call in calls] == [grpc.StatusCode.PERMISSION_DENIED] * 3
