"""`walletpush audit`: read and check the audit log on the host itself, beside a running gateway or without one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.failure import BAD_RESULT, CommandFailed, settings_failures
from gateway.commands.output import say
from gateway.commands.serve import ConfigFile

if TYPE_CHECKING:
    from core.audit import Link
    from gateway.settings.root import Settings

app = typer.Typer(name="audit", help="The audit log of this host: read it, check it.", no_args_is_help=True)


@app.command("verify")
def verify(config: ConfigFile) -> None:
    """Check that no line was changed, added or removed; exit with 1 and name the place if one was."""
    with settings_failures(config):
        from gateway.privacy_parts import verify_audit

        found = verify_audit(_settings(config))
    if found.fault:
        raise CommandFailed(f"the audit log is not whole, at line {found.number}: {found.fault}", BAD_RESULT)
    say(f"{found.lines:,} lines, each follows from the one before")


@app.command("list")
def list_lines(
    config: ConfigFile, limit: Annotated[int, typer.Option(help="So many of the newest.", min=1)] = 100
) -> None:
    """Print the newest lines of all apps as JSON lines, oldest first."""
    import orjson

    def show(link: Link) -> None:
        line = link.line
        told = {
            "number": link.number, "time_unix_ms": line.at_unix_ms, "app": line.app, "actor": line.actor,
            "action": line.action, "subject_hash": line.subject_hash, "detail": line.detail,
        }  # fmt: skip
        say(orjson.dumps(told).decode())

    with settings_failures(config):
        from gateway.privacy_parts import list_audit

        list_audit(_settings(config), limit, show)


def _settings(config: Path) -> Settings:
    from gateway.settings.loading import load

    # A gateway that runs judged its own exposure when it started.
    return load(config, insecure=True)
