"""`walletpush`: the commands, and how their failures are told. A command imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from gateway.commands import (
    audit,
    config,
    demo,
    devices,
    explain,
    holds,
    keys,
    monitoring,
    preferences,
    privacy,
    receipts,
    send,
    serve,
    simulate,
    templates,
    top,
    users,
    worker,
)
from gateway.commands.failure import INTERRUPTED, CommandFailed

HELP = """Push delivery gateway for digital wallets.

gRPC in; durable, deduplicated, rate-limited; over HTTP/2 to APNs and FCM."""
EPILOG = (
    "Exit codes: 0 done; 1 done, and the result is bad (the demo lost something, a notification failed); "
    "2 wrong usage; 3 the settings are wrong; 4 the gateway cannot be reached or is overloaded; "
    "5 the gateway refused; 130 interrupted."
)

app = typer.Typer(
    name="walletpush",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("simulate")(simulate.simulate)
app.command("send")(send.send)
app.command("receipts")(receipts.receipts)
app.command("explain")(explain.explain)
app.command("top")(top.top)
app.add_typer(devices.app)
app.add_typer(users.app)
app.add_typer(preferences.app)
app.add_typer(privacy.app)
app.add_typer(holds.app)
app.add_typer(templates.app)
app.add_typer(config.app)
app.add_typer(keys.app)
app.add_typer(audit.app)
app.add_typer(monitoring.app)
app.command("worker", hidden=True)(worker.worker)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; arguments: those of the process when None."""
    try:
        app(args=arguments)
    except CommandFailed as failure:
        sys.stderr.write(f"walletpush: {failure}\n")
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read us has enough, as `head` does.
        sys.stderr.close()
        sys.exit(0)
