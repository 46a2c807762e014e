"""Figures and runs of the bench as values, and the way to JSON and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.latency import LatencyRecorder
from bench.results import (
    Bars,
    Better,
    Figure,
    MachineFacts,
    ResultTable,
    RunResult,
    SectionResult,
    Series,
    cell,
    read_run,
    read_section,
    write_run,
    write_section,
)
from bench.tables import figures_table, markdown_run, markdown_table, missed


def section() -> SectionResult:
    recorder = LatencyRecorder()
    recorder.record_all([1_000.0, 2_000.0])
    return SectionResult(
        "egress",
        (
            Figure("egress.rate", "requests/s", (100.0, 300.0, 200.0), Better.HIGHER, 150.0, 2),
            Figure("egress.cpu_us", "us", (5.0,), Better.LOWER, 4.0),
            Figure("egress.told", "MiB", (7.0,)),
        ),
        (ResultTable("Rates", ("client", "requests/s"), (("a|b", "1,000"),)),),
        (recorder.result("egress.call", corrected=True),),
        (Series("rates", "adapter", "s", "1/s", (0.0, 1.0), (5.0, 6.0)),),
        (Bars("sides", "1/s", ("1",), ("adapter",), (("egress.rate",),)),),
        ("Both on loopback.",),
        1.5,
    )


def run() -> RunResult:
    machine = MachineFacts("a processor", 2, 24_000, "Linux 6", {"python": "3.11"})
    return RunResult("0123456789abcdef+", 1_800_000_000_000, machine, {"scale": "smoke", "peers": ""}, (section(),))


def test_a_figure_tells_its_median_and_spread() -> None:
    figure = section().figures[0]
    assert figure.median == 200.0
    assert figure.spread == (100.0, 300.0)


@pytest.mark.parametrize(
    ("better", "target", "reached"),
    [
        (Better.HIGHER, 10.0, True), (Better.HIGHER, 11.0, False), (Better.LOWER, 10.0, True),
        (Better.LOWER, 9.0, False), (Better.NEITHER, 9.0, None), (Better.HIGHER, None, None),
    ],
)  # fmt: skip
def test_a_target_is_reached_on_the_better_side_of_it(better: Better, target: float | None, reached: object) -> None:
    assert Figure("x", "u", (9.0, 10.0, 12.0), better, target).reached is reached


def test_a_run_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    write_run(run(), tmp_path / "new" / "run.json")
    assert read_run(tmp_path / "new" / "run.json") == run()


def test_a_section_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    write_section(section(), tmp_path / "section.json")
    assert read_section(tmp_path / "section.json") == section()


def test_another_file_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"commit": 1}')
    with pytest.raises(ValidationError):
        read_run(tmp_path / "run.json")


def test_a_cell_shows_the_spread_only_of_several() -> None:
    assert cell([1234.5], 1) == "1,234.5"
    assert cell([3.0, 1.0, 2.0]) == "2 (1-3)"


def test_the_table_of_figures_names_what_was_missed() -> None:
    rows = figures_table(section()).rows
    assert rows[0] == ("egress.rate", "200 (100-300)", "requests/s", "150", "reached", "2 of 3")
    assert rows[1] == ("egress.cpu_us", "5.00", "us", "4.00", "MISSED", "")
    assert [figure.name for figure in missed(run())] == ["egress.cpu_us"]


def test_markdown_keeps_bars_in_cells_and_sets_numbers_right() -> None:
    assert markdown_table(section().tables[0]).splitlines()[2:] == [
        "| client | requests/s |", "| --- | ---: |", "| a\\|b | 1,000 |",
    ]  # fmt: skip


def test_the_report_holds_tables_notes_commit_and_only_the_sections_own_plots() -> None:
    report = markdown_run(run(), ["plots/egress-sides.png", "plots/memory-rss.png"])
    assert "0123456+" in report
    assert "- Both on loopback." in report
    assert "![plots/egress-sides.png]" in report
    assert "memory-rss" not in report
