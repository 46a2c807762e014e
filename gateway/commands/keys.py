"""`walletpush keys`: make keys for callers."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.output import note, say

app = typer.Typer(name="keys", help="Make keys for callers.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make keys for callers."""


@app.command("new")
def new(name: Annotated[str, typer.Option(help="The caller, as it appears in logs and metrics.")] = "payments") -> None:
    """Make a caller's key and print it once; the settings keep only its hash."""
    from gateway.callers import new_key

    key, key_hash = new_key()
    note("The key, for the caller. It is shown this once:")
    say(key)
    note("For the gateway's settings:")
    say(f'[[callers]]\nname = "{name}"\nkey_sha256 = ["{key_hash}"]\napps = ["*"]')
