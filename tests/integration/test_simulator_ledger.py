"""The ledger counts what came once, twice and never, also when it is put together from several."""

from __future__ import annotations

from adapters.simulators.ledger import ACCEPTED, Ledger

GONE = (410, "Unregistered")


def _ledger() -> Ledger:
    times = iter((1.0, 2.0, 3.5))
    ledger = Ledger(clock_s=lambda: next(times))
    ledger.record(b"id-1", b"t1", b"c1", ACCEPTED)
    ledger.record(b"id-2", b"t2", b"c2", GONE)
    ledger.record(b"id-3", b"t3", b"c3", (503, "ServiceUnavailable"))
    ledger.record(b"id-3", b"t3", b"c3", ACCEPTED)
    ledger.record(b"id-1", b"t1", b"c1b", ACCEPTED)
    ledger.record_unanswered(b"id-1")
    ledger.record_unanswered(b"id-1")
    return ledger


def test_totals_are_by_status_and_by_reason() -> None:
    summary = _ledger().summary()
    assert summary == {
        "requests": 5,
        "accepted": 3,
        "distinct": 2,
        "duplicates": 1,
        "unanswered": 2,
        "by_status": {"200": 3, "410": 1, "503": 1},
        "by_reason": {"200": 3, "410 Unregistered": 1, "503 ServiceUnavailable": 1},
    }


def test_duplicates_show_each_collapse_id_and_token() -> None:
    assert _ledger().duplicates() == [{"id": "id-1", "tokens": ["t1", "t1"], "collapse_ids": ["c1", "c1b"]}]


def test_retry_after_a_refusal_is_no_duplicate() -> None:
    ledger = _ledger()
    assert (len(ledger.arrivals("id-3")), ledger.refusals("id-3")) == (1, 1)


def test_refused_and_unknown_messages_are_missing() -> None:
    assert _ledger().missing(["id-1", "id-2", "id-3", "id-4"]) == ["id-2", "id-4"]


def test_unanswered_messages_are_named() -> None:
    assert _ledger().unanswered() == {"id-1": 2}


def test_times_are_those_of_the_first_arrival() -> None:
    assert _ledger().times() == {"id-1": 1000, "id-3": 2000}


def test_absorbed_dump_adds_up_and_finds_duplicates_across_ledgers() -> None:
    merged, other = Ledger(), Ledger()
    other.record(b"id-3", b"t3", b"c3", ACCEPTED)
    merged.absorb(_ledger().dump())
    merged.absorb(other.dump())
    assert (merged.summary()["requests"], merged.summary()["unanswered"]) == (6, 2)
    assert sorted(each["id"] for each in merged.duplicates()) == ["id-1", "id-3"]
    assert (merged.refusals("id-2"), merged.unanswered()) == (1, {"id-1": 2})


def test_counting_ledger_forgets_messages() -> None:
    ledger = Ledger(keeps_ids=False)
    ledger.record(b"id-1", b"t1", b"c1", ACCEPTED)
    ledger.record_unanswered(b"id-1")
    assert (ledger.summary()["unanswered"], ledger.unanswered()) == (1, {"": 1})
    assert (ledger.summary()["accepted"], ledger.summary()["distinct"], ledger.ids()) == (1, 0, [])


def test_bytes_that_are_no_text_do_not_break_a_query() -> None:
    ledger = Ledger()
    ledger.record(b"\xff", b"\xfe", b"\xfd", ACCEPTED)
    assert ledger.ids() == ["\ufffd"]


def test_cleared_ledger_is_empty() -> None:
    ledger = _ledger()
    ledger.clear()
    assert ledger.summary() == Ledger().summary()
