"""The promise: no marketing without consent, in quiet hours or over a cap; nothing urgent is ever held back."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.policy.decision import Reason
from tests.unit.policy_worlds import live, random_world

# Together 100,000 sequences of 4 messages; in parts, since no test may take a minute on a busy machine.
PARTS, WORLDS, USERS, MESSAGES = 5, 40, 500, 4


@pytest.mark.parametrize("part", range(PARTS))
def test_promises_hold_in_20_000_random_sequences(part: int) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for world in range(WORLDS):
        chance = random.Random(part * WORLDS + world)
        seen += live(random_world(chance, USERS), chance, MESSAGES)
    assert sum(seen.values()) == WORLDS * USERS * MESSAGES
    # Every way a decision can go was taken often enough to be held to something.
    for reason in set(Reason) - {Reason.SECURITY, Reason.COUNTERS_FULL, Reason.COLLAPSED, Reason.NONE}:
        assert sum(count for (_, why), count in seen.items() if why == reason) >= 10, reason
    assert all(seen[verdict, Reason.FREQUENCY_CAP] >= 10 for verdict in ("SUPPRESS", "DEFER", "IN_APP_ONLY"))
    assert seen["PASS", Reason.NONE] > 10_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_promises_hold_for_one_user_over_many_messages(chance: random.Random) -> None:
    live(random_world(chance, 1), chance, 12)
