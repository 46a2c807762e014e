"""`python -m gateway.monitoring.build`: the dashboards' JSON made anew; needs the dev extra."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from gateway.monitoring.overview import overview
from gateway.monitoring.processes import processes
from gateway.monitoring.routes import routes

DIRECTORY = Path(__file__).parent / "dashboards"


def made() -> dict[str, str]:
    """Return the text of each dashboard's file, by its name."""
    boards = {"overview.json": overview(), "routes.json": routes(), "processes.json": processes()}
    return {name: _text(one) for name, one in boards.items()}


def _text(board: Dashboard) -> str:
    built = board.build()
    for number, panel in enumerate(built.panels or (), 1):
        panel.id_val = number
    return json.dumps(json.loads(JSONEncoder().encode(built)), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for file, text in made().items():
        (DIRECTORY / file).write_text(text, "utf-8")
