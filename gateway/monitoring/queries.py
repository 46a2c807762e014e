"""What the dashboards ask Prometheus, read from their committed JSON, with their variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple, TypedDict

NAMES = ("overview", "routes", "processes")
_VARIABLE = re.compile(r"\$(?:\{)?(\w+)(?:\})?")


class Query(NamedTuple):
    """An expression, and the pattern of its series' names."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn, and where on a grid of 24 columns; a row has no queries. steps: (from, colour), ascending."""

    title: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    stacked: bool
    steps: tuple[tuple[float, str], ...]
    queries: tuple[Query, ...]


def panels(name: str) -> list[Panel]:
    """Return the panels of a dashboard, rows included, from top to bottom."""
    board: _Board = json.loads((files("gateway.monitoring") / "dashboards" / f"{name}.json").read_text("utf-8"))
    return [_panel(panel) for panel in board["panels"]]


def event_queries(name: str) -> list[str]:
    """Return the expressions whose events are drawn over all panels of a dashboard."""
    board: _Board = json.loads((files("gateway.monitoring") / "dashboards" / f"{name}.json").read_text("utf-8"))
    return [each["expr"] for each in board["annotations"]["list"]]


def filled(expr: str, rate_interval: str, chosen: Mapping[str, str] | None = None) -> str:
    """Return an expression as Grafana sends it: a variable that is not chosen stands for everything."""
    known = {"__rate_interval": rate_interval, **(chosen or {})}
    return _VARIABLE.sub(lambda match: known.get(match[1], ".*"), expr)


class _Grid(TypedDict):
    x: int
    y: int
    w: int
    h: int


class _Target(TypedDict):
    expr: str
    legendFormat: str


class _Annotations(TypedDict):
    list: list[_Target]


class _Step(TypedDict):
    value: float | None
    color: str


class _Stacking(TypedDict, total=False):
    mode: str


class _Custom(TypedDict, total=False):
    stacking: _Stacking


class _Defaults(TypedDict, total=False):
    unit: str
    custom: _Custom
    thresholds: dict[str, list[_Step]]


class _PanelJson(TypedDict, total=False):
    title: str
    type: str
    gridPos: _Grid
    fieldConfig: dict[str, _Defaults]
    targets: list[_Target]


class _Board(TypedDict):
    panels: list[_PanelJson]
    annotations: _Annotations


def _panel(panel: _PanelJson) -> Panel:
    grid = panel["gridPos"]
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    steps = defaults.get("thresholds", {}).get("steps", [])
    return Panel(
        title=panel["title"], kind=panel["type"], unit=defaults.get("unit", ""),
        x=grid["x"], y=grid["y"], width=grid["w"], height=grid["h"],
        stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        steps=tuple((step["value"] if step["value"] is not None else float("-inf"), step["color"]) for step in steps),
        queries=tuple(Query(target["expr"], target["legendFormat"]) for target in panel.get("targets", ())),
    )  # fmt: skip
