"""The kinds of panels and variables that the dashboards are made of; needs the dev extra."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

RUNBOOK = "gateway/monitoring/RUNBOOK.md"
# What the variables narrow down, by the labels that a metric has.
JOB = 'job=~"$job"'
CLASS = f'{JOB}, class=~"$class"'
ROUTE = f'{JOB}, provider=~"$provider", app=~"$app"'
LANE = f'{ROUTE}, class=~"$class"'
INSTANCE = f'{JOB}, instance=~"$instance"'
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _YELLOW, _RED = "green", "yellow", "red"
_LINE_HEIGHT, _NUMBER_HEIGHT, _THIRD = 8, 4, 8


class Query(NamedTuple):
    """An expression and what its series are called."""

    expr: str
    legend: str = ""


class Levels(NamedTuple):
    """Where a value turns yellow and red; with red below yellow, small values are the bad ones."""

    yellow: float
    red: float


def lines(
    title: str, description: str, unit: str, *queries: Query, runbook: str = "", levels: Levels | None = None,
    stacked: bool = False, width: int = _THIRD,
) -> timeseries.Panel:  # fmt: skip
    """Return a time series panel. runbook: the alert whose section it links to. levels: dashed lines."""
    panel = (
        timeseries.Panel().title(title).description(description).unit(unit).datasource(_SOURCE).min(0)
        .height(_LINE_HEIGHT).span(width).line_width(1).fill_opacity(12 if not stacked else 35)
        .show_points(common_models.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
                 .sort(common_models.SortOrder.DESCENDING))
        .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST)
                .placement(common_models.LegendPlacement.BOTTOM).show_legend(show_legend=True))
    )  # fmt: skip
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if levels is not None:
        panel.thresholds(_thresholds(levels))
        style = common_models.GraphThresholdsStyleMode.DASHED
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    return panel.targets(_targets(queries)).links(_links(runbook))


def number(
    title: str, description: str, unit: str, query: Query, *, runbook: str = "", levels: Levels | None = None,
    width: int = 4,
) -> stat.Panel:  # fmt: skip
    """Return a panel with the last value, coloured by its level, over a small line."""
    panel = (
        stat.Panel().title(title).description(description).unit(unit).datasource(_SOURCE)
        .height(_NUMBER_HEIGHT).span(width).graph_mode(common_models.BigValueGraphMode.AREA)
        .color_mode(common_models.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(levels))
    )  # fmt: skip
    if unit == "short":
        # increase() extrapolates: nobody has seen 1.05 restarts.
        panel.decimals(0)
    return panel.targets(_targets([query])).links(_links(runbook))


def states(
    title: str, description: str, query: Query, texts: Sequence[tuple[str, str]], *, runbook: str = "",
    width: int = _THIRD,
) -> statetimeline.Panel:  # fmt: skip
    """Return a panel of coloured bars. texts: what the values 0, 1, … are called, and their colours."""
    options = {
        str(value): models.ValueMappingResult(text=text, color=color, index=value)
        for value, (text, color) in enumerate(texts)
    }
    panel = (
        statetimeline.Panel().title(title).description(description).datasource(_SOURCE)
        .height(_LINE_HEIGHT).span(width).show_value(common_models.VisibilityMode.NEVER).row_height(0.8)
        .mappings([models.ValueMap(options=options)])
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(Levels(1, 2)))
    )  # fmt: skip
    return panel.targets(_targets([query])).links(_links(runbook))


def board(
    uid: str, title: str, description: str, variables: Iterable[Builder[models.VariableModel]],
    rows: Iterable[tuple[str, Sequence[Builder[models.Panel]]]],
) -> dashboard.Dashboard:  # fmt: skip
    """Return a dashboard of rows; firing alerts are drawn over all of its panels."""
    made = (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["walletpush"])
        .timezone("browser").refresh("30s").time("now-3h", "now").readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("walletpush").type(models.DashboardLinkType.DASHBOARDS)
              .tags(["walletpush"]).include_vars(include_vars=True).keep_time(keep_time=True).as_dropdown(as_dropdown=True))
        .link(dashboard.DashboardLink("Runbook").type(models.DashboardLinkType.LINK).url(RUNBOOK).icon("doc")
              .target_blank(target_blank=True))
        .annotation(_alerts())
    )  # fmt: skip
    for variable in (_source_variable(), *variables):
        made.with_variable(variable)
    for name, panels in rows:
        made.with_row(dashboard.Row(name))
        for panel in panels:
            made.with_panel(panel)
    return made


def choice(name: str, label: str, metric: str) -> dashboard.QueryVariable:
    """Return a variable with the values of a metric's label of the same name, all of them unless chosen."""
    matcher = "" if name == "job" else f"{{{JOB}}}"
    return (
        dashboard.QueryVariable(name).label(label).datasource(_SOURCE)
        .query(f"label_values({metric}{matcher}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True).include_all(include_all=True).all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )  # fmt: skip


def _source_variable() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _alerts() -> dashboard.AnnotationQuery:
    firing = 'ALERTS{alertstate="firing", alertname=~"Walletpush.*"}'
    query = dashboard.AnnotationQuery().name("Alerts").datasource(_SOURCE).expr(firing)
    return query.enable(enable=True).icon_color(_RED)


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").range().ref_id(letter)
        .datasource(_SOURCE)
        for query, letter in zip(queries, "ABCDEFGH", strict=False)
    ]  # fmt: skip


def _links(runbook: str) -> list[Builder[models.DashboardLink]]:
    if not runbook:
        return []
    link = dashboard.DashboardLink(f"Runbook: {runbook}").type(models.DashboardLinkType.LINK)
    return [link.url(f"{RUNBOOK}#{runbook.lower()}").target_blank(target_blank=True)]


def _thresholds(levels: Levels | None) -> dashboard.ThresholdsConfig:
    config = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    if levels is None:
        return config.steps([models.Threshold(value=None, color=_GREEN)])
    low, middle, high = (_GREEN, _YELLOW, _RED) if levels.yellow <= levels.red else (_RED, _YELLOW, _GREEN)
    first, second = sorted(levels)
    steps = [(None, low), (first, middle), (second, high)]
    return config.steps([models.Threshold(value=value, color=color) for value, color in steps])
