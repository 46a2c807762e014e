"""Plots of a run, as SVG and PNG: latencies by percentile, series as lines, figures side by side as bars."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from bench.latency import decode
from bench.results import Bars, Figure, Latencies, RunResult, SectionResult, Series
from bench.soak.plot import draw_soak

# Told apart by every kind of colour vision. Source: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
_MARKERS = "osD^vP*X"
_MOST_LINES = len(COLOURS)
_MOST_MARKERS = 40
_SIZE = (9.5, 5.0)
_STYLE = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "walletpush",
}
_MARKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)
_POINTS_PER_DECADE = 40
# A log axis of less range than this gets marks between the powers of ten.
_WIDE = 1_000

T = TypeVar("T")


def draw_run(run: RunResult, directory: Path) -> list[Path]:
    """Draw all that a run holds; return the PNGs, each beside an SVG. Names begin with the section's."""
    directory.mkdir(parents=True, exist_ok=True)
    return [path for section in run.sections for path in draw_section(section, directory)]


def draw_section(section: SectionResult, directory: Path) -> Iterator[Path]:
    """Draw one section's plots, yielding the PNGs."""
    figures = {figure.name: figure for figure in section.figures}
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        for bars in section.bars:
            yield _save(_bars(bars, figures), directory, section, bars.plot)
        if section.section == "soak":
            yield from draw_soak(section, directory)
        else:
            for plot, lines in _grouped((one.plot, one) for one in section.series):
                yield _save(_lines(plot, lines), directory, section, plot)
        for plot, times in _grouped((one.name.rpartition(".")[0] or one.name, one) for one in section.latencies):
            yield _save(_percentiles(plot, times), directory, section, f"latency {plot}")


def _grouped(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, list[T]]]:
    """Yield what shares a name together, in pieces that have a colour for each."""
    groups: dict[str, list[T]] = {}
    for name, one in named:
        groups.setdefault(name, []).append(one)
    for name, group in groups.items():
        pieces = [group[start : start + _MOST_LINES] for start in range(0, len(group), _MOST_LINES)]
        for number, piece in enumerate(pieces, 1):
            yield (name if len(pieces) == 1 else f"{name} ({number} of {len(pieces)})"), piece


def _bars(bars: Bars, figures: Mapping[str, Figure]) -> Sheet:
    """Draw medians as bars, smallest and largest repeats as whiskers."""
    sheet, axes = _sheet(bars.plot, max(_SIZE[0], 0.5 * len(bars.groups) * len(bars.sides)))
    width = 0.84 / len(bars.sides)
    for number, (side, names) in enumerate(zip(bars.sides, bars.figures, strict=True)):
        found = [(place, figures[name]) for place, name in enumerate(names) if name in figures]
        at = [place + (number - (len(bars.sides) - 1) / 2) * width for place, _ in found]
        heights = [figure.median for _, figure in found]
        reach = [
            [figure.median - figure.spread[0] for _, figure in found],
            [figure.spread[1] - figure.median for _, figure in found],
        ]
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(at, heights, width * 0.9, color=colour, label=side, yerr=reach, error_kw={"lw": 0.8, "ecolor": "#444"})
        for x, (_, figure) in zip(at, found, strict=True):
            axes.annotate(
                compact(figure.median), (x, figure.spread[1]), (0, 3), textcoords="offset points",
                ha="center", va="bottom", fontsize=7,
            )  # fmt: skip
    axes.set_xticks(range(len(bars.groups)), bars.groups)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    if bars.log_y:
        axes.set_yscale("log")
    axes.margins(y=0.08)
    _label(axes, "", bars.y_label)
    return sheet


def _lines(plot: str, lines: Sequence[Series]) -> Sheet:
    sheet, axes = _sheet(plot)
    first = lines[0]
    for number, one in enumerate(lines):
        marked = len(one.x) <= _MOST_MARKERS
        axes.plot(
            one.x, one.y, color=COLOURS[number], label=one.name, lw=1.6 if marked else 1.1,
            marker=_MARKERS[number] if marked else "", ms=5,
        )  # fmt: skip
    if first.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    if any(one.log_y for one in lines):
        axes.set_yscale("log")
    elif all(value >= 0 for one in lines for value in one.y):
        axes.set_ylim(bottom=0)
    _label(axes, first.x_label, first.y_label)
    return sheet


def _percentiles(plot: str, times: Sequence[Latencies]) -> Sheet:
    """Draw times over percentiles, each further nine taking the same room."""
    sheet, axes = _sheet(f"{plot}: latency by percentile")
    most = 1
    for number, one in enumerate(times):
        recorder = decode(one.encoded)
        most = max(most, recorder.count)
        percents = _spread_percents(recorder.count)
        # The longest time stands where one of all is not shorter.
        found = [max(time_us, 1.0) / 1e3 for time_us in recorder.percentiles([*percents[:-1], 100.0])]
        name = one.name.rpartition(".")[2] + ("" if one.corrected else " (closed loop)")
        axes.plot([_rarity(percent) for percent in percents], found, color=COLOURS[number], label=name, lw=1.6)
    marks = [mark for mark in _MARKS if mark == 0 or _rarity(mark) <= most]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator([_rarity(mark) for mark in marks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 - 100 / value:.6g} %"))
    _label(axes, "percentile", "latency, ms")
    return sheet


def _spread_percents(count: int) -> list[float]:
    """Return percentiles up to the one that a single time of `count` makes."""
    steps, percents = 0, [0.0]
    while (rarity := 10 ** (steps / _POINTS_PER_DECADE)) < count:
        percents.append(100 - 100 / rarity)
        steps += 1
    return sorted({*percents, 100 - 100 / max(count, 1)})


def _rarity(percent: float) -> float:
    """Return how many times there are to one that is longer."""
    return 100 / (100 - percent)


def _sheet(title: str, width: float = _SIZE[0]) -> tuple[Sheet, Axes]:
    sheet = Sheet(figsize=(width, _SIZE[1]), layout="constrained")
    axes = sheet.subplots()
    axes.set_title(title)
    return sheet, axes


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        if high / low < _WIDE:
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _save(sheet: Sheet, directory: Path, section: SectionResult, plot: str) -> Path:
    words = re.sub(r"[^a-z0-9]+", "-", plot.lower().removeprefix(section.section)).strip("-")
    path = directory / f"{section.section}-{words}.png"
    sheet.savefig(path, dpi=130)
    sheet.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path


def compact(value: float) -> str:
    """Return a number short enough for an axis: 85k, 1.2M, 0.05."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.3g}"
