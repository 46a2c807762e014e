"""`walletpush serve`: run the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.failure import settings_failures

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="WALLETPUSH_CONFIG", help="The settings file (TOML).", dir_okay=False)
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Let other hosts reach it without TLS and callers' keys. For trials only.")
]


def serve(
    config: ConfigFile,
    insecure: Insecure = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Worker processes; default: server.workers of the settings.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C, then drain.

    SIGHUP reads the settings again. What is accepted is in the journal: a killed gateway loses nothing.
    """
    with settings_failures(config):
        from gateway.main_process import serve as run

        raise typer.Exit(run(config, insecure, workers))
