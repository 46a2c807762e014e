"""A campaign to 1,000,000 users through consent, quiet hours, caps and rendering on one core: `python -m bench.policy`.

Users are made batch by batch and forgotten, so that what stays in memory is the gates' own. Making them is not counted.
"""

from __future__ import annotations

import argparse
import gc
import mmap
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from bench.results import Better, Figure
from core.content.privacy import Privacy
from core.content.rendered import Reader, Rendered, RenderItem
from core.content.rendering import CompiledTemplate, compile_template
from core.content.templates import TemplateBody, TemplateSource, Values, Variable, VariableType
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.model import NotificationClass, Provider, Target
from core.policy.candidates import Candidate
from core.policy.channels import choose
from core.policy.counting import Counting
from core.policy.decision import Decision, Gate, Verdict
from core.policy.frequency_cap import FrequencyCap
from core.policy.gates import Policy
from core.policy.message import Message
from core.policy.people import Category, Channel, Permission, QuietWindow, Recipient, UserDevice
from core.policy.quiet_hours import QuietHours
from core.policy.rules import AppRules
from core.policy.vendor_quota import VendorQuota

USERS = 1_000_000
BATCH = 10_000
TARGET_S = 60.0
_GC_THRESHOLDS = (50_000, 20, 50)
NOON_UNIX_MS = 1_800_014_400_000
_DAY_MS = 86_400_000
_MIB = 2**20
_STAGES = ("consent", "quiet hours", "caps", "decide_many", "commit", "render")
_ZONES = (
    *("Asia/Shanghai",) * 6, "Asia/Tokyo", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Kolkata",
    "",
)  # fmt: skip
_MAKERS = ("huawei", "vivo", "xiaomi", "oppo", "honor", "Apple", "Apple", "samsung")
_WINDOWS = tuple((QuietWindow(begin * 60, 9 * 60),) for begin in (20, 21, 23))
_PROMOTION = Category("promotion", NotificationClass.MARKETING, default_on=False)
_SAID = ({("promotion", 1): True}, {("promotion", 1): True}, {("promotion", 1): True, ("", 2): False}, {("", 0): False})
_RULES = AppRules("bench", (_PROMOTION,), country="CN")
_HASHES = SipHash(b"policy and bench")


class Batch(NamedTuple):
    """Users and their devices, aligned."""

    users: list[Recipient]
    devices: list[list[UserDevice]]


@dataclass(slots=True)
class PolicyRun:
    """CPU seconds by stage, what was decided, rendered messages, and resident memory in bytes after each tenth."""

    users: int
    cpu_s: dict[str, float] = field(default_factory=dict)
    decided: Counter[str] = field(default_factory=Counter)
    rendered: int = 0
    rss: list[int] = field(default_factory=list)

    @property
    def total_s(self) -> float:
        """What the whole campaign took: all gates, counting what is sent, and rendering it."""
        return sum(self.cpu_s[stage] for stage in ("decide_many", "commit", "render"))

    @property
    def grown(self) -> int:
        """How far memory grew after the first tenth, in bytes."""
        return max(self.rss[1:], default=0) - self.rss[0]

    def figures(self) -> list[Figure]:
        """Return it as figures."""
        handled = dict.fromkeys(_STAGES, self.users) | {"render": self.rendered}
        rates = [
            Figure(
                f"policy.{stage.replace(' ', '_')}.per_s",
                "users/s",
                (handled[stage] / self.cpu_s[stage],),
                Better.HIGHER,
            )
            for stage in _STAGES
        ]
        whole = self.total_s * USERS / self.users
        return [*rates, Figure("policy.million_users_s", "s", (whole,), Better.LOWER, TARGET_S)]


def batches(users: int) -> Iterator[Batch]:
    """Make users lazily: most in China, 1 of 4 without consent, 1 of 12 without a zone, 1 of 20 with own windows."""
    chance = random.Random(11)
    for begin in range(0, users, BATCH):
        numbers = range(begin, min(begin + BATCH, users))
        yield Batch([_user(chance, number) for number in numbers], [_devices(chance, number) for number in numbers])


def _user(chance: random.Random, number: int) -> Recipient:
    windows = chance.choice(_WINDOWS) if number % 20 == 0 else ()
    opened = NOON_UNIX_MS - chance.randrange(80 * _DAY_MS)
    return Recipient(
        f"user-{number}", time_zone=chance.choice(_ZONES), country="CN", choices=_SAID[number % 4],
        quiet_windows=windows, last_open_unix_ms=opened, attributes={"name": f"Ana {number}"},
    )  # fmt: skip


def _devices(chance: random.Random, number: int) -> list[UserDevice]:
    return [
        UserDevice(Target(Provider.FCM, f"token-{number}-{place}"), "", "", Permission.GRANTED, chance.choice(_MAKERS))
        for place in range(1 + (number % 5 == 0))
    ]


