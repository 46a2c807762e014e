"""Pairs of notification and target become deliveries in their order, each rendered once per route, and none is lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery import Flow, Notification
from core.errors import ContentRefused
from core.expansion import Expansion
from core.hashing import SipHash
from core.model import Environment, Provider, Target
from core.ports import Rendered

HASHER = SipHash(bytes(range(16)))
FLOWS = {number: Flow(number, (), ()) for number in range(10)}
CAMPAIGNS = ("", "spring", "nowhere")
TARGETS = st.builds(
    Target, st.sampled_from(Provider), st.sampled_from(["aa", "bb", "é"]), st.sampled_from(Environment),
    st.integers(0, 2**40),
)  # fmt: skip
MESSAGES = st.lists(st.tuples(st.sampled_from(CAMPAIGNS), st.lists(TARGETS, max_size=4)), max_size=12)


def notification(targets: Sequence[Target], campaign: str = "", klass: int = 1) -> Notification:
    # A string of its own, as a request brings one.
    own = "".join(list(campaign))
    return Notification("bank", "wallet", own, klass, 1, b"", 0, 0, 1, 0, 0, (), tuple(targets), None)


def lane_of(note: Notification, target: Target) -> tuple[int, Flow] | None:
    number = target.provider * 2 + target.environment
    return None if note.campaign == "nowhere" else (number, FLOWS[number + (3 if note.campaign else 0)])


def render(number: int, notes: list[Notification]) -> list[Rendered]:
    return [
        ContentRefused("TooLarge", "x") if number == 5 else (b"%d %d" % (number, id(note)), number) for note in notes
    ]


@given(MESSAGES, st.integers(1, 5))
def test_deliveries_are_those_that_making_one_by_one_would_give(
    messages: list[tuple[str, list[Target]]], size: int
) -> None:
    notes = [notification(targets, campaign) for campaign, targets in messages]
    work = Expansion()
    assert work.add(notes) == [note for note in notes if not note.targets]
    assert [note.open_deliveries for note in notes] == [len(note.targets) for note in notes]
    expected = [(note, target) for note in notes for target in note.targets]
    assert len(work) == len(expected)
    made, failed = [], []
    while work:
        assert work.klass == 1
        stride = work.assign(size, lane_of)
        assert all(len(set(map(id, wanted))) == len(wanted) for wanted in stride.wanted.values())
        rendered = {number: render(number, wanted) for number, wanted in stride.wanted.items()}
        deliveries, refused = stride.deliver(rendered, HASHER)
        made += deliveries
        failed += [(d.notification, d.token, reason) for reason, each in refused.items() for d in each]
        work.take(len(stride))
    sent = [(n, t) for n, t in expected if lane_of(n, t) and lane_of(n, t)[0] != 5]  # type: ignore[index]
    assert [(d.notification, d.token, d.provider, d.registered_unix_ms) for d in made] == [
        (n, t.token, t.provider, t.registered_unix_ms) for n, t in sent
    ]
    for delivery, (note, target) in zip(made, sent, strict=True):
        number, flow = lane_of(note, target)  # type: ignore[misc]
        assert (delivery.route, delivery.flow, delivery.envelope) == (number, flow, number)
        assert delivery.payload == b"%d %d" % (number, id(note))
        assert delivery.device_key == HASHER.hash64(target.token)
    assert sorted(map(str, failed)) == sorted(
        str((n, t.token, "TooLarge" if lane_of(n, t) else "NO_ROUTE")) for n, t in expected if (n, t) not in sent
    )


def test_what_is_left_can_be_ended_as_it_is() -> None:
    notes = [notification([Target(Provider.APNS, "aa"), Target(Provider.FCM, "bb")]) for _ in range(2)]
    work = Expansion()
    work.add(notes)
    work.assign(3, lane_of)
    assert len(work) == 4
    work.take(3)
    assert [(d.notification, d.token, d.provider) for d in work.refused(HASHER)] == [(notes[1], "bb", Provider.FCM)]
    assert work.refused(HASHER)[0].device_key == HASHER.hash64("bb")


def test_targets_may_come_from_elsewhere() -> None:
    note, work = notification([]), Expansion()
    assert work.add([note], lambda _: [Target(Provider.APNS, "cc")]) == []
    assert (note.open_deliveries, [d.token for d in work.refused(HASHER)]) == (1, ["cc"])


def test_a_recovered_notification_may_have_been_delivered_before() -> None:
    note, work = notification([Target(Provider.APNS, "cc")]), Expansion()
    note.recovered = True
    work.add([note])
    stride = work.assign(1, lane_of)
    rendered = {number: render(number, wanted) for number, wanted in stride.wanted.items()}
    (delivery,), _ = stride.deliver(rendered, HASHER)
    assert delivery.possibly_delivered


def test_no_more_is_taken_than_there_is() -> None:
    work = Expansion()
    with pytest.raises(IndexError):
        assert work.klass
    with pytest.raises(ValueError, match="1 of 0"):
        work.take(1)
