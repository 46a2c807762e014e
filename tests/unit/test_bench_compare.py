"""What counts as better, as worse and as noise between two runs of the bench."""

from __future__ import annotations

from itertools import combinations
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import main
from bench.compare import Change, Verdict, compare, mann_whitney
from bench.results import Better, Figure, MachineFacts, RunResult, SectionResult, write_run

MACHINE = MachineFacts("a processor", 2, 24_000, "Linux 6", {"python": "3.11"})


def run_of(*figures: Figure, machine: MachineFacts = MACHINE, commit: str = "a" * 40, scale: str = "full") -> RunResult:
    return RunResult(commit, 1_800_000_000_000, machine, {"scale": scale}, (SectionResult("s", figures),))


def change(
    old: tuple[float, ...], new: tuple[float, ...], better: Better = Better.LOWER, quiet: int | None = None
) -> Change:
    figures = (Figure("s.x", "us", samples, better, quiet=quiet) for samples in (old, new))
    (found,) = compare(*(run_of(figure) for figure in figures)).changes
    return found


def test_the_same_repeats_are_noise() -> None:
    assert change((10.0, 11.0, 12.0), (10.0, 11.0, 12.0)).verdict is Verdict.NOISE


@pytest.mark.parametrize(
    ("better", "verdict"),
    [(Better.LOWER, Verdict.WORSE), (Better.HIGHER, Verdict.BETTER), (Better.NEITHER, Verdict.TOLD)],
)
def test_a_clear_rise_is_judged_by_what_is_better(better: Better, verdict: Verdict) -> None:
    found = change((10.0, 10.1, 10.2), (13.0, 13.1, 13.2), better)
    assert found.verdict is verdict
    assert found.percent == pytest.approx(29.7, abs=0.1)


def test_a_clear_fall_of_a_cost_is_better() -> None:
    assert change((13.0, 13.1, 13.2), (10.0, 10.1, 10.2)).verdict is Verdict.BETTER


def test_a_small_change_is_noise_however_sharp() -> None:
    assert change((100.0, 100.1, 100.2), (104.0, 104.1, 104.2)).verdict is Verdict.NOISE


def test_repeats_of_one_run_among_the_others_are_noise() -> None:
    assert change((10.0, 10.1, 14.0), (13.0, 13.1, 13.2)).verdict is Verdict.NOISE


def test_a_change_within_the_spread_is_noise() -> None:
    found = change((10.0, 11.0, 12.0), (12.1, 12.6, 13.0))
    assert found.noise_percent == pytest.approx(1.5 * 2 / 11 * 100)
    assert found.verdict is Verdict.NOISE


def test_single_repeats_tell_only_large_changes() -> None:
    assert change((10.0,), (12.4,)).verdict is Verdict.NOISE
    assert change((10.0,), (12.6,)).verdict is Verdict.WORSE


def test_an_outlier_among_many_repeats_hides_nothing() -> None:
    assert change((10.0, 10.1, 10.2, 10.3, 10.2, 20.0), (13.0, 13.1, 13.2, 13.3, 13.4, 13.2)).verdict is Verdict.NOISE
    many = tuple(10 + place / 100 for place in range(10))
    assert change((*many, 20.0), tuple(value + 3 for value in many)).verdict is Verdict.WORSE


def test_a_run_that_was_never_quiet_is_not_judged() -> None:
    assert change((10.0, 10.1, 10.2), (13.0, 13.1, 13.2), quiet=0).verdict is Verdict.DISTURBED
    assert change((10.0, 10.1, 10.2), (13.0, 13.1, 13.2), quiet=3).verdict is Verdict.WORSE


def test_a_figure_that_was_zero_can_become_worse() -> None:
    assert change((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).verdict is Verdict.WORSE
    assert change((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)).verdict is Verdict.NOISE


def test_what_differs_around_the_runs_is_warned_about() -> None:
    other = MachineFacts("another processor", 4, 24_000, "Linux 6", {"python": "3.12"})
    warnings = compare(run_of(), run_of(machine=other, commit="b" * 40 + "+", scale="quick")).warnings
    assert warnings == (
        "processor differs: a processor, then another processor",
        "number of cores differs: 2, then 4",
        "version of python differs: 3.11, then 3.12",
        "option scale differs: full, then quick",
        "commit bbbbbbb had changes that it does not name",
    )
    assert compare(run_of(), run_of()).warnings == ()


def test_figures_of_one_run_only_are_named() -> None:
    found = compare(run_of(Figure("s.old", "us", (1.0,))), run_of(Figure("s.new", "us", (1.0,))))
    assert (found.gone, found.added, found.changes) == (("s.old",), ("s.new",), ())


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_mann_whitney_counts_all_orders(n: int, m: int, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, n + m - 1), min_size=n, max_size=n))

    def above(chosen: set[int]) -> int:
        return sum(a > b for a in chosen for b in set(range(n + m)) - chosen)

    extreme = min(above(places), n * m - above(places))
    orders = sum(above(set(chosen)) <= extreme for chosen in combinations(range(n + m), n))
    others = sorted(set(range(n + m)) - places)
    assert mann_whitney(sorted(places), others) == pytest.approx(min(1.0, 2 * orders / comb(n + m, n)))


@pytest.mark.parametrize(("new", "code"), [((10.0, 10.1, 10.2), 0), ((20.0, 20.1, 20.2), 1)])
def test_the_command_ends_with_1_only_on_a_regression(
    new: tuple[float, ...], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, samples in (("old", (10.0, 10.1, 10.2)), ("new", new)):
        write_run(run_of(Figure("s.x", "us", samples, Better.LOWER)), tmp_path / name / "run.json")
    with pytest.raises(SystemExit) as left:
        main(["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert left.value.code == code
    assert "s.x" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["compare", str(tmp_path), str(tmp_path)])
    assert left.value.code == 2
    assert "no run at" in capsys.readouterr().err
