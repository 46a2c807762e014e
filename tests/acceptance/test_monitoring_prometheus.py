"""A real Prometheus over a gateway in trouble: every expression has data, every alert fires in its act and only there.

The rules are the shipped ones with their windows and waits divided by 60 (`gateway.monitoring.export.shortened`) and
two ages lowered (`bench.dashboard.rehearsal.LOWERED`), so that one run of little more than a minute shows them all.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bench.dashboard.acts import ACTS, CALM, WITHOUT_ACT, Act
from bench.dashboard.rehearsal import Rehearsal, alert_names, expressions, recorded, rehearse
from gateway.monitoring.export import RULES, rules

pytestmark = pytest.mark.timeout(240)
# A wait, a window and two scrapes beyond the end of its trouble an alert may begin, or still burn.
SLACK_S = 9.0
INTEGRATION = Path(__file__).parent.parent / "integration"
SERIES = [(INTEGRATION / name).read_text("utf-8") for name in ("monitoring_series.yml", "monitoring_days.yml")]
BROUGHT = [(act, alert) for act in ACTS for alert in sorted(act.brings)]
ENDED = [(act, alert) for act in ACTS for alert in sorted(act.ends)]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return asyncio.run(rehearse(tmp_path_factory.mktemp("rehearsal")))


@pytest.mark.parametrize(("place", "expr"), expressions(), ids=[f"{place} {expr}" for place, expr in expressions()])
def test_every_expression_of_dashboards_and_rules_has_data(rehearsal: Rehearsal, place: str, expr: str) -> None:
    (told,) = [each for each in rehearsal.told if (each.place, each.expr) == (place, expr)]
    assert told.lines


def test_nothing_fires_while_all_is_calm(rehearsal: Rehearsal) -> None:
    _, end_s = rehearsal.span(CALM.name)
    assert [firing for firing in rehearsal.firing if firing.first_s <= end_s] == []


@pytest.mark.parametrize(("act", "alert"), BROUGHT, ids=[f"{alert} in {act.name}" for act, alert in BROUGHT])
def test_an_alert_fires_in_its_act(rehearsal: Rehearsal, act: Act, alert: str) -> None:
    start_s, end_s = rehearsal.span(act.name)
    begun = [firing.first_s for firing in rehearsal.firing if firing.alert == alert]
    assert any(start_s < first_s < end_s + SLACK_S for first_s in begun)


def test_no_alert_fires_outside_of_an_act_that_explains_it(rehearsal: Rehearsal) -> None:
    spans = [(act, *rehearsal.span(act.name)) for act in ACTS]
    unexplained = [
        firing
        for firing in rehearsal.firing
        if not any(
            start_s < firing.first_s < end_s + SLACK_S and firing.alert in act.brings | act.may
            for act, start_s, end_s in spans
        )
    ]
    assert unexplained == []


@pytest.mark.parametrize(("act", "alert"), ENDED, ids=[f"{alert} after {act.name}" for act, alert in ENDED])
def test_an_alert_is_silent_again_when_its_cause_is_gone(rehearsal: Rehearsal, act: Act, alert: str) -> None:
    _, end_s = rehearsal.span(act.name)
    assert not [each for each in rehearsal.firing if each.alert == alert and each.first_s <= end_s - 1 <= each.last_s]


def test_every_alert_has_an_act_or_a_series_that_promtool_plays() -> None:
    brought = {alert for act in ACTS for alert in act.brings}
    assert brought | WITHOUT_ACT == set(alert_names())
    assert brought.isdisjoint(WITHOUT_ACT)
    assert all(alert in "".join(SERIES) for alert in WITHOUT_ACT)


def test_alerts_say_what_is_wrong_with_their_values(rehearsal: Rehearsal) -> None:
    fired = {firing.alert for firing in rehearsal.firing}
    assert set(rehearsal.messages) == fired
    for alert, message in rehearsal.messages.items():
        assert not re.search(r"error expanding|\{\{|%!|<no value>", message), f"{alert}: {message}"


def test_every_metric_that_rules_and_series_name_is_one_that_the_gateway_has(rehearsal: Rehearsal) -> None:
    texts = [*map(rules, RULES), *SERIES]
    named = {name for text in texts for name in re.findall(r"(?<![:\w])walletpush_\w+(?=[{\[ )])", text)}
    assert len(named) > 25
    assert named - rehearsal.metrics == set()
    assert set(recorded()) <= rehearsal.metrics
