"""The parts of a soak: when it is calm, what its book says, which slopes are seen, and what is drawn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from bench.plots import draw_section
from bench.results import SectionResult, Series
from bench.soak.book import Book
from bench.soak.phases import Stage, Timeline
from bench.soak.plot import PHASES_PLOT
from bench.soak.trends import slope
from core.notification_id import format_id, make_id, parse_id_text
from protos.walletpush.v1.receipt_pb2 import DELIVERY_STATE_DELIVERED, DELIVERY_STATE_FAILED, Receipt

TROUBLES = ("one", "two", "three")
BEGAN_US = 1_790_000_000_000_000


@given(st.floats(5.0, 20_000.0))
def test_every_trouble_comes_and_is_followed_by_recovery_and_calm(seconds: float) -> None:
    timeline = Timeline(seconds, TROUBLES)
    assert {phase.trouble for phase in timeline.phases if phase.stage is Stage.TROUBLE} == set(TROUBLES)
    assert all(before.end_s == after.start_s for before, after in pairwise(timeline.phases))
    assert timeline.phases[-1].end_s == pytest.approx(seconds)
    assert timeline.slot_s <= 160.0
    for before, after in pairwise(timeline.phases):
        assert (before.stage, after.stage) in {
            (Stage.CALM, Stage.TROUBLE), (Stage.TROUBLE, Stage.RECOVERY), (Stage.RECOVERY, Stage.CALM),
        }  # fmt: skip


def test_a_moment_belongs_to_the_phase_that_has_begun() -> None:
    timeline = Timeline(300.0, TROUBLES)
    trouble = timeline.phases[1]
    assert timeline.at(0.0).stage is Stage.CALM
    assert timeline.at(trouble.start_s) is trouble
    assert timeline.at(trouble.end_s).stage is Stage.RECOVERY
    assert timeline.at(1e9) is timeline.phases[-1]
    assert [timeline.third(at_s) for at_s in (0.0, 100.0, 299.0, 400.0)] == [0, 1, 2, 2]


def test_a_slope_is_not_bent_by_a_few_wild_points() -> None:
    x = [float(number) for number in range(60)]
    y = [2.0 * at + 5.0 for at in x]
    y[3], y[30], y[57] = 10_000.0, -5_000.0, 10_000.0
    assert slope(x, y) == pytest.approx(2.0, abs=0.05)
    assert slope([], []) == slope([1.0], [1.0]) == 0.0


def receipt(notification_id: str, at_us: int, reason: str = "", *, uncertain: bool = False) -> Receipt:
    time = Timestamp()
    time.FromMicroseconds(at_us)
    state = DELIVERY_STATE_FAILED if reason else DELIVERY_STATE_DELIVERED
    return Receipt(
        notification_id=notification_id, state=state, time=time, reason=reason, possibly_delivered=uncertain
    )


def an_id(number: int) -> str:
    return format_id(make_id(BEGAN_US // 1_000, 0, 1, number))


def test_the_book_files_times_by_the_phase_in_which_a_payment_was_due() -> None:
    timeline = Timeline(300.0, TROUBLES)
    book = Book(timeline, BEGAN_US)
    trouble_us = BEGAN_US + int(timeline.phases[1].start_s * 1e6) + 1
    for number, due_us in enumerate((BEGAN_US, trouble_us)):
        assert book.due(7, payment=True, at_unix_us=due_us) == number
        book.take(number, an_id(number), due_us + 2_000)
        book.hear([receipt(an_id(number), due_us + 9_000)])
    offer = book.due(7, payment=False, at_unix_us=BEGAN_US)
    book.take(offer, an_id(offer), BEGAN_US + 50_000)
    assert {name: times.delivered.count for name, times in book.times.items()} == {
        "calm, first third": 1, "one": 1,
    }  # fmt: skip
    assert book.times["one"].accepted.percentile(50.0) == pytest.approx(2_000, rel=0.01)
    assert book.times["one"].delivered.percentile(50.0) == pytest.approx(9_000, rel=0.01)
    assert (book.accepted, book.delivered, book.open) == (3, 2, 1)


def test_a_receipt_may_come_before_the_answer_and_a_second_one_is_a_stranger() -> None:
    book = Book(Timeline(300.0, TROUBLES), BEGAN_US)
    number = book.due(7, payment=True, at_unix_us=BEGAN_US)
    told = receipt(an_id(5), BEGAN_US + 1, uncertain=True)
    book.hear([told])
    assert (book.open, book.strangers) == (0, 1)
    book.take(number, an_id(5), BEGAN_US + 2)
    assert (book.open, book.strangers) == (0, 0)
    (one,) = book.delivered_ones()
    assert (one.number, one.user, one.id, one.uncertain) == (number, 7, parse_id_text(an_id(5)), True)
    book.hear([told])
    assert book.strangers == 1


def test_the_book_tells_whose_device_was_called_dead() -> None:
    book = Book(Timeline(300.0, TROUBLES), BEGAN_US)
    for user, reason in ((3, "Unregistered"), (4, "Timeout"), (5, "NO_DEVICES")):
        number = book.due(user, payment=True, at_unix_us=BEGAN_US)
        book.take(number, an_id(number), BEGAN_US + 1)
        book.hear([receipt(an_id(number), BEGAN_US + 2, reason)])
    assert list(book.ended_by_death) == [3, 5]
    assert book.failed == {"Unregistered": 1, "Timeout": 1, "NO_DEVICES": 1}
    assert list(book.delivered_ones()) == []


def test_a_soak_is_drawn_over_time_with_its_troubles(tmp_path: Path) -> None:
    plots = ("accepted_per_s", "delivered_per_s", "p50_ms", "p99_ms", "pending", "cpu", "rss", "heap",
             "supervisor_rss", "files")  # fmt: skip
    at_s = (1.0, 2.0, 3.0)
    lines = [Series(f"soak.{plot}", f"line {plot}", "s", "", at_s, (0.0, 5.0, 9.0)) for plot in plots]
    trouble = Series(PHASES_PLOT, "black hole", "s", "", (1.0, 2.0), (1.0, 1.0))
    (path,) = draw_section(SectionResult("soak", series=(*lines, trouble)), tmp_path)
    svg = path.with_suffix(".svg").read_text()
    assert path.read_bytes().startswith(b"\x89PNG")
    assert all(f"<!-- line {plot} -->" in svg for plot in plots)
    assert "<!-- black hole -->" in svg
    assert list(draw_section(SectionResult("soak"), tmp_path)) == []
