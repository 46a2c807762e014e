"""`walletpush privacy`: export a user, erase a user, show the proof, see who looked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.output import as_json, note, say, table
from gateway.commands.spread import spread
from gateway.commands.target import App

if TYPE_CHECKING:
    from gateway.client import Walletpush
    from protos.walletpush.v1 import privacy_pb2

app = typer.Typer(name="privacy", help="What is held on a user, and an end to it.", no_args_is_help=True)
User = Annotated[str, typer.Argument(help="The user's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]


@app.command("export")
@spread
def export(
    connection: Connection,
    app: App,
    user: User,
    out: Annotated[Path, typer.Option(help="Write it here, a new file that only you can read.", show_default=False)],
) -> None:
    """Write all that is held on a user as one JSON object."""
    import os

    async def work(client: Walletpush) -> None:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in client.privacy.export(app, user):
                    file.write(chunk)
        except BaseException:
            # Half an export looks like a whole one to who only sees the file.
            out.unlink(missing_ok=True)
            raise
        say(f"wrote {out.stat().st_size:,} bytes to {out}")

    try:
        connection.run(work)
    except FileExistsError as error:
        raise typer.BadParameter(f"{out} exists already", param_hint="--out") from error
    except OSError as error:
        raise typer.BadParameter(f"cannot write {out}: {error.strerror}", param_hint="--out") from error


@app.command("erase")
@spread
def erase(
    connection: Connection,
    app: App,
    user: User,
    reason: Annotated[str, typer.Option(help="Why, for the proof; without personal data.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a user from every table, journal and cache, for good; print the proof as JSON."""
    if not yes:
        typer.confirm(f"Erase user {user} of {app}? Nothing brings them back.", abort=True, err=True)

    async def work(client: Walletpush) -> None:
        say(as_json(await client.privacy.erase(app, user, reason)))

    connection.run(work)


@app.command("erasure")
@spread
def erasure(connection: Connection, app: App, user: User) -> None:
    """Print the newest proof that a user was erased, as JSON."""

    async def work(client: Walletpush) -> None:
        say(as_json(await client.privacy.erasure(app, user)))

    connection.run(work)


@app.command("audit")
@spread
def audit(
    connection: Connection,
    app: App,
    user: Annotated[str, typer.Option(help="Only what was done to this user.")] = "",
    limit: Annotated[int, typer.Option(help="So many, newest first.", min=1)] = 100,
    json: Json = False,
) -> None:
    """Show who read and changed what."""

    async def work(client: Walletpush) -> None:
        found: list[privacy_pb2.AuditRecord] = []
        async for record in client.privacy.audit(app, user):
            found.append(record)
            if len(found) == limit:
                break
        if json:
            for one in found:
                say(as_json(one))
        else:
            _show(found)

    connection.run(work)


def _show(found: list[privacy_pb2.AuditRecord]) -> None:
    rows = [(one.time.ToJsonString(), one.actor, one.action, one.subject_hash, one.detail) for one in found]
    table(("time", "actor", "action", "user", "detail"), rows)
    note("Users are shown by a keyed hash; --user finds what was done to one.")
