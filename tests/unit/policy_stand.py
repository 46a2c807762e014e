"""Policies over real counters, and messages, users and devices for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.model import NotificationClass, Provider, Target
from core.policy.decision import Decision, Gate, GateVerdict, Reason, Verdict
from core.policy.gates import Policy
from core.policy.message import Message
from core.policy.people import Category, Channel, Permission, Recipient, UserDevice
from core.policy.rules import AppRules

SECURITY, TRANSACTIONAL = NotificationClass.SECURITY, NotificationClass.TRANSACTIONAL
SERVICE, MARKETING = NotificationClass.SERVICE, NotificationClass.MARKETING
DAY_MS = 86_400_000
CATEGORIES = (
    Category("login", SECURITY, user_may_disable=False),
    Category("payment", TRANSACTIONAL, user_may_disable=False),
    Category("statement", TRANSACTIONAL),
    Category("upkeep", SERVICE),
    Category("tips", SERVICE, default_on=False),
    Category("promotion", MARKETING, default_on=False),
    Category("survey", MARKETING, default_on=False),
)
CLASS_OF = {one.name: one.klass for one in CATEGORIES}
YES = {("promotion", int(Channel.PUSH)): True}


def counters(capacity: int = 2_000) -> FrequencyCounters:
    """Return empty counters of their own."""
    buffer = bytearray(FrequencyCounters.required_bytes(capacity))
    FrequencyCounters.create(buffer, capacity)
    return FrequencyCounters(buffer)


def policy(rules: AppRules | None = None, over: FrequencyCounters | None = None, now_unix_ms: int = 0) -> Policy:
    """Return the gates of an app; its clock stands at the first message's unless it is given."""
    return Policy(rules or app_rules(), over or counters(), SipHash(b"k" * 16), now_unix_ms)


def app_rules(**changes: object) -> AppRules:
    """Return rules with the categories of this file and neither caps nor vendors' hours, unless they are given."""
    given: dict[str, object] = {"categories": CATEGORIES, "caps": (), "vendor_hours": (), "jitter_s": 0, **changes}
    return AppRules("app", **given)  # type: ignore[arg-type]


_numbers = iter(range(1, 1 << 40))


def message(
    category: str = "promotion", expires: int = 1 << 43, channels: Sequence[Channel] = (Channel.PUSH,), tags: str = ""
) -> Message:
    """Return a message of its own id, of the category's class; tags: words."""
    number = next(_numbers).to_bytes(16, "big")
    klass = CLASS_OF.get(category, MARKETING)
    return Message(number, klass, category, expires, tuple(channels), frozenset(tags.split()))


def user(
    choices: Mapping[tuple[str, int], bool] | None = None, time_zone: str = "Asia/Shanghai", **fields: object
) -> Recipient:
    """Return a user with a yes to promotion by push, unless other choices are given."""
    number = next(_numbers)
    said = YES if choices is None else choices
    return Recipient(f"user-{number}", choices=said, time_zone=time_zone, **fields)  # type: ignore[arg-type]


def device(
    time_zone: str = "", permission: Permission = Permission.GRANTED, manufacturer: str = "", token: str = ""
) -> UserDevice:
    """Return a device with a token of its own."""
    target = Target(Provider.FCM, token or f"token-{next(_numbers)}")
    return UserDevice(target, "", time_zone, permission, manufacturer)


def at(text: str, zone: str = "Asia/Shanghai", fold: int = 0) -> int:
    """Return the Unix ms of a local time like "2026-03-02 03:00"."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1_000)


def decide(
    gates: Policy, what: Message, whom: Recipient, now_unix_ms: int, devices: Sequence[UserDevice] | None = None
) -> Decision:
    """Decide on one user, who has one device unless others are given."""
    return gates.decide_many(what, [whom], [[device()] if devices is None else devices], now_unix_ms)[0]


def ruling(decision: Decision) -> tuple[Verdict, Gate, Reason]:
    """Return what was decided, without when."""
    return decision.verdict, decision.gate, decision.reason


def first_stop(verdicts: Sequence[GateVerdict]) -> GateVerdict | None:
    """Return the first verdict that is no pass."""
    return next((one for one in verdicts if one.verdict != Verdict.PASS), None)
