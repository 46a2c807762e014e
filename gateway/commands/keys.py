"""`walletpush keys`: make keys for callers, and keep those that seal personal data."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.failure import settings_failures
from gateway.commands.output import note, say
from gateway.commands.serve import ConfigFile, Insecure

app = typer.Typer(name="keys", help="Keys of callers, and those that seal personal data.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make keys for callers, and keep those that seal personal data."""


@app.command("rotate")
def rotate(config: ConfigFile, insecure: Insecure = False) -> None:
    """Add a key that seals personal data from now on; makes the key file if there is none. Old keys still open."""
    with settings_failures(config):
        from gateway.people_parts import rotate_keys
        from gateway.settings.loading import load

        path, key_id = rotate_keys(load(config, insecure=insecure))
    say(f"{path}: key {key_id} seals from now on; running workers notice within seconds")
    note("Then: walletpush keys reseal --drop, to be rid of the old ones")


@app.command("reseal")
def reseal(
    config: ConfigFile,
    insecure: Insecure = False,
    drop: Annotated[bool, typer.Option("--drop", help="Then remove the old keys from the key file.")] = False,
) -> None:
    """Seal all personal data with the newest key, beside a running gateway."""
    import asyncio

    from rich.console import Console
    from rich.progress import Progress, TextColumn

    console = Console(stderr=True)
    with settings_failures(config), Progress(TextColumn("{task.description}"), console=console) as shown:
        from gateway.people_parts import reseal_people
        from gateway.settings.loading import load

        task = shown.add_task("")

        def progress(seen: int, changed: int) -> None:
            shown.update(task, description=f"looked at {seen:,} users, sealed {changed:,} anew")

        changed, dropped = asyncio.run(reseal_people(load(config, insecure=insecure), progress, drop=drop))
    say(f"sealed {changed:,} users anew" + (f", dropped {dropped} keys" if drop else ""))


@app.command("new")
def new(name: Annotated[str, typer.Option(help="The caller, as it appears in logs and metrics.")] = "payments") -> None:
    """Make a caller's key and print it once; the settings keep only its hash."""
    from gateway.callers import new_key

    key, key_hash = new_key()
    note("The key, for the caller. It is shown this once:")
    say(key)
    note("For the gateway's settings:")
    say(f'[[callers]]\nname = "{name}"\nkey_sha256 = ["{key_hash}"]\napps = ["*"]')
