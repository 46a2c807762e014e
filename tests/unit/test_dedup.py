"""The dedup window in one process: against a plain model, and rule by rule."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dedup import DedupWindow, Verdict

NOW = 1_800_000_000_000
WINDOW = 1_000
SLICES = 4
SLICE = WINDOW // SLICES

Element = tuple[int, int]


def key_of(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") + number.to_bytes(8, "little")


@dataclass
class Checked:
    verdicts: list[Verdict]
    ids: list[int]
    positions: memoryview
    fresh: int
    own: list[int]


class Caller:
    """A worker's view of a window, with the buffers that a call needs and ids counted up."""

    def __init__(self, buffer: bytearray, worker: int = 0) -> None:
        self.window = DedupWindow(buffer, worker)
        self.ids = itertools.count(worker * 1_000_000 + 1)

    def check(self, elements: list[Element], now_unix_ms: int = NOW) -> Checked:
        n = len(elements)
        own = [next(self.ids) for _ in elements]
        verdicts, found = bytearray(n), bytearray(16 * n)
        positions = memoryview(bytearray(8 * n)).cast("Q")
        fresh = self.window.check_many(
            b"".join(key_of(key) for key, _ in elements),
            words(body for _, body in elements),
            b"".join(number.to_bytes(16, "little") for number in own),
            now_unix_ms,
            verdicts,
            found,
            positions,
        )
        ids = [int.from_bytes(found[16 * i : 16 * i + 16], "little") for i in range(n)]
        return Checked([Verdict(v) for v in verdicts], ids, positions, fresh, own)

    def restore(self, rows: list[tuple[int, int, int, int]]) -> int:
        return self.window.restore_many(
            b"".join(key_of(row[0]) for row in rows),
            words(row[1] for row in rows),
            b"".join(row[2].to_bytes(16, "little") for row in rows),
            words(row[3] for row in rows),
        )


def words(numbers: object) -> memoryview:
    held = memoryview(bytearray(b"".join(n.to_bytes(8, "little") for n in numbers)))  # type: ignore[attr-defined]
    return held.cast("Q")


def make(capacity: int = 64) -> bytearray:
    buffer = bytearray(DedupWindow.required_bytes(capacity))
    DedupWindow.create(buffer, capacity, WINDOW, SLICES)
    return buffer


@dataclass
class Model:
    """The window as a list: every entry ever placed, with its slice."""

    capacity: int
    slice: int = 0
    placed: list[int] = field(default_factory=list)
    entries: dict[int, tuple[int, int, int, bool, int]] = field(default_factory=dict)
    batch: int = 0

    def check(self, elements: list[Element], ids: list[int], now_unix_ms: int) -> list[tuple[Verdict, int]]:
        self.slice = max(self.slice, now_unix_ms // SLICE)
        self.batch += 1
        self.placed = [label for label in self.placed if self.slice - label <= SLICES]
        self.entries = {key: e for key, e in self.entries.items() if self.slice - e[0] <= SLICES}
        return [self.judge(key, body, own) for (key, body), own in zip(elements, ids, strict=True)]

    def judge(self, key: int, body: int, own: int) -> tuple[Verdict, int]:
        if key in self.entries:
            _, first_body, first_id, committed, batch = self.entries[key]
            if not committed and batch != self.batch:
                return Verdict.IN_FLIGHT, first_id
            return (Verdict.DUPLICATE if first_body == body else Verdict.CONFLICT), first_id
        if len(self.placed) >= self.capacity:
            return Verdict.FULL, own
        self.placed.append(self.slice)
        self.entries[key] = (self.slice, body, own, False, self.batch)
        return Verdict.NEW, own

    def settle(self, batch: int, *, commit: bool) -> int:
        held = [key for key, e in self.entries.items() if e[4] == batch and not e[3]]
        for key in held:
            label, body, own, _, _ = self.entries.pop(key)
            if commit:
                self.entries[key] = (label, body, own, True, batch)
        return len(held)


BATCHES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1)), min_size=1, max_size=12),
        st.integers(-100, 400),
        st.sampled_from(["commit", "release", "later"]),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(BATCHES, st.integers(1, 40))
