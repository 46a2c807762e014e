"""The committed dashboards: made by their script, complete, and about what the rules and the runbook know."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from adapters.apns.table import ROWS
from adapters.fcm.table import BY_CODE
from core.reaction import OutcomeKind
from gateway.monitoring.build import DIRECTORY, made
from gateway.monitoring.export import RULES, export, rules, shortened
from gateway.monitoring.queries import NAMES, Panel, event_queries, filled, panels

RUNBOOK = (DIRECTORY.parent / "RUNBOOK.md").read_text("utf-8")
GRID_COLUMNS = 24
DRAWN = [(name, panel) for name in NAMES for panel in panels(name) if panel.kind != "row"]


def alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load(rules("alerts.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_committed_dashboards_are_what_the_script_makes() -> None:
    committed = {path.name: path.read_text("utf-8") for path in DIRECTORY.glob("*.json")}
    assert committed == made(), "run python -m gateway.monitoring.build"
    assert set(committed) == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize(("name", "panel"), DRAWN, ids=[f"{name}-{panel.title}" for name, panel in DRAWN])
def test_a_panel_has_a_meaning_a_unit_and_queries_that_follow_the_variables(name: str, panel: Panel) -> None:
    board = json.loads((DIRECTORY / f"{name}.json").read_text("utf-8"))
    (found,) = [each for each in board["panels"] if each["title"] == panel.title and each["gridPos"]["y"] == panel.y]
    assert found["description"].endswith(".")
    assert panel.unit or panel.kind == "state-timeline"
    assert panel.queries
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for query in panel.queries:
        used = set(re.findall(r"\$(\w+)", query.expr)) - {"__rate_interval"}
        assert "job" in used
        assert used <= variables
        assert "$" not in filled(query.expr, "1m")
    assert {link["url"].partition("#")[2] for link in found["links"]} <= sections()


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_and_cover_none_of_each_other(name: str) -> None:
    cells = Counter(
        (x, y)
        for panel in panels(name)
        for x in range(panel.x, panel.x + panel.width)
        for y in range(panel.y, panel.y + panel.height)
    )
    assert max(cells.values()) == 1
    assert len(cells) == GRID_COLUMNS * (max(y for _, y in cells) + 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_number_of_its_own_and_alerts_are_drawn_over_them(name: str) -> None:
    board = json.loads((DIRECTORY / f"{name}.json").read_text("utf-8"))
    numbers = [panel["id"] for panel in board["panels"]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert event_queries(name) == ['ALERTS{alertstate="firing", alertname=~"Walletpush.*"}']


def sections() -> set[str]:
    return {title.lower() for title in re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)}


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    assert {str(alert["alert"]).lower() for alert in alerts()} == sections()
    for section in re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]:
        assert re.findall(r"^- \*\*(\w+):\*\*", section, re.MULTILINE) == ["Means", "Look", "Do"], section


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_tells_how_bad_what_with_which_value_and_where_to_read_on(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    notes = alert["annotations"]
    assert notes["summary"]
    assert notes["description"].endswith(".")
    assert "{{ $" in notes["description"]
    assert notes["runbook_url"] == f"gateway/monitoring/RUNBOOK.md#{str(alert['alert']).lower()}"


def test_what_counts_as_a_dead_token_is_what_the_providers_tables_call_so() -> None:
    gone = {OutcomeKind.DEVICE_GONE, OutcomeKind.DEVICE_SUSPECT}
    outcomes = [row.outcome for row in ROWS.values()] + [row.outcome for row in BY_CODE.values()]
    reasons = {outcome.reason for outcome in outcomes if outcome.kind in gone}
    named = re.findall(r'reason!?=?~"([^"]+)"', rules("recording.yml"))
    assert [set(one.split("|")) for one in named] == [reasons, reasons]


def test_shortening_divides_every_window_wait_and_offset_and_nothing_else() -> None:
    text = 'for: 5m\nexpr: rate(x_rate5m[6h] offset 1d) > 300 and y{le="1.0"}[1s]'
    assert shortened(text, 60) == (
        'for: 5000ms\nexpr: rate(x_rate5m[360000ms] offset 1440000ms) > 300 and y{le="1.0"}[1000ms]'
    )
    assert shortened(text, 1) == text
    for name in RULES:
        windows = re.findall(r"\[\d+[smhd]\]", rules(name))
        assert len(re.findall(r"\[\d+ms\]", shortened(rules(name), 60))) == len(windows)


def test_export_writes_all_that_prometheus_and_grafana_need(tmp_path: Path) -> None:
    written = export(tmp_path / "watch", ["10.0.0.5:9090", "10.0.0.6:9090"])
    assert all(path.exists() for path in written)
    config = yaml.safe_load((tmp_path / "watch" / "prometheus.yml").read_text())
    assert config["scrape_configs"][0]["static_configs"] == [{"targets": ["10.0.0.5:9090", "10.0.0.6:9090"]}]
    assert all((tmp_path / "watch" / name).exists() for name in config["rule_files"])
    provider = yaml.safe_load((tmp_path / "watch/grafana/provisioning/dashboards/walletpush.yml").read_text())
    boards = Path(provider["providers"][0]["options"]["path"])
    assert {path.name for path in boards.iterdir()} == {f"walletpush-{name}.json" for name in NAMES}
    alert = (tmp_path / "watch/rules/alerts.yml").read_text()
    assert f"{tmp_path}/watch/RUNBOOK.md#walletpushdown" in alert


def test_export_links_to_where_the_runbook_is_published(tmp_path: Path) -> None:
    export(tmp_path, runbook="https://wiki.example.com/runbook")
    for path in (tmp_path / "rules" / "alerts.yml", tmp_path / "grafana/dashboards/walletpush-overview.json"):
        assert "https://wiki.example.com/runbook#walletpush" in path.read_text("utf-8")
        assert "gateway/monitoring" not in path.read_text("utf-8")
