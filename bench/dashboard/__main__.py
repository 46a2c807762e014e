"""`python -m bench.dashboard --out DIR`: a gateway's troubles before a real Prometheus, as pictures and as a table."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import yaml
from rich.console import Console

from bench.dashboard.acts import ACTS, CALM, WITHOUT_ACT
from bench.dashboard.drawing import draw
from bench.dashboard.rehearsal import Rehearsal, alert_names, rehearse
from gateway.monitoring.export import rules
from gateway.monitoring.queries import NAMES


def severities() -> dict[str, str]:
    """Return how bad each alert is."""
    groups = yaml.safe_load(rules("alerts.yml"))["groups"]
    return {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}


def report(run: Rehearsal) -> str:
    """Return what had data and what fired, as Markdown."""
    with_data = sum(bool(told.lines) for told in run.told)
    lines = [
        "# A rehearsal", "", f"{with_data} of {len(run.told)} expressions had data.", "",
        "| where | expression | series | last value | largest |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for told in run.told:
        values = [line.values for line in told.lines]
        shown = f"{values[0][-1]:.4g} | {max(map(max, values)):.4g}" if values else "- | -"
        expr = told.expr.replace("|", "\\|")
        lines.append(f"| {told.place} | `{expr}` | {len(values)} | {shown} |")
    lines += ["", "| alert | act | fired (seconds) | last said |", "|---|---|---|---|"]
    for alert in alert_names():
        acts = ", ".join(act.name for act in ACTS if alert in act.brings)
        spells = [f"{each.first_s - run.start_s:.0f}-{each.last_s - run.start_s:.0f}" for each in run.firing
                  if each.alert == alert]  # fmt: skip
        where = acts or ("promtool's series" if alert in WITHOUT_ACT else "none")
        lines.append(f"| {alert} | {where} | {' '.join(spells)} | {run.messages.get(alert, '')} |")
    return "\n".join(lines) + "\n"


def main(out: Path, calm_s: float) -> None:
    """Run it and write the pictures of all dashboards and the table."""
    out.mkdir(parents=True, exist_ok=True)
    acts = [act._replace(least_s=calm_s) if act is CALM else act for act in ACTS]
    with tempfile.TemporaryDirectory(prefix="walletpush-rehearsal-") as directory:
        run = asyncio.run(rehearse(Path(directory), acts))
    for name in NAMES:
        draw(run, name, f"walletpush / {name.capitalize()}", out / f"{name}.png", severities())
    (out / "rehearsal.md").write_text(report(run), "utf-8")
    fired = len({firing.alert for firing in run.firing})
    with_data = sum(bool(told.lines) for told in run.told)
    Console().print(f"{with_data} of {len(run.told)} expressions had data, {fired} alerts fired: {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--calm", type=float, default=20.0, help="seconds of calm before the troubles")
    given = parser.parse_args()
    main(given.out, given.calm)
