"""Consents, suppressions and quiet windows <-> proto, each refusal naming its field."""

from __future__ import annotations

from core.errors import InvalidRequest
from core.people import Consent, ConsentMethod
from core.policy.consent import standing
from core.policy.people import Category, Channel, QuietWindow, Recipient, Suppression
from core.policy.rules import AppRules
from gateway.convert_users import not_ahead
from gateway.fields import bounded, required, timestamp_unix_ms
from gateway.receipts import to_timestamp
from protos.walletpush.v1 import notification_pb2
from protos.walletpush.v1 import preference_pb2 as pb

MAX_CONSENTS = 100
MAX_WINDOWS = 21
_METHODS = {int(method): method for method in ConsentMethod}
_CHANNELS = frozenset({0, *Channel})
_DAY = 1_440


def to_consent(field: str, told: pb.Consent, rules: AppRules, caller: str, now_unix_ms: int) -> Consent:
    """Return what a user said. Raises InvalidRequest."""
    category, channel = to_scope(field, told.category, told.channel, rules)
    method = _METHODS.get(told.method)
    if method is None:
        raise InvalidRequest(f"{field}.method", "is required")
    wording = bounded(f"{field}.wording_version", told.wording_version, 64)
    if told.granted:
        _grantable(field, category, channel, wording, rules)
    said_unix_ms = now_unix_ms
    if told.HasField("consent_time"):
        path = f"{field}.consent_time"
        said_unix_ms = not_ahead(path, timestamp_unix_ms(path, told.consent_time), now_unix_ms)
    actor = bounded(f"{field}.actor", told.actor, 128) or caller
    evidence = bounded(f"{field}.evidence", told.evidence, 256)
    return Consent(category, channel, told.granted, method, wording, actor, said_unix_ms, evidence)


def to_scope(field: str, category: str, channel: int, rules: AppRules) -> tuple[str, int]:
    """Return a category of the app and a channel, each possibly all of them. Raises InvalidRequest."""
    path = f"{field}.category" if field else "category"
    if bounded(path, category, 64) and rules.category(category) is None:
        raise InvalidRequest(path, f"the app has no category {category!r}")
    if channel not in _CHANNELS:
        raise InvalidRequest(f"{field}.channel" if field else "channel", f"unknown channel {channel}")
    return category, channel


def to_window(field: str, told: pb.QuietWindow, rules: AppRules) -> QuietWindow:
    """Return a quiet window. Raises InvalidRequest."""
    if not 0 <= told.start_minute < _DAY:
        raise InvalidRequest(f"{field}.start_minute", "0 to 1,439")
    if not 0 <= told.end_minute <= _DAY:
        raise InvalidRequest(f"{field}.end_minute", "0 to 1,440")
    weekdays = 0
    for day in told.weekdays:
        if not 1 <= day <= 7:
            raise InvalidRequest(f"{field}.weekdays", "1 Monday to 7 Sunday")
        weekdays |= 1 << day - 1
    category, _ = to_scope(field, told.category, 0, rules)
    return QuietWindow(told.start_minute, told.end_minute, weekdays, category, told.holidays)


def to_suppression(field: str, told: pb.Suppression, rules: AppRules, now_unix_ms: int) -> Suppression:
    """Return a suppression. Raises InvalidRequest."""
    category, channel = to_scope(field, told.category, told.channel, rules)
    reason = required(f"{field}.reason", told.reason, 128)
    end_unix_ms = 0
    if told.HasField("end_time"):
        end_unix_ms = timestamp_unix_ms(f"{field}.end_time", told.end_time)
        if end_unix_ms <= now_unix_ms:
            raise InvalidRequest(f"{field}.end_time", "lies in the past")
    return Suppression(category, channel, told.includes_transactional, reason, end_unix_ms)


def from_preferences(recipient: Recipient, rules: AppRules, now_unix_ms: int) -> pb.GetPreferencesResponse:
    """Return what is in force for a user, for each category and channel."""
    preferences = []
    for category in rules.categories:
        for channel in Channel:
            allowed, reason = standing(category, channel, recipient, now_unix_ms)
            preferences.append(
                pb.CategoryPreference(
                    category=category.name, channel=_channel(channel), allowed=allowed, reason=reason.value
                )
            )
    in_force = [one for one in recipient.suppressions if not one.end_unix_ms or one.end_unix_ms > now_unix_ms]
    return pb.GetPreferencesResponse(
        preferences=preferences, quiet_windows=[_window(one) for one in recipient.quiet_windows],
        suppressions=[_suppression(one) for one in in_force],
    )  # fmt: skip


def from_consent(consent: Consent) -> pb.Consent:
    """Return a line of the history as proto."""
    return pb.Consent(
        category=consent.category, channel=_channel(consent.channel), granted=consent.granted,
        method=pb.ConsentMethod.Name(int(consent.method)), wording_version=consent.wording_version,
        actor=consent.actor, consent_time=to_timestamp(consent.said_unix_ms), evidence=consent.evidence,
    )  # fmt: skip


def from_category(category: Category) -> pb.Category:
    """Return a category as proto."""
    return pb.Category(
        category=category.name, titles=category.titles, purposes=category.purposes, default_on=category.default_on,
        notification_class=notification_pb2.NotificationClass.Name(int(category.klass) + 1),
    )  # fmt: skip


def _grantable(field: str, category: str, channel: int, wording: str, rules: AppRules) -> None:
    if not category:
        raise InvalidRequest(f"{field}.category", "is required to grant: all categories can only be withdrawn")
    if not channel:
        raise InvalidRequest(f"{field}.channel", "is required to grant: all channels can only be withdrawn")
    if not wording:
        raise InvalidRequest(f"{field}.wording_version", "is required to grant")
    if not rules.takes_wording(wording):
        raise InvalidRequest(f"{field}.wording_version", f"{wording!r} is none that the app takes")


def _window(window: QuietWindow) -> pb.QuietWindow:
    return pb.QuietWindow(
        start_minute=window.start_minute, end_minute=window.end_minute, category=window.category,
        weekdays=[day for day in range(1, 8) if window.weekdays >> day - 1 & 1], holidays=window.holidays,
    )  # fmt: skip


def _suppression(one: Suppression) -> pb.Suppression:
    told = pb.Suppression(
        category=one.category, channel=_channel(one.channel), includes_transactional=one.includes_transactional,
        reason=one.reason,
    )  # fmt: skip
    if one.end_unix_ms:
        told.end_time.CopyFrom(to_timestamp(one.end_unix_ms))
    return told


def _channel(channel: int) -> str:
    return pb.Channel.Name(channel)
