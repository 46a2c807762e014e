"""A dashboard's panels drawn where Grafana puts them, from what Prometheus said, and below them the alerts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.dashboard.prometheus import SCRAPE_S, Line
from bench.dashboard.rehearsal import RATE_INTERVAL, Rehearsal, alert_names
from gateway.monitoring.queries import Panel, filled, panels

_COLUMNS = 24
_COLUMN_IN, _ROW_IN = 0.84, 0.36
_ALERT_ROW_IN = 0.21
_TOP_IN, _BOTTOM_IN = 0.75, 0.55
_PAPER, _CARD, _INK, _FAINT, _GRID = "#111217", "#181b1f", "#d8d9da", "#8e9197", "#2a2d33"
_LEVELS = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c"}
_CYCLE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#37872d", "#f2495c", "#8ab8ff", "#e0b400", "#ca95e5")
_ACTS = ("#73bf69", "#f2495c", "#ff9830", "#f2cc0c", "#b877d9", "#5794f2")
# A class has the same colour in every panel.
_OF_CLASS = {"security": "#f2495c", "transactional": "#ff9830", "service": "#5794f2", "marketing": "#73bf69"}
_SEVERITY = {"critical": "#f2495c", "warning": "#f2cc0c"}


def draw(run: Rehearsal, name: str, title: str, path: Path, severities: dict[str, str]) -> None:
    """Write a dashboard as PNG. severities: of each alert."""
    found = panels(name)
    rows = max(panel.y + panel.height for panel in found)
    alerts = alert_names()
    grid_in, alerts_in = rows * _ROW_IN, (len(alerts) + 4) * _ALERT_ROW_IN
    size = (_COLUMNS * _COLUMN_IN, _TOP_IN + grid_in + alerts_in + _BOTTOM_IN)
    with mpl.rc_context({
        "font.size": 8, "text.color": _INK, "axes.labelcolor": _FAINT, "xtick.color": _FAINT, "ytick.color": _FAINT,
        "axes.facecolor": _CARD, "figure.facecolor": _PAPER, "savefig.facecolor": _PAPER, "axes.edgecolor": _GRID,
        "font.family": "DejaVu Sans",
    }):  # fmt: skip
        figure = plt.figure(figsize=size)
        figure.text(0.012, 1 - 0.28 / size[1], title, fontsize=15, weight="bold", va="center")
        _name_acts(figure, run, size)
        for panel in found:
            _draw_panel(figure, run, name, panel, size)
        _draw_alerts(figure, run, alerts, severities, size, alerts_in)
        figure.savefig(path, dpi=100)
        plt.close(figure)


def _name_acts(figure: Figure, run: Rehearsal, size: tuple[float, float]) -> None:
    for number, (act, start_s, end_s) in enumerate(run.acts):
        text = f"■ {act.name} ({start_s - run.start_s:.0f}–{end_s - run.start_s:.0f} s)"
        place = (0.27 + 0.12 * number, 1 - 0.28 / size[1])
        figure.text(*place, text, fontsize=10, color=_ACTS[number % len(_ACTS)], va="center")


def _draw_panel(figure: Figure, run: Rehearsal, name: str, panel: Panel, size: tuple[float, float]) -> None:
    if panel.kind == "row":
        y = 1 - (_TOP_IN + (panel.y + 0.62) * _ROW_IN) / size[1]
        figure.text(0.012, y, f"▾ {panel.title}", fontsize=10.5, weight="bold", va="center")
        return
    card = _box(panel, size)
    back = figure.add_axes(card, facecolor=_CARD, xticks=[], yticks=[])
    back.text(0.5 / panel.width, 1 - 0.55 / panel.height, panel.title, transform=back.transAxes, fontsize=9,
              weight="bold", va="center")  # fmt: skip
    series = [
        (_legend(query.legend, line), line)
        for query in panel.queries
        for line in _lines(run, f"{name}: {panel.title}", filled(query.expr, RATE_INTERVAL))
    ]
    kinds: dict[str, Callable[[Figure, Panel, Sequence[tuple[str, Line]], Rehearsal, tuple[float, float]], None]] = {
        "stat": _draw_number, "state-timeline": _draw_states, "timeseries": _draw_lines,
    }  # fmt: skip
    kinds[panel.kind](figure, panel, series, run, size)


def _box(
    panel: Panel, size: tuple[float, float], left: float = 0.0, top: float = 0.0, right: float = 0.0,
    bottom: float = 0.0,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Return left, bottom, width, height of a panel, in shares of the figure; margins in inches."""
    gap_in = 0.05
    x_in = panel.x * _COLUMN_IN + gap_in + left
    width_in = panel.width * _COLUMN_IN - 2 * gap_in - left - right
    height_in = panel.height * _ROW_IN - 2 * gap_in - top - bottom
    y_in = size[1] - _TOP_IN - (panel.y + panel.height) * _ROW_IN + gap_in + bottom
    return x_in / size[0], y_in / size[1], width_in / size[0], height_in / size[1]


