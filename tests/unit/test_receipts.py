"""ReceiptLog against a plain model, and what its packed events tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import StoreFailure
from core.model import DeliveryState, NotificationState, Receipt
from core.notification_id import make_id
from core.reaction import DELIVERED, Outcome, OutcomeKind
from core.receipts import ReceiptLog, apply_closed, finished_devices, summed_state, unpack_events
from core.storage import SegmentUpdate

FLOW = Flow(1, [], [])
ACCEPTED_UNIX_MS = 1_700_000_000_000
JOURNAL = 7
FINAL = st.sampled_from([state for state in DeliveryState if state != DeliveryState.PENDING])
CHARACTERS = st.characters(exclude_categories=["Cs"])
OUTCOMES = st.builds(Outcome, st.sampled_from(OutcomeKind), st.integers(0, 599), st.text(CHARACTERS, max_size=90))


def notification(segment: int, index: int, deliveries: int = 0) -> Notification:
    made = Notification(
        "tenant", "app", "", 1, 1, b"collapse", ACCEPTED_UNIX_MS, 0, ACCEPTED_UNIX_MS + 1000, 10 + index, 20 + index,
        (), (), None,
    )
    assign_place(made, make_id(ACCEPTED_UNIX_MS, JOURNAL, segment, index), segment, index)
    made.open_deliveries = deliveries
    return made


def delivery(of: Notification, device_key: int, attempts: int = 1, message_id: str | None = None) -> Delivery:
    made = Delivery(of, "token", b"{}", None, device_key, 0, 1, 0, FLOW)
    made.attempts = attempts
    made.provider_message_id = message_id
    made.possibly_delivered = device_key % 3 == 0
    return made


def cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def marks(update: SegmentUpdate) -> dict[int, NotificationState]:
    words = struct.unpack(f"={len(update.closed) // 4}I", update.closed)
    return {word >> 8: NotificationState(word & 0xFF) for word in words}


def model_sum(states: set[DeliveryState]) -> NotificationState:
    if DeliveryState.DELIVERED in states:
        return NotificationState.DELIVERED if len(states) == 1 else NotificationState.PARTIALLY_DELIVERED
    for state in (DeliveryState.FAILED, DeliveryState.EXPIRED, DeliveryState.CANCELLED):
        if state in states:
            return NotificationState[state.name]
    return NotificationState.SUPPRESSED


@dataclass
class ModelLog:
    """The log in dicts and lists."""

    receipts: dict[int, list[Receipt]] = field(default_factory=dict)
    closed: dict[int, dict[int, NotificationState]] = field(default_factory=dict)
    open: dict[tuple[int, int], int] = field(default_factory=dict)
    seen: dict[tuple[int, int], set[DeliveryState]] = field(default_factory=dict)

    def add(self, one: Delivery, outcome: Outcome, state: DeliveryState, at_unix_ms: int) -> None:
        of = one.notification
        self.receipts.setdefault(of.segment, []).append(Receipt(
            of.id, state, at_unix_ms, one.provider, one.device_key, outcome.status, cut(outcome.reason, 64),
            one.attempts, one.possibly_delivered, cut(one.provider_message_id or "", 160), of.tenant_tag, of.app_tag,
        ))
        key = (of.segment, of.index)
        if state == DeliveryState.PENDING or not self.open[key]:
            return
        self.seen.setdefault(key, set()).add(state)
        self.open[key] -= 1
        if not self.open[key]:
            self.closed.setdefault(of.segment, {})[of.index] = model_sum(self.seen[key])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_log_tells_what_the_model_tells(data: st.DataObject) -> None:
    log, model = ReceiptLog(), ModelLog()
    segments = data.draw(st.lists(st.integers(0, 2**46 - 1), min_size=1, max_size=80, unique=True))
    notifications = [notification(s, i, data.draw(st.integers(1, 3))) for s in segments for i in range(2)]
    model.open = {(n.segment, n.index): n.open_deliveries for n in notifications}
    for at_unix_ms in range(3):
        deliveries = [
            delivery(
                data.draw(st.sampled_from(notifications)), key, data.draw(st.integers(0, 65535)),
                data.draw(st.none() | st.text(CHARACTERS, max_size=200)),
            )
            for key in range(data.draw(st.integers(0, 30)))
        ]
        outcomes = [data.draw(OUTCOMES) for _ in deliveries]
        states = [data.draw(st.sampled_from(DeliveryState)) for _ in deliveries]
        log.add_many(deliveries, outcomes, bytes(states), at_unix_ms)
        for one, outcome, state in zip(deliveries, outcomes, states, strict=True):
            model.add(one, outcome, state, at_unix_ms)
    assert log.events == sum(map(len, model.receipts.values()))
    updates = log.take()
    assert {u.segment: unpack_events(u.events, JOURNAL, u.segment, ACCEPTED_UNIX_MS) for u in updates} == model.receipts
    assert {u.segment: marks(u) for u in updates if u.closed} == model.closed
    latest = {segment: max(r.at_unix_ms for r in receipts) for segment, receipts in model.receipts.items()}
    assert {u.segment: u.at_unix_ms for u in updates} == latest
    assert {(n.segment, n.index): n.open_deliveries for n in notifications} == model.open
    assert (log.take(), log.events, log.buffered_bytes) == ([], 0, 0)


def test_many_segments_between_two_commits_stay_apart() -> None:
    log = ReceiptLog()
    of = [notification(segment * 64, 0, 1) for segment in range(5000)]
    log.add_many([delivery(n, n.segment) for n in of], [DELIVERED] * 5000, b"\1" * 5000, 1)
    updates = log.take()
    assert [u.segment for u in updates] == [n.segment for n in of]
    assert all(len(unpack_events(u.events, 0, u.segment, 0)) == 1 for u in updates)
    assert all(marks(u) == {0: NotificationState.DELIVERED} for u in updates)


@pytest.mark.parametrize(
    ("deliveries", "outcomes", "states"), [(2, 1, b"\1\1"), (1, 1, b"\1\1"), (1, 1, b"\6"), (1, 1, b"\xff")],
)
def test_wrong_shape_or_state_is_refused_before_anything_noted(deliveries: int, outcomes: int, states: bytes) -> None:
    log, of = ReceiptLog(), notification(1, 0, 5)
    with pytest.raises(ValueError, match=r"deliveries|DeliveryState"):
        log.add_many([delivery(of, 1)] * deliveries, [DELIVERED] * outcomes, states, 1)
    assert (log.events, of.open_deliveries, log.take()) == (0, 5, [])


def test_foreign_objects_are_refused() -> None:
    with pytest.raises(TypeError):
        ReceiptLog().add_many([object()], [DELIVERED], b"\1", 1)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        ReceiptLog().close_many([object()], DeliveryState.EXPIRED, "", 1)  # type: ignore[list-item]


def test_notification_without_delivery_closes_with_one_event_of_no_device() -> None:
    log = ReceiptLog()
    log.close_many([notification(3, 0), notification(3, 5)], DeliveryState.EXPIRED, "too late", 9)
    (update,) = log.take()
    assert marks(update) == {0: NotificationState.EXPIRED, 5: NotificationState.EXPIRED}
    first, second = unpack_events(update.events, JOURNAL, 3, ACCEPTED_UNIX_MS)
    assert (first.device_key, first.reason, first.state, first.at_unix_ms) == (0, "too late", DeliveryState.EXPIRED, 9)
    assert second.notification_id == make_id(ACCEPTED_UNIX_MS, JOURNAL, 3, 5)


def test_closing_what_was_delivered_in_part_says_so() -> None:
    log, of = ReceiptLog(), notification(3, 0, 2)
    log.add_many([delivery(of, 1)], [DELIVERED], b"\1", 1)
    log.close_many([of], DeliveryState.CANCELLED, "cancelled", 2)
    assert marks(log.take()[0]) == {0: NotificationState.PARTIALLY_DELIVERED}
    assert of.open_deliveries == 0


def test_a_state_that_is_not_final_cannot_close() -> None:
    with pytest.raises(ValueError, match="final"):
        ReceiptLog().close_many([notification(1, 0)], DeliveryState.PENDING, "", 1)


def test_one_answer_too_many_is_counted_and_closes_nothing_twice() -> None:
    log, of = ReceiptLog(), notification(3, 0, 1)
    log.add_many([delivery(of, 1), delivery(of, 1)], [DELIVERED] * 2, b"\1\2", 1)
    assert (log.overruns, of.open_deliveries) == (1, 0)
    (update,) = log.take()
    assert len(update.closed) == 4
    assert len(unpack_events(update.events, 0, 3, 0)) == 2


def test_reason_that_is_no_unicode_becomes_a_question_mark() -> None:
    log, of = ReceiptLog(), notification(3, 0, 1)
    log.add_many([delivery(of, 1)], [Outcome(OutcomeKind.REJECTED, 400, "\ud800")], b"\2", 1)
    assert unpack_events(log.take()[0].events, 0, 3, 0)[0].reason == "?"


def test_events_of_one_index_can_be_asked_for() -> None:
    log = ReceiptLog()
    log.close_many([notification(3, index) for index in (1, 2, 1)], DeliveryState.FAILED, "r", 1)
    assert [len(unpack_events(log.take()[0].events, 0, 3, 0, 1))] == [2]


@given(st.binary(max_size=200))
def test_damaged_events_never_read_beyond_their_end(damaged: bytes) -> None:
    try:
        receipts = unpack_events(damaged, 0, 0, 0)
    except (StoreFailure, ValueError):
        return
    assert len(receipts) * 37 <= len(damaged)


def test_cut_short_events_are_refused() -> None:
    log = ReceiptLog()
    log.close_many([notification(3, 0)], DeliveryState.FAILED, "reason", 1)
    events = log.take()[0].events
    for length in range(1, len(events)):
        with pytest.raises(StoreFailure):
            unpack_events(events[:length], 0, 3, 0)


def test_finished_devices_tells_only_of_open_notifications_and_final_states() -> None:
    log = ReceiptLog()
    half, done = notification(3, 0, 3), notification(3, 1, 1)
    log.add_many([delivery(half, 11), delivery(done, 12), delivery(half, 13)], [DELIVERED] * 3, b"\1\1\0", 1)
    first = log.take()[0]
    log.add_many([delivery(half, 14)], [DELIVERED], b"\2", 2)
    rows = [first.events, log.take()[0].events]
    finished = finished_devices(rows, bytes([NotificationState.ACCEPTED, NotificationState.DELIVERED]))
    assert finished == {0: (frozenset({11, 14}), 1 << DeliveryState.DELIVERED | 1 << DeliveryState.FAILED)}
    with pytest.raises(StoreFailure, match="names message"):
        finished_devices(rows, bytes(1))


def test_applying_marks_twice_closes_once() -> None:
    states = bytearray([NotificationState.ACCEPTED, NotificationState.SCHEDULED, NotificationState.DELIVERED])
    closed = struct.pack("=3I", 0 << 8 | 3, 1 << 8 | 5, 2 << 8 | 3)
    assert apply_closed(states, closed) == 2
    assert states == bytes([3, 5, NotificationState.DELIVERED])
    assert apply_closed(states, closed) == 0
    with pytest.raises(StoreFailure, match="names message 3"):
        apply_closed(states, struct.pack("=I", 3 << 8 | 1))


@given(st.sets(FINAL, min_size=1))
def test_summed_state_is_the_models(states: set[DeliveryState]) -> None:
    assert summed_state(sum(1 << state for state in states)) == model_sum(states)
