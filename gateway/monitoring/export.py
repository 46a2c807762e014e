"""Dashboards, rules and their surroundings, written where Prometheus and Grafana find them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from gateway.monitoring.queries import NAMES

RULES = ("recording.yml", "alerts.yml")
RUNBOOK = "gateway/monitoring/RUNBOOK.md"
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LEAST_MS = 1_000
_DURATION = re.compile(r"(?P<before>\[|offset |for: )(?P<count>\d+)(?P<unit>ms|s|m|h|d)\b")
_TARGET = '"127.0.0.1:9090"'
_DASHBOARDS = "/etc/grafana/walletpush"


def export(directory: Path, targets: Sequence[str] = (), runbook: str = "", shorten: int = 1) -> list[Path]:
    """Write everything below a directory; return the files.

    targets: where gateways answer /metrics. runbook: where the runbook is published, else the copy that is written.
    shorten: see `shortened`. Raises OSError.
    """
    place = runbook or str(directory.resolve() / "RUNBOOK.md")
    boards = directory / "grafana" / "dashboards"
    texts = {directory / "RUNBOOK.md": _read("RUNBOOK.md"), directory / "prometheus.yml": _prometheus(targets)}
    texts |= {directory / "rules" / name: _linked(shortened(rules(name), shorten), place) for name in RULES}
    texts |= {
        boards / f"walletpush-{name}.json": _linked(_read(f"dashboards/{name}.json"), place) for name in NAMES
    }
    provisioning = directory / "grafana" / "provisioning"
    texts[provisioning / "datasources" / "walletpush.yml"] = _read("provisioning/datasources/walletpush.yml")
    provider = _read("provisioning/dashboards/walletpush.yml").replace(_DASHBOARDS, str(boards.resolve()))
    texts[provisioning / "dashboards" / "walletpush.yml"] = provider
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(texts)


def rules(name: str) -> str:
    """Return a rule file as it is shipped."""
    return _read(f"rules/{name}")


def shortened(text: str, divisor: int) -> str:
    """Return rules whose windows, offsets and waits are so many times shorter, at least a second: for a rehearsal.

    Thresholds stay: an age of 10 s is one still. 60 makes minutes of hours, and wants a scrape interval below 1 s.
    """

    def shorter(match: re.Match[str]) -> str:
        ms = int(match["count"]) * _UNIT_MS[match["unit"]]
        return f"{match['before']}{max(_LEAST_MS, ms // divisor)}ms"

    return text if divisor == 1 else _DURATION.sub(shorter, text)


def _read(name: str) -> str:
    return files("gateway.monitoring").joinpath(name).read_text("utf-8")


def _linked(text: str, runbook: str) -> str:
    return text.replace(RUNBOOK, runbook)


def _prometheus(targets: Sequence[str]) -> str:
    text = _read("prometheus.yml")
    return text.replace(_TARGET, ", ".join(map(json.dumps, targets))) if targets else text
