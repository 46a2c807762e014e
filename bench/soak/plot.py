"""The picture of a soak: rates, times, what waits, processor and memory over time, with the troubles behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.results import SectionResult, Series

PHASES_PLOT = "soak.phases"
_SHADES = (
    "#E69F00", "#D55E00", "#56B4E9", "#0072B2", "#CC79A7", "#4D4D4D", "#009E73", "#999933", "#882255", "#44AA99",
)  # fmt: skip
_LINES = ("#222222", "#0072B2", "#D55E00")
_SIZE = (13.0, 11.5)
_NARROW_S = 600.0


@dataclass(frozen=True, slots=True)
class _Panel:
    y_label: str
    plots: tuple[str, ...]
    scale: str = "linear"


_PANELS = (
    _Panel("notifications/s", ("soak.accepted_per_s", "soak.delivered_per_s")),
    _Panel("payments, ms", ("soak.p50_ms", "soak.p99_ms"), "log"),
    _Panel("deliveries", ("soak.pending",), "symlog"),
    _Panel("CPU, % of a core", ("soak.cpu",)),
    _Panel("MiB", ("soak.rss", "soak.heap", "soak.supervisor_rss")),
    _Panel("open files", ("soak.files",)),
)


def draw_soak(section: SectionResult, directory: Path) -> Iterator[Path]:
    """Draw one sheet as PNG and SVG; yield the PNG, nothing for a soak without samples."""
    lines = {series.plot: series for series in section.series if series.plot != PHASES_PLOT}
    if not lines or not next(iter(lines.values())).x:
        return
    phases = [series for series in section.series if series.plot == PHASES_PLOT]
    sheet = Sheet(figsize=_SIZE, layout="constrained")
    every: Sequence[Axes] = sheet.subplots(len(_PANELS), 1, sharex=True, height_ratios=(2, 2.4, 1.6, 1.2, 2, 1))
    unit_s, unit = (1.0, "s") if lines["soak.rss"].x[-1] < _NARROW_S else (60.0, "minutes")
    for axes, panel in zip(every, _PANELS, strict=True):
        _shade(axes, phases, unit_s)
        _draw(axes, panel, [lines[plot] for plot in panel.plots], unit_s)
    every[0].set_title("Soak: a gateway while its providers fail, one trouble after the other")
    every[-1].set_xlabel(unit)
    every[-1].set_xlim(0, lines["soak.rss"].x[-1] / unit_s)
    _legend(sheet, phases)
    path = directory / f"{section.section}-over-time.png"
    sheet.savefig(path, dpi=130)
    sheet.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    yield path


def _shade(axes: Axes, phases: Sequence[Series], unit_s: float) -> None:
    colours = _colours(phases)
    for phase in phases:
        axes.axvspan(phase.x[0] / unit_s, phase.x[1] / unit_s, color=colours[phase.name], alpha=0.28, lw=0)


def _draw(axes: Axes, panel: _Panel, lines: Sequence[Series], unit_s: float) -> None:
    for line, colour in zip(lines, _LINES, strict=False):
        # A sample in which nothing ended has no time to show.
        shown = [value if value > 0 or panel.scale != "log" else float("nan") for value in line.y]
        axes.plot([at_s / unit_s for at_s in line.x], shown, color=colour, lw=1.1, label=line.name)
    axes.set_ylabel(panel.y_label)
    if panel.scale == "symlog":
        axes.set_yscale("symlog", linthresh=10)
    else:
        axes.set_yscale(panel.scale)
    if panel.scale != "log":
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="x")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _legend(sheet: Sheet, phases: Sequence[Series]) -> None:
    patches = [Patch(color=colour, alpha=0.28, label=name) for name, colour in _colours(phases).items()]
    if patches:
        sheet.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)


def _colours(phases: Sequence[Series]) -> dict[str, str]:
    names = dict.fromkeys(phase.name for phase in phases)
    return {name: _SHADES[number % len(_SHADES)] for number, name in enumerate(names)}