def test_verdicts_are_those_of_the_plain_model(
    batches: list[tuple[list[Element], int, str]], capacity: int
) -> None:
    caller, model, now = Caller(make(capacity)), Model(capacity), NOW
    later: list[tuple[Checked, int]] = []
    for elements, passed_ms, then in batches:
        now += passed_ms
        checked = caller.check(elements, now)
        expected = model.check(elements, checked.own, now)
        assert list(zip(checked.verdicts, checked.ids, strict=True)) == expected
        assert checked.fresh == checked.verdicts.count(Verdict.NEW)
        assert caller.window.used == len(model.placed)
        later.append((checked, model.batch))
        if then != "later":
            settle = caller.window.commit_many if then == "commit" else caller.window.release_many
            for past, batch in later:
                # A reservation that outlived the window is held until its place is reused.
                assert model.settle(batch, commit=then == "commit") <= settle(past.positions) <= past.fresh
            later.clear()


def test_a_key_is_found_for_the_whole_window_and_forgotten_a_slice_later() -> None:
    caller = Caller(make())
    first = caller.check([(1, 0)], NOW + SLICE - 1)
    caller.window.commit_many(first.positions)
    again = caller.check([(1, 0)], NOW + SLICE - 1 + WINDOW)
    assert (again.verdicts, again.ids) == ([Verdict.DUPLICATE], first.own)
    assert caller.check([(1, 0)], NOW + SLICE + WINDOW).verdicts == [Verdict.NEW]


def test_a_full_window_refuses_and_says_when_room_appears() -> None:
    caller = Caller(make(capacity=2))
    assert caller.check([(1, 0), (2, 0), (3, 0)]).verdicts == [Verdict.NEW, Verdict.NEW, Verdict.FULL]
    frees_at = caller.window.frees_at_unix_ms(NOW)
    assert frees_at == NOW + SLICE + WINDOW
    assert caller.check([(3, 0)], frees_at - 1).verdicts == [Verdict.FULL]
    assert caller.check([(3, 0)], frees_at).verdicts == [Verdict.NEW]


def test_room_appears_slice_by_slice() -> None:
    caller = Caller(make(capacity=2))
    caller.check([(1, 0)])
    caller.check([(2, 0)], NOW + 2 * SLICE)
    assert caller.window.frees_at_unix_ms(NOW + 2 * SLICE) == NOW + SLICE + WINDOW
    assert caller.window.frees_at_unix_ms(NOW + SLICE + WINDOW) == NOW + 3 * SLICE + WINDOW


def test_time_that_goes_back_forgets_nothing() -> None:
    caller = Caller(make())
    caller.window.commit_many(caller.check([(1, 0)]).positions)
    assert caller.check([(1, 0)], NOW - 10 * WINDOW).verdicts == [Verdict.DUPLICATE]


def test_a_new_epoch_voids_what_its_worker_left_uncommitted() -> None:
    buffer = make()
    dead, other = Caller(buffer, worker=1), Caller(buffer, worker=2)
    dead.window.commit_many(dead.check([(1, 0)]).positions)
    left = dead.check([(2, 0)])
    assert other.check([(1, 0), (2, 0)]).verdicts == [Verdict.DUPLICATE, Verdict.IN_FLIGHT]
    successor = Caller(buffer, worker=1)
    assert other.check([(2, 0)]).verdicts == [Verdict.IN_FLIGHT], "attaching must not void: the journal comes first"
    successor.window.begin()
    assert other.check([(1, 0), (2, 0)]).verdicts == [Verdict.DUPLICATE, Verdict.NEW]
    assert dead.window.commit_many(left.positions) == 0


def test_a_retired_worker_holds_no_key() -> None:
    buffer = make()
    dead, other = Caller(buffer, worker=1), Caller(buffer, worker=2)
    dead.check([(1, 0)])
    DedupWindow.retire(buffer, 1)
    assert other.check([(1, 0)]).verdicts == [Verdict.NEW]


def test_a_restored_journal_answers_as_before_the_crash() -> None:
    buffer = make()
    rows = [(1, 7, 101, NOW - WINDOW), (2, 7, 102, NOW - SLICE), (3, 7, 103, NOW)]
    caller = Caller(buffer)
    assert caller.restore(rows) == 3
    assert caller.restore(rows) == 0
    checked = caller.check([(1, 7), (2, 8), (3, 7), (4, 7)])
    assert checked.verdicts == [Verdict.DUPLICATE, Verdict.CONFLICT, Verdict.DUPLICATE, Verdict.NEW]
    assert checked.ids[:3] == [101, 102, 103]
    assert caller.check([(1, 7), (2, 7)], NOW + SLICE).verdicts == [Verdict.NEW, Verdict.DUPLICATE]


