"""Random apps, users, messages and clocks, and the judge of what the gates made of them."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from core.policy.caps import DAY_S, HOUR_S, WEEK_S, CapFilter, CapRule, OverCap, Window, vendor_quotas
from core.policy.decision import Decision, Gate, Reason, Verdict
from core.policy.message import Message
from core.policy.people import Channel, Permission, QuietWindow, Recipient, Suppression, UserDevice
from core.policy.rules import VIVO_HOURS, AppRules
from tests.unit.policy_oracle import EVERYWHERE, Log, Sent, is_quiet, zones_of
from tests.unit.policy_stand import (
    CATEGORIES,
    DAY_MS,
    MARKETING,
    SECURITY,
    SERVICE,
    TRANSACTIONAL,
    app_rules,
    counters,
    device,
    message,
    policy,
    user,
)  # fmt: skip

CATEGORY_OF = {one.name: one for one in CATEGORIES}
ZONES = (
    "Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu",
    "Africa/Cairo", "America/Santiago", "Pacific/Apia", "", "", "Nowhere/Town",
)  # fmt: skip
COUNTRIES = ("CN", "GB", "BR", "", "")
# Days on which zones above change their clocks, and others.
DAYS = ("2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-09-06", "2026-10-25", "2026-11-01", "2026-12-30")
PUSH, SMS, INBOX = Channel.PUSH, Channel.SMS, Channel.IN_APP


class World(NamedTuple):
    """An app with its users and their devices, and when it begins."""

    rules: AppRules
    users: list[Recipient]
    devices: list[list[UserDevice]]
    begin_ms: int


def random_world(chance: random.Random, size: int) -> World:
    """Make a world of so many users."""
    begins = datetime.fromisoformat(chance.choice(DAYS)).replace(tzinfo=UTC).timestamp()
    begin_ms = int(begins + chance.uniform(-2 * DAY_S, DAY_S)) * 1_000
    rules = _rules(chance)
    users, devices = [_user(chance, begin_ms) for _ in range(size)], [_devices(chance) for _ in range(size)]
    return World(rules, users, devices, begin_ms)


def random_message(chance: random.Random, now_ms: int) -> Message:
    """Make a message of any category, mostly marketing."""
    category = chance.choice(("promotion",) * 3 + ("survey", "upkeep", "tips", "payment", "statement", "login"))
    channels = chance.choice(((PUSH,), (PUSH,), (PUSH, SMS), (SMS, PUSH), (PUSH, INBOX)))
    expires = now_ms + chance.choice((HOUR_S, 9 * HOUR_S, DAY_S, 4 * DAY_S)) * 1_000
    return message(category, expires, channels, chance.choice(("", "spring", "spring sale")))


def random_step_ms(chance: random.Random) -> int:
    """Return how long until the next message: minutes to days."""
    return chance.choice((0, 1, 17, 60, 300, 999, 1_440, 4_000)) * 60_000 + chance.randrange(60) * 1_000


def _rules(chance: random.Random) -> AppRules:
    share = chance.choice((0.0, 0.4, 0.7))
    caps = [rule for rule in _CAPS if chance.random() < share]
    if chance.random() < 0.6:
        limit = chance.choice((1, 2))
        caps += [dataclasses.replace(rule, limit=limit) for rule in vendor_quotas()]
    return app_rules(
        caps=tuple(caps), quiet_windows=tuple(_windows(chance)), vendor_hours=(VIVO_HOURS,) if caps else (),
        jitter_s=chance.choice((0, 60, 1_800)), time_zone=chance.choice(("", "", "Asia/Shanghai")),
        country=chance.choice(COUNTRIES), service_is_quiet=chance.random() < 0.7, max_cap_wait_s=7 * DAY_S,
    )  # fmt: skip


_CAPS = (
    CapRule("week", 3, adaptive=True),
    CapRule("day", 2, window=Window.DAY),
    CapRule("hour", 1, window=Window.HOUR, over=OverCap.DEFER),
    CapRule("calendar_week", 2, window=Window.WEEK, over=OverCap.DEFER),
    CapRule("month", 3, window=Window.MONTH, filter=CapFilter(category="promotion")),
    CapRule("spring", 1, WEEK_S, filter=CapFilter(tag="spring"), over=OverCap.IN_APP_ONLY),
    CapRule("texts", 1, DAY_S, filter=CapFilter(frozenset({MARKETING, SERVICE}), channel=int(SMS))),
    CapRule("rolling", 1, 7 * HOUR_S, filter=CapFilter(frozenset({MARKETING, SERVICE}))),
)


def _windows(chance: random.Random) -> list[QuietWindow]:
    windows = [QuietWindow(22 * 60, 8 * 60)] if chance.random() < 0.5 else []
    for _ in range(chance.choice((0, 0, 1, 2))):
        category = chance.choice(("", "", "promotion"))
        days = chance.choice((0, chance.randrange(128)))
        start, end = chance.randrange(1_440), chance.randrange(1_441)
        windows.append(QuietWindow(start, end, days, category, chance.random() < 0.2))
    return windows


def _user(chance: random.Random, now_ms: int) -> Recipient:
    choices: dict[tuple[str, int], bool] = {}
    for category in ("promotion", "survey", "upkeep", "tips", "statement", "payment", "login"):
        for channel in (PUSH, SMS, INBOX):
            if chance.random() < 0.5:
                choices[(category, int(channel))] = chance.random() < 0.8
        if chance.random() < 0.1:
            choices[(category, 0)] = False
    if chance.random() < 0.2:
        choices[("", chance.choice((0, 1, 2)))] = False
    if chance.random() < 0.05:
        choices = {}
    return user(
        choices, chance.choice(ZONES), country=chance.choice(COUNTRIES), suppressions=_suppressions(chance, now_ms),
        quiet_windows=tuple(_windows(chance)) if chance.random() < 0.4 else (), too_many=chance.random() < 0.1,
        last_open_unix_ms=chance.choice((0, now_ms - chance.randrange(120) * DAY_MS)),
    )  # fmt: skip


def _suppressions(chance: random.Random, now_ms: int) -> tuple[Suppression, ...]:
    if chance.random() < 0.85:
        return ()
    ends = chance.choice((0, now_ms + chance.randrange(3 * DAY_MS)))
    category = chance.choice(("", "promotion", "payment"))
    return (Suppression(category, chance.choice((0, 1, 2)), chance.random() < 0.3, "asked", ends),)


def _devices(chance: random.Random) -> list[UserDevice]:
    shown = (Permission.GRANTED, Permission.UNKNOWN, Permission.PROVISIONAL, Permission.DENIED)
    makers = ("", "vivo", "HUAWEI", "Apple")
    return [
        device(chance.choice(("", "", *ZONES)), chance.choice(shown), chance.choice(makers))
        for _ in range(chance.choice((0, 1, 1, 1, 2)))
    ]


def may_hear(what: Message, channel: Channel, whom: Recipient, now_ms: int) -> bool:
    """Tell whether the user's will allows a message by a channel: the contract's precedence, written anew."""
    if what.klass == SECURITY:
        return True
    for one in whom.suppressions:
        over = one.end_unix_ms != 0 and now_ms >= one.end_unix_ms
        spares = what.klass == TRANSACTIONAL and not one.includes_transactional
        covers = one.category in {"", what.category} and one.channel in {0, channel}
        if covers and not over and not spares:
            return False
    word = whom.choices.get((what.category, channel))
    if what.klass == MARKETING:
        return word is True
    category = CATEGORY_OF[what.category]
    if word is None and whom.choices.get((what.category, 0)) is False:
        word = False
    if word is False and not category.user_may_disable:
        word = None
    return category.default_on if word is None else word


class Judge:
    """Follows one world, and says what is wrong with each decision."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = Log()
        self.seen: Counter[tuple[str, str]] = Counter()

    def check(self, what: Message, whom: Recipient, known: Sequence[UserDevice], found: Decision, now_ms: int) -> None:
        """Hold one decision against what was promised."""
        self.seen[(found.verdict.name, found.reason)] += 1
        if what.klass <= TRANSACTIONAL:
            allowed = any(may_hear(what, channel, whom, now_ms) for channel in what.channels)
            assert (found.verdict == Verdict.PASS) is allowed
        if found.verdict == Verdict.PASS:
            self._check_sent(what, whom, known, found, now_ms)
        elif found.verdict == Verdict.IN_APP_ONLY:
            assert may_hear(what, INBOX, whom, now_ms)
        elif found.verdict == Verdict.DEFER:
            assert now_ms < found.until_unix_ms < what.expires_unix_ms
        if found.gate == Gate.FREQUENCY_CAP:
            rules = self.world.rules
            assert any(any(self.log.full(rules, what, one, whom, known, now_ms)) for one in what.channels)
        elif found.gate == Gate.QUIET_HOURS:
            self._check_held(what, whom, known, found, now_ms)
        elif found.gate == Gate.VENDOR_QUOTA:
            for one in known:
                self._check_no_push(what, whom, one, now_ms)

    def _check_sent(
        self, what: Message, whom: Recipient, known: Sequence[UserDevice], found: Decision, now_ms: int
    ) -> None:
        rules = self.world.rules
        assert may_hear(what, found.channel, whom, now_ms)
        if what.klass <= TRANSACTIONAL:
            return
        targets: Sequence[UserDevice | None] = found.devices if found.channel == PUSH else (None,)
        assert targets
        for one in targets if found.channel != INBOX else ():
            assert not is_quiet(rules, what, whom, one, now_ms)
            assert one is None or one.permission != Permission.DENIED
            assert one is None or not self.log.full_device(rules, what, found.channel, one, now_ms)
        assert not list(self.log.full(rules, what, found.channel, whom, known, now_ms))
        assert len(found.devices) + len(found.held) == len(known) or found.channel != PUSH
        for held in found.held:
            self._check_no_push(what, whom, held.device, now_ms)

    def _check_no_push(self, what: Message, whom: Recipient, one: UserDevice, now_ms: int) -> None:
        """Hold that a device has a reason to hear nothing: it shows nothing, it is night, or its quota is used up."""
        rules = self.world.rules
        nowhere = len(zones_of(rules, whom, one)) == EVERYWHERE
        assert (
            one.permission == Permission.DENIED
            or is_quiet(rules, what, whom, one, now_ms)
            or self.log.full_device(rules, what, PUSH, one, now_ms)
            or nowhere
        )

    def _check_held(
        self, what: Message, whom: Recipient, known: Sequence[UserDevice], found: Decision, now_ms: int
    ) -> None:
        rules = self.world.rules
        shown = [one for one in known if one.permission != Permission.DENIED] if found.channel == PUSH else [None]
        # With the zone of no place at all the gates are more careful than the hours looked at here.
        placed = [one for one in shown if len(zones_of(rules, whom, one)) != EVERYWHERE]
        assert all(is_quiet(rules, what, whom, one, now_ms) for one in placed)
        if found.verdict == Verdict.DEFER:
            assert not all(is_quiet(rules, what, whom, one, found.until_unix_ms) for one in shown)
        else:
            assert found.reason in {Reason.EXPIRES_IN_QUIET_HOURS, Reason.QUIET_HOURS_NO_ZONE}

    def note(self, what: Message, whom: Recipient, found: Decision, now_ms: int) -> None:
        """Log what was sent."""
        self.log.add(whom.user_id, Sent(now_ms // 1_000, what, found.channel, found.devices))


def live(world: World, chance: random.Random, steps: int) -> Counter[tuple[str, str]]:
    """Take every user through so many messages, what was deferred coming back when due; return what was decided."""
    judge, now_ms = Judge(world), world.begin_ms
    gates = policy(world.rules, counters(40 * len(world.users)), now_ms)
    waiting: list[tuple[int, Message] | None] = [None] * len(world.users)
    for _ in range(steps):
        messages = [_due(held, now_ms) or random_message(chance, now_ms) for held in waiting]
        found = gates.decide_each(messages, world.users, world.devices, now_ms)
        for at, (what, whom, known, one) in enumerate(zip(messages, world.users, world.devices, found, strict=True)):
            judge.check(what, whom, known, one, now_ms)
            held = waiting[at]
            if one.verdict == Verdict.DEFER:
                waiting[at] = one.until_unix_ms, what
            elif held is not None and held[1] is what:
                waiting[at] = None
            if one.verdict == Verdict.PASS and chance.random() < 0.9:
                gates.commit(one.counts(), now_ms)
                judge.note(what, whom, one, now_ms)
            elif one.verdict == Verdict.PASS:
                gates.release(one.counts())
        now_ms += random_step_ms(chance)
    return judge.seen


def _due(held: tuple[int, Message] | None, now_ms: int) -> Message | None:
    """Return a deferred message that is due and has not expired."""
    return held[1] if held is not None and held[0] <= now_ms < held[1].expires_unix_ms else None
