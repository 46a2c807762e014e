"""Users whom the gates cannot tell apart are decided together, and as each would be alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from core.model import NotificationClass
from core.policy.caps import CapRule
from core.policy.message import Message
from core.policy.people import Channel, Permission, QuietWindow, Recipient, Suppression, UserDevice
from core.policy.rules import VIVO_HOURS, AppRules
from tests.unit.policy_stand import CLASS_OF, app_rules, device, message, policy, user

NOON_UNIX_MS = 1_790_222_400_000
HOUR_MS = 3_600_000
ZONES = ("", "Asia/Shanghai", "America/New_York", "nowhere")
scopes = st.sampled_from([("upkeep", 1), ("upkeep", 0), ("promotion", 1), ("", 1), ("", 0), ("tips", 1)])
choices = st.dictionaries(scopes, st.booleans(), max_size=2).map(
    lambda said: {scope: yes and "" not in scope and 0 not in scope for scope, yes in said.items()}
)
users = st.builds(
    user, choices=choices, time_zone=st.sampled_from(ZONES), country=st.sampled_from(("", "CN", "US")),
    quiet_windows=st.sampled_from(((), (QuietWindow(0, 720),))),
    suppressions=st.sampled_from(((), (), (Suppression("", 0, False, "asked"),))),
)  # fmt: skip
devices = st.lists(
    st.builds(
        device, time_zone=st.sampled_from(ZONES), permission=st.sampled_from(Permission),
        manufacturer=st.sampled_from(("", "vivo")),
    ),
    max_size=2,
)  # fmt: skip
rules = st.builds(
    app_rules, jitter_s=st.sampled_from((0, 1_800)), vendor_hours=st.just((VIVO_HOURS,)),
    caps=st.sampled_from(((), (CapRule("week", 1),))), country=st.sampled_from(("", "CN")),
)  # fmt: skip


@given(
    rules=rules, people=st.lists(st.tuples(users, devices, st.integers(0, 2)), max_size=12),
    names=st.tuples(*[st.sampled_from(sorted(CLASS_OF))] * 3), hour=st.integers(0, 23),
    expires_h=st.sampled_from((2, 48)), stranger=st.booleans(),
)  # fmt: skip
def test_a_batch_decides_of_everybody_as_a_batch_of_one_does(
    rules: AppRules, people: list[tuple[Recipient, list[UserDevice], int]], names: tuple[str, ...], hour: int,
    expires_h: int, stranger: bool,
) -> None:  # fmt: skip
    now_unix_ms = NOON_UNIX_MS + hour * HOUR_MS
    messages = [message(name, now_unix_ms + expires_h * HOUR_MS) for name in names]
    batch: list[tuple[Message, Recipient, list[UserDevice]]] = [
        (messages[place], replace(one, user_id="") if stranger and one.choices == {} else one, mine)
        for one, mine, place in people
    ]
    together = policy(rules, now_unix_ms=now_unix_ms).decide_each(
        [one for one, _, _ in batch], [one for _, one, _ in batch], [mine for _, _, mine in batch], now_unix_ms
    )
    alone = policy(rules, now_unix_ms=now_unix_ms)
    for (told, one, mine), found in zip(batch, together, strict=True):
        (expected,) = alone.decide_each([told], [one], [mine], now_unix_ms)
        assert found._replace(devices=list(found.devices)) == expected._replace(devices=list(expected.devices))


def test_of_a_service_wave_one_is_looked_at_for_many() -> None:
    gates, looked = policy(app_rules(quiet_windows=())), []
    opened = gates._opened
    gates._opened = lambda *told: looked.append(told[0]) or opened(*told)  # type: ignore[method-assign, func-returns-value]
    told = message("upkeep", channels=(Channel.PUSH,))
    assert told.klass == NotificationClass.SERVICE
    found = gates.decide_many(told, [user({}) for _ in range(50)], [[device()] for _ in range(50)], NOON_UNIX_MS)
    assert len(looked) == 1
    assert len({one.devices[0].target.token for one in found}) == 50
