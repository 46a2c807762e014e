"""The picture that top draws: it fits, it shows what is wrong first, it says when nobody answers."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gateway.top.alarms import alarms
from gateway.top.figures import (
    CLASSES,
    ClassFigures,
    LaneFigures,
    Latency,
    ProcessFigures,
    RouteFigures,
    Snapshot,
    StoreFigures,
)
from gateway.top.history import BARS, KEPT, History, sparkline
from gateway.top.run import as_json
from gateway.top.source import NoAnswer
from gateway.top.view import Screen

FAST = Latency(100, 1.5, 3.25, 12.0)
NOTHING = Latency(0, math.nan, math.nan, math.nan)
STORES = StoreFigures(FAST, FAST, 40 << 20, 0.05, 0, False, 0.12)


def a_class(name: str = "transactional", oldest_s: float = 0.0) -> ClassFigures:
    return ClassFigures(name, 1_234.5, 3.2, 1_230.0, 17, oldest_s, FAST)


def route(number: int = 0, **more: object) -> RouteFigures:
    made = RouteFigures(
        "apns", f"com.example.wallet{number}", 100.0 + number, 99.0, 0.0, 0.0, 5, 0.1, 40, 2, "closed", FAST
    )
    return replace(made, **more)  # type: ignore[arg-type]


def snapshot(**more: object) -> Snapshot:
    made = Snapshot(
        at_unix_s=1_750_000_000.0, seconds=1.0, version="1.2.3", workers=2, workers_ready=2, pending=1_234,
        calls_under_way=7, on_hold=0, accepted_per_s=12_345.6, delivered_per_s=12_000.0,
        rejected_per_s={"Overloaded": 12.0}, shed_per_s={}, classes=tuple(a_class(name) for name in CLASSES),
        routes=(route(),), lanes=(LaneFigures("apns", "wallet", "marketing", 5, 1.0),), stores=STORES,
        processes=(ProcessFigures("supervisor", 0.01, 60 << 20, 20), ProcessFigures("worker-0", 0.87, 3 << 30, 99)),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def drawn(screen: Screen, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    options = console.options.update(height=None)
    options.max_height = height
    return ["".join(one.text for one in line) for line in console.render_lines(screen, options, pad=False)]


def screen_of(*found: Snapshot | NoAnswer) -> Screen:
    screen = Screen("127.0.0.1:9090", hint="q quits")
    for one in found:
        screen.take(one)
    return screen


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (40, 22), (132, 43), (220, 60)])
@pytest.mark.parametrize("routes", [1, 4, 40])
def test_it_fits_into_any_terminal(width: int, height: int, routes: int) -> None:
    troubled = snapshot(
        workers_ready=1, routes=tuple(route(number, breaker="open") for number in range(routes)), on_hold=500,
        rejected_per_s=dict.fromkeys(("Overloaded", "InvalidRequest", "ContentRefused", "IdempotencyConflict"), 9.0),
    )  # fmt: skip
    lines = drawn(screen_of(*[troubled] * 70), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_on_a_small_terminal_all_that_matters_is_there() -> None:
    text = "\n".join(drawn(screen_of(snapshot())))
    for word in (
        "walletpush 1.2.3", "workers 2/2", "pending 1,234", "12,346/s", "transactional", "marketing", "closed",
        "com.example.wallet0", "Overloaded 12/s", "commit p50 1.5", "worker-0 87% 3.0 GiB", "p99 ms",
    ):  # fmt: skip
        assert word in text


def test_a_wide_one_shows_more_columns_and_the_last_minute() -> None:
    looks = [snapshot(accepted_per_s=float(number)) for number in range(60)]
    narrow, wide = drawn(screen_of(*looks), 80), drawn(screen_of(*looks), 200)
    assert "last minute" not in "\n".join(narrow)
    assert "last minute" in "\n".join(wide)
    assert "conns" in "\n".join(wide)
    assert BARS[-1] in wide[1]


def test_where_there_is_room_the_lanes_are_shown_the_oldest_first() -> None:
    lanes = [LaneFigures("fcm", "wallet", name, 5, float(age)) for age, name in enumerate(CLASSES)]
    high, low = (drawn(screen_of(snapshot(lanes=tuple(lanes))), 100, height) for height in (40, 16))
    shown = [line.split()[2] for line in high if line.startswith("fcm")]
    assert shown == list(reversed(CLASSES))
    assert not any(line.startswith("lane") for line in low)


def test_of_too_many_routes_those_with_trouble_are_shown() -> None:
    routes = [route(number) for number in range(40)]
    routes[17] = route(17, breaker="open", sent_per_s=0.0)
    text = "\n".join(drawn(screen_of(snapshot(routes=tuple(routes)))))
    assert "com.example.wallet17" in text
    assert "com.example.wallet39" in text
    assert "com.example.wallet3 " not in text
    assert "more routes" in text


def test_what_is_wrong_stands_above_the_tables() -> None:
    lines = drawn(screen_of(snapshot(routes=(route(breaker="open", connections=0), route(1)), workers_ready=1)))
    assert [line.strip() for line in lines[2:5]] == [
        "!! 1 of 2 workers are ready", "!! apns com.example.wallet0: breaker open",
        "!! apns com.example.wallet0: no connection",
    ]  # fmt: skip


def test_a_gateway_that_does_not_answer_is_told_over_the_last_picture() -> None:
    screen = screen_of(snapshot(), NoAnswer("Connection refused"))
    lines = drawn(screen)
    assert "no answer for 0 s: Connection refused" in lines[0]
    assert any("transactional" in line for line in lines)
    screen.take(snapshot())
    assert "no answer" not in drawn(screen)[0]
    assert len(drawn(screen_of(NoAnswer("away")))) == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        ({"workers_ready": 0}, [("critical", "0 of 2 workers are ready")]),
        ({"shed_per_s": {"journal": 5.0}}, [("critical", "5/s turned away: journal is full")]),
        ({"shed_per_s": {"pending_marketing": 5.0}}, [("warning", "5/s turned away: pending_marketing is full")]),
        ({"on_hold": 1_000}, [("warning", "1,000 dead tokens on hold (walletpush holds)")]),
        ({"routes": (route(breaker="half_open"),)}, [("warning", "apns com.example.wallet0: breaker half open")]),
        ({"routes": (route(failed_per_s=11.0),)}, [("warning", "apns com.example.wallet0: 10% fail")]),
        ({"routes": (route(retried_per_s=50.0),)}, [("warning", "apns com.example.wallet0: 50% are repeated")]),
        ({"routes": (route(latency=Latency(1, 1.0, 1.0, 2_600.0)),)},
         [("warning", "apns com.example.wallet0: answers after 2.6 s")]),
        ({"classes": (a_class("security", 11.0),)}, [("critical", "security: the oldest waits 11 s")]),
        ({"classes": (a_class("marketing", 3_000.0),)}, []),
        ({"classes": (a_class("marketing", 4_000.0),)}, [("warning", "marketing: the oldest waits 4,000 s")]),
        ({"stores": replace(STORES, journal_failing=True)}, [("critical", "the journal cannot be written")]),
        ({"stores": replace(STORES, journal_fill=0.9)}, [("warning", "a journal is 90% full")]),
        ({"stores": replace(STORES, dedup_fill=0.9)}, [("warning", "the window of idempotency keys is 90% full")]),
        ({"stores": replace(STORES, commit=Latency(1, 1.0, 1.0, 300.0))},
         [("warning", "journal commits take 300 ms")]),
        ({"stores": replace(STORES, loop_lag=Latency(1, 1.0, 1.0, 300.0))},
         [("warning", "event loops are 300 ms late")]),
    ],
)  # fmt: skip
def test_each_trouble_has_its_alarm(more: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert [(alarm.severity, alarm.text) for alarm in alarms(snapshot(**more))] == expected


@given(st.lists(st.floats(0.0, 1e9), max_size=100), st.integers(0, 100))
def test_a_sparkline_has_its_width_and_shows_the_largest_at_full_height(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(width, KEPT)
    shown = values[-KEPT:]
    if line:
        assert (BARS[-1] in line) == any(shown)
        assert (line.strip() == "") == (not any(shown))


def test_a_look_without_an_answer_is_a_gap() -> None:
    history = History()
    history.add(snapshot(accepted_per_s=5.0))
    history.skip()
    history.add(snapshot(accepted_per_s=5.0))
    assert history.of() == [5.0, 0.0, 5.0]
    assert sparkline(history.of(), KEPT).endswith(f"{BARS[-1]} {BARS[-1]}")


def test_json_has_every_figure_and_null_for_what_is_not_known() -> None:
    told = orjson.loads(as_json(snapshot(routes=(route(latency=NOTHING),), workers_ready=1)))
    assert told["routes"][0]["latency"]["p99_ms"] is None
    assert told["classes"][1]["accepted_per_s"] == 1_234.5
    assert told["alarms"] == [{"severity": "critical", "text": "1 of 2 workers are ready"}]
    assert orjson.loads(as_json(NoAnswer("away")))["error"] == "away"