def _draw_lines(
    figure: Figure, panel: Panel, series: Sequence[tuple[str, Line]], run: Rehearsal, size: tuple[float, float]
) -> None:
    axes = figure.add_axes(_box(panel, size, left=0.55, top=0.34, right=0.1, bottom=0.62))
    _shade(axes, run)
    if panel.stacked and series:
        _draw_stack(axes, series, run)
    else:
        for number, (label, line) in enumerate(series):
            color = _color(number, label)
            times, values = _with_gaps(line, run)
            axes.plot(times, values, color=color, linewidth=1.2, label=label)
            if len(series) <= 4:
                axes.fill_between(times, values, color=color, alpha=0.10, linewidth=0)
    top = max([0.0, *(max(line.values) for _, line in series)])
    for value, color in panel.steps[1:]:
        if 0 < value <= top * 1.6:
            axes.axhline(value, color=_LEVELS[color], linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.8)
    _finish(axes, panel, run)
    handles, labels = axes.get_legend_handles_labels()
    # Below the axis, from the card's left edge on.
    corner, columns = (-0.42 / (axes.get_position().width * size[0]), -0.13), panel.width // 2 - panel.width // 6 + 1
    most = 2 * columns
    axes.legend(handles[:most], labels[:most], loc="upper left", bbox_to_anchor=corner, ncols=columns,
                frameon=False, fontsize=7, handlelength=1.1, columnspacing=1.0, handletextpad=0.4, borderpad=0.0,
                labelspacing=0.25)  # fmt: skip


def _draw_stack(axes: Axes, series: Sequence[tuple[str, Line]], run: Rehearsal) -> None:
    times = sorted({time for _, line in series for time in line.times})
    values = [[dict(zip(line.times, line.values, strict=True)).get(time, 0.0) for time in times] for _, line in series]
    colors = [_color(number, label) for number, (label, _) in enumerate(series)]
    axes.stackplot([time - run.start_s for time in times], values, colors=colors, alpha=0.55, linewidth=0,
                   labels=[label for label, _ in series])  # fmt: skip


def _draw_number(
    figure: Figure, panel: Panel, series: Sequence[tuple[str, Line]], run: Rehearsal, size: tuple[float, float]
) -> None:
    axes = figure.add_axes(_box(panel, size, left=0.08, top=0.75, right=0.08, bottom=0.06), facecolor="none")
    axes.axis("off")
    if not series:
        return
    line = series[0][1]
    # Grafana shows the last value, which is that of a gateway in trouble; what it was before is told beside it.
    calm_s = run.acts[0][2]
    calm = [value for time, value in zip(line.times, line.values, strict=True) if time <= calm_s] or [0.0]
    color = _LEVELS[_level(panel, line.values[-1])]
    times, values = _with_gaps(line, run)
    axes.plot(times, values, color=color, linewidth=1.1)
    axes.fill_between(times, values, color=color, alpha=0.18, linewidth=0)
    axes.set_xlim(0, run.end_s - run.start_s)
    axes.set_ylim(0, max(max(line.values) * 1.1, 1e-9))
    x, y, width, height = _box(panel, size)
    shown = _formatter(panel.unit) if panel.unit != "short" else lambda number: f"{number:.0f}"
    figure.text(x + width / 2, y + height * 0.60, shown(line.values[-1]), fontsize=19, weight="bold", color=color,
                ha="center", va="center")  # fmt: skip
    figure.text(x + width * 0.96, y + height * 0.86, f"calm: {shown(calm[-1])}", fontsize=7.5, color=_FAINT, ha="right",
                va="center")  # fmt: skip


