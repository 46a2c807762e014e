"""The bench's plots: which files are drawn, and what stands in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.latency import LatencyRecorder
from bench.plots import compact, draw_section
from bench.results import Bars, Figure, SectionResult, Series

PNG = b"\x89PNG"


def drawn(section: SectionResult, directory: Path) -> dict[str, str]:
    """Draw a section; return the SVGs by name, each beside a PNG."""
    paths = list(draw_section(section, directory))
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    return {path.stem: path.with_suffix(".svg").read_text() for path in paths}


def test_bars_skip_what_was_not_measured_and_tell_medians(tmp_path: Path) -> None:
    figures = (Figure("s.a", "1/s", (90.0, 100.0, 120.0)), Figure("s.b", "1/s", (5_000.0,)))
    names = (("s.a", "s.none"), ("s.b", ""))
    bars = Bars("Sides", "requests/s", ("one", "two"), ("adapter", "peer"), names, log_y=True)
    (svg,) = drawn(SectionResult("s", figures, bars=(bars,)), tmp_path).values()
    for text in ("Sides", "requests/s", "adapter", "peer", "one", "two", "100", "5k"):
        assert f"<!-- {text} -->" in svg


def test_lines_of_one_plot_share_it_and_others_get_their_own(tmp_path: Path) -> None:
    lines = tuple(Series(plot, name, "devices", "us", (1.0, 1e6), (2.0, 3.0), log_x=True)
                  for plot, name in (("CPU", "first"), ("CPU", "second"), ("Memory", "third")))  # fmt: skip
    found = drawn(SectionResult("growth", series=lines), tmp_path)
    assert list(found) == ["growth-cpu", "growth-memory"]
    assert "<!-- first -->" in found["growth-cpu"]
    assert "<!-- second -->" in found["growth-cpu"]
    assert "<!-- 1M -->" in found["growth-cpu"]
    assert "<!-- third -->" not in found["growth-cpu"]


def test_more_lines_than_colours_go_to_further_plots(tmp_path: Path) -> None:
    lines = tuple(Series("CPU", f"line {number}", "s", "us", (0.0, 1.0), (1.0, 2.0)) for number in range(9))
    assert list(drawn(SectionResult("s", series=lines), tmp_path)) == ["s-cpu-1-of-2", "s-cpu-2-of-2"]


def test_latencies_are_drawn_as_far_as_their_count_reaches(tmp_path: Path) -> None:
    recorder = LatencyRecorder()
    recorder.record_all(range(1, 2_001))
    times = (recorder.result("s.call.open", corrected=True), recorder.result("s.call.shut"))
    found = drawn(SectionResult("s", latencies=times), tmp_path)
    assert list(found) == ["s-latency-s-call"]
    svg = found["s-latency-s-call"]
    for text in ("open", "shut (closed loop)", "50 %", "99 %", "99.9 %"):
        assert f"<!-- {text} -->" in svg
    assert "<!-- 99.99 % -->" not in svg


def test_a_latency_that_was_never_recorded_is_drawn_all_the_same(tmp_path: Path) -> None:
    assert drawn(SectionResult("s", latencies=(LatencyRecorder().result("s.none"),)), tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (12.0, "12"), (1_500.0, "1.5k"), (250_886.0, "251k"), (1e6, "1M"), (2e9, "2G")]
)
def test_numbers_are_short_enough_for_an_axis(value: float, text: str) -> None:
    assert compact(value) == text
