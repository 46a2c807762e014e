"""`walletpush worker`: one worker process, as the supervisor starts it."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.failure import settings_failures
from gateway.commands.serve import ConfigFile, Insecure


def worker(
    config: ConfigFile,
    number: Annotated[int, typer.Option(min=0, max=255, help="Which worker; its journal has the same number.")],
    insecure: Insecure = False,
    no_listen: Annotated[bool, typer.Option("--no-listen", help="Only finish what the journal holds.")] = False,
) -> None:
    """Run one worker; `serve` does this by itself."""
    with settings_failures(config):
        from gateway.main_process import run_worker

        raise typer.Exit(run_worker(config, number, insecure, not no_listen))