def _draw_states(
    figure: Figure, panel: Panel, series: Sequence[tuple[str, Line]], run: Rehearsal, size: tuple[float, float]
) -> None:
    axes = figure.add_axes(_box(panel, size, left=1.25, top=0.36, right=0.12, bottom=0.5))
    colors = ("#37872d", "#f2cc0c", "#f2495c")
    for row, (_, line) in enumerate(series):
        for time, value in zip(line.times, line.values, strict=True):
            axes.barh(row, 1.0, left=time - run.start_s, height=0.72, color=colors[int(value) % 3], linewidth=0)
    axes.set_yticks(range(len(series)), [label for label, _ in series])
    axes.invert_yaxis()
    _finish(axes, panel, run)
    axes.grid(visible=False)
    for place, text, color in zip((0.0, 0.14, 0.32), ("closed", "half open", "open"), colors, strict=True):
        axes.text(place, -0.22, f"■ {text}", color=color, transform=axes.transAxes, fontsize=7)


def _draw_alerts(
    figure: Figure, run: Rehearsal, alerts: Sequence[str], severities: dict[str, str], size: tuple[float, float],
    alerts_in: float,
) -> None:  # fmt: skip
    left_in, bottom_in = 2.7, _BOTTOM_IN
    height_in = alerts_in - 3 * _ALERT_ROW_IN
    axes = figure.add_axes(
        (left_in / size[0], bottom_in / size[1], (size[0] - left_in - 0.2) / size[0], height_in / size[1])
    )
    figure.text(0.012, (bottom_in + height_in + 0.25) / size[1], "▾ Alerts that fired", fontsize=10.5, weight="bold")
    _shade(axes, run, 0.10)
    for row, alert in enumerate(alerts):
        for firing in run.firing:
            if firing.alert == alert:
                axes.barh(row, max(firing.last_s - firing.first_s, 0.5), left=firing.first_s - run.start_s, height=0.66,
                          color=_SEVERITY[severities[alert]], alpha=0.8, linewidth=0)  # fmt: skip
    axes.set_yticks(range(len(alerts)), alerts, fontsize=7)
    axes.set_ylim(len(alerts) - 0.4, -0.6)
    axes.set_xlim(0, run.end_s - run.start_s)
    axes.set_xlabel("seconds; windows and waits of the rules divided by 60   (red: critical, yellow: warning)")
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _shade(axes: Axes, run: Rehearsal, alpha: float = 0.07) -> None:
    for number, (_, start_s, end_s) in enumerate(run.acts):
        color = _ACTS[number % len(_ACTS)]
        axes.axvspan(start_s - run.start_s, end_s - run.start_s, color=color, alpha=alpha, linewidth=0)


def _finish(axes: Axes, panel: Panel, run: Rehearsal) -> None:
    shown = _formatter(panel.unit)
    axes.set_xlim(0, run.end_s - run.start_s)
    if panel.kind == "timeseries":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: shown(value)))
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=6.8)
    for side in axes.spines.values():
        side.set_visible(False)


def _color(number: int, label: str) -> str:
    return _OF_CLASS.get(label, _CYCLE[number % len(_CYCLE)])


def _with_gaps(line: Line, run: Rehearsal) -> tuple[list[float], list[float]]:
    """Return times since the start and values, with a hole where nothing was said for a while."""
    times, values = [line.times[0] - run.start_s], [line.values[0]]
    for before_s, time_s, value in zip(line.times, line.times[1:], line.values[1:], strict=False):
        if time_s - before_s > 2.5 * SCRAPE_S:
            times.append(before_s - run.start_s + SCRAPE_S)
            values.append(math.nan)
        times.append(time_s - run.start_s)
        values.append(value)
    return times, values


def _lines(run: Rehearsal, place: str, expr: str) -> tuple[Line, ...]:
    return next(told.lines for told in run.told if (told.place, told.expr) == (place, expr))


def _legend(pattern: str, line: Line) -> str:
    if pattern == "__auto":
        return " ".join(value for name, value in sorted(line.labels.items()) if name not in {"__name__", "job"})
    return re.sub(r"\{\{(\w+)\}\}", lambda match: line.labels.get(match[1], ""), pattern)


def _level(panel: Panel, value: float) -> str:
    return next((color for least, color in reversed(panel.steps) if value >= least), "green")


def _formatter(unit: str) -> Callable[[float], str]:
    return {
        "s": _seconds, "percentunit": lambda value: f"{value * 100:.3g} %", "bytes": lambda v: f"{v / 2**20:.3g} MiB",
        "cps": lambda value: f"{_short(value)}/s",
    }.get(unit, _short)  # fmt: skip


def _seconds(value: float) -> str:
    if value >= 2 * 86_400:
        return f"{value / 86_400:.3g} d"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1_000:.3g} ms"


def _short(value: float) -> str:
    return f"{value / 1_000:.3g} k" if abs(value) >= 1_000 else f"{value:.3g}"