def test_restoring_passes_over_what_the_window_has_outlived() -> None:
    caller = Caller(make())
    assert caller.restore([(2, 7, 102, NOW), (1, 7, 101, NOW - 2 * WINDOW)]) == 1
    assert caller.check([(1, 7)]).verdicts == [Verdict.NEW]


def test_restoring_makes_the_reservation_of_a_journaled_key_permanent() -> None:
    buffer = make()
    journaled = Caller(buffer, worker=1).check([(1, 7)])
    successor, other = Caller(buffer, worker=1), Caller(buffer, worker=2)
    assert successor.restore([(1, 7, journaled.own[0], NOW)]) == 0
    successor.window.begin()
    assert other.check([(1, 7)]).ids == journaled.own


def test_restoring_overrules_a_dead_reservation_under_another_id() -> None:
    buffer = make()
    Caller(buffer, worker=1).check([(1, 7)])
    successor = Caller(buffer, worker=1)
    assert successor.restore([(1, 7, 999, NOW)]) == 1
    assert successor.check([(1, 7)]).ids == [999]


def test_restoring_more_than_fits_is_an_error() -> None:
    with pytest.raises(OverflowError, match="holds 1 keys"):
        Caller(make(capacity=1)).restore([(1, 7, 1, NOW), (2, 7, 2, NOW)])


def test_commit_of_nothing_is_nothing() -> None:
    caller = Caller(make())
    assert caller.check([]).fresh == 0
    assert caller.window.commit_many(words([0, 2**64 - 1, 5])) == 0


def test_a_long_pause_leaves_an_empty_window() -> None:
    caller = Caller(make(capacity=1))
    for pause in (0, 5, 61, 2**15 + 1, 2**17 + 3):
        assert caller.check([(pause, 0)], NOW + pause * 1000 * WINDOW).verdicts == [Verdict.NEW]


@pytest.mark.parametrize("worker", [-1, 256])
def test_a_worker_beyond_the_epochs_is_refused(worker: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 255"):
        DedupWindow(make(), worker)
    with pytest.raises(ValueError, match="between 0 and 255"):
        DedupWindow.retire(make(), worker)


def test_a_buffer_of_another_program_or_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no dedup window"):
        DedupWindow(bytearray(10_000), 0)
    with pytest.raises(ValueError, match="needs a buffer of 64 bytes"):
        DedupWindow(bytearray(10), 0)
    old = make()
    old[8] = 9
    with pytest.raises(ValueError, match="layout version 9"):
        DedupWindow(old, 0)
    damaged = make()
    damaged[24] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        DedupWindow(damaged, 0)
    with pytest.raises(ValueError, match="needs a buffer of"):
        DedupWindow(make()[:-1], 0)
    with pytest.raises(BufferError):
        DedupWindow(bytes(make()), 0)


@pytest.mark.parametrize(("capacity", "window_ms", "slices"), [(0, 1000, 4), (8, 199, 4), (8, 1000, 0), (8, 9000, 31)])
def test_an_impossible_layout_is_refused(capacity: int, window_ms: int, slices: int) -> None:
    with pytest.raises(ValueError, match=r"capacity|slices"):
        DedupWindow.create(bytearray(10_000), capacity, window_ms, slices)


def test_parallel_buffers_of_unlike_lengths_are_refused() -> None:
    window = DedupWindow(make(), 0)
    with pytest.raises(ValueError, match="for 1 keys"):
        window.check_many(bytes(15), words([1]), bytes(16), NOW, bytearray(1), bytearray(16), words([0]))
    with pytest.raises(ValueError, match="15 bytes of found_ids"):
        window.check_many(bytes(16), words([1]), bytes(16), NOW, bytearray(1), bytearray(15), words([0]))
    with pytest.raises(ValueError, match="unix milliseconds"):
        window.check_many(bytes(16), words([1]), bytes(16), NOW * 10**6, bytearray(1), bytearray(16), words([0]))