class _Stages:
    """The gates one by one, over counters of their own, so that each can be timed."""

    def __init__(self, users: int) -> None:
        counting = Counting(_RULES, _counters(users), _HASHES, NOON_UNIX_MS // 1_000)
        self._counting = counting
        self._quiet = QuietHours(_RULES)
        self._cap = FrequencyCap(_RULES, counting)
        self._quota = VendorQuota(_RULES, counting)

    def consent(self, message: Message, batch: Batch) -> list[Candidate]:
        """Return who may be sent to as far as their will and devices go."""
        found = []
        for user, devices in zip(batch.users, batch.devices, strict=True):
            choice = choose(message, _PROMOTION, user, devices, NOON_UNIX_MS)
            if choice.gate == Gate.CHANNEL:
                found.append(Candidate(0, message, _PROMOTION, user, choice.channel, devices))
        keys = self._counting.user_keys([one.recipient for one in found])
        hashed = self._counting.message_hash(message)
        for place, (one, key) in enumerate(zip(found, keys, strict=True)):
            one.place, one.key, one.tag, one.spread = place, key, hashed & 0xFFFFFFFF, key ^ hashed
        return found

    def quiet_hours(self, candidates: list[Candidate]) -> None:
        """Look at the hour."""
        self._quiet.check_all(candidates, NOON_UNIX_MS)

    def caps(self, candidates: list[Candidate]) -> None:
        """Reserve for users and devices."""
        self._cap.check(candidates, NOON_UNIX_MS)
        awake = (one for one in candidates if one.decision is None and one.hold.verdict == Verdict.PASS)
        self._quota.check(awake, NOON_UNIX_MS)


def measure(users: int = USERS) -> PolicyRun:
    """Take one campaign through all gates, once as it is and once stage by stage, and render what is sent."""
    run, stages, template = PolicyRun(users), _Stages(users), _template()
    # As a worker does when it has started.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gates = Policy(_RULES, _counters(users), _HASHES, NOON_UNIX_MS)
    message = Message(b"campaign-of-2027", NotificationClass.MARKETING, "promotion", NOON_UNIX_MS + _DAY_MS)
    tenth = max(users // 10, BATCH)
    for number, batch in enumerate(batches(users), 1):
        with _timed(run, "consent"):
            candidates = stages.consent(message, batch)
        with _timed(run, "quiet hours"):
            stages.quiet_hours(candidates)
        with _timed(run, "caps"):
            stages.caps(candidates)
        with _timed(run, "decide_many"):
            found = gates.decide_many(message, batch.users, batch.devices, NOON_UNIX_MS)
        counts = [count for one in found for count in one.counts()]
        with _timed(run, "commit"):
            gates.commit(counts, NOON_UNIX_MS)
        with _timed(run, "render"):
            run.rendered += _render(template, batch.users, found)
        run.decided.update(f"{one.verdict.name} {one.reason}".strip() for one in found)
        if number * BATCH % tenth == 0:
            run.rss.append(psutil.Process().memory_info().rss)
    return run


@contextmanager
def _timed(run: PolicyRun, stage: str) -> Iterator[None]:
    began_ns = time.process_time_ns()
    yield
    run.cpu_s[stage] = run.cpu_s.get(stage, 0.0) + (time.process_time_ns() - began_ns) / 1e9


def _render(template: CompiledTemplate, users: Sequence[Recipient], found: Sequence[Decision]) -> int:
    items = [
        RenderItem(
            Channel.PUSH, Reader("en", user.time_zone, "CNY", Privacy.FULL), Values({"shop": "Tea"}, user.attributes)
        )
        for user, one in zip(users, found, strict=True)
        if one.verdict == Verdict.PASS
    ]
    results = template.render_many(items, NOON_UNIX_MS // 1_000)
    if not all(isinstance(one, Rendered) for one in results):
        raise RuntimeError(f"not rendered: {results[0]}")
    return len(results)


def _template() -> CompiledTemplate:
    body = TemplateBody(
        Channel.PUSH, "en", "{{ shop }} for you", body="Hi {{ user.name }}, {{ shop }} is half off today."
    )
    shop = Variable("shop", VariableType.TEXT)
    return compile_template(
        TemplateSource("bench", 1, NotificationClass.MARKETING, "promotion", "en", (shop,), (body,))
    )


def _counters(users: int) -> FrequencyCounters:
    capacity = 3 * users
    # All pages at once, so that what grows afterwards is not the counters'.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    buffer = mmap.mmap(-1, FrequencyCounters.required_bytes(capacity), flags=flags)
    FrequencyCounters.create(buffer, capacity)
    return FrequencyCounters(buffer)


def main() -> None:
    """Print rates, decisions and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    run = measure(parser.parse_args().users)
    console, table = Console(width=110), Table("stage", "users/s on one core", "us/user", title=f"{run.users:,} users")
    for figure in run.figures()[:-1]:
        table.add_row(figure.name.split(".")[1], f"{figure.median:,.0f}", f"{1e6 / figure.median:.2f}")
    console.print(table)
    console.print(f"decide, count and render {run.users:,} users: {run.total_s:.1f} s; rendered {run.rendered:,}")
    console.print(", ".join(f"{what}: {count:,}" for what, count in run.decided.most_common()))
    console.print(f"resident MiB by tenths: {', '.join(f'{rss / _MIB:.0f}' for rss in run.rss)}")


if __name__ == "__main__":
    main()
