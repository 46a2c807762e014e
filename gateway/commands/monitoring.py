"""`walletpush monitoring`: what Prometheus and Grafana need to watch gateways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.failure import BAD_RESULT, CommandFailed
from gateway.commands.output import say

app = typer.Typer(name="monitoring", help="Write dashboards, alert rules and a runbook.", no_args_is_help=True)
# Prometheus would take a target without a port for one on port 80, and scrape nothing.
_TARGET = re.compile(r"[^\s/:]+:\d+|\[[0-9a-fA-F:.]+\]:\d+")


@app.callback()
def monitoring() -> None:
    """Write dashboards, alert rules and a runbook."""


@app.command("export")
def export(
    directory: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.", file_okay=False)],
    target: Annotated[
        list[str] | None, typer.Option(help="host:port of a gateway's web.listen; may be given several times.")
    ] = None,
    runbook: Annotated[str, typer.Option(help="URL where your RUNBOOK.md is read; default: the copy written.")] = "",
    shorten: Annotated[
        int, typer.Option(min=1, max=3600, help="Divide the rules' windows and waits, to rehearse alerts in minutes.")
    ] = 1,
) -> None:
    """Write prometheus.yml, recording and alert rules, Grafana dashboards with their provisioning, and the runbook."""
    from gateway.monitoring.export import export as write

    for one in target or ():
        if not _TARGET.fullmatch(one):
            raise typer.BadParameter(f"{one} is not host:port", param_hint="--target")
    try:
        written = write(directory, target or (), runbook, shorten)
    except OSError as error:
        raise CommandFailed(f"cannot write {error.filename or directory}: {error.strerror}", BAD_RESULT) from error
    for path in written:
        say(str(path))
