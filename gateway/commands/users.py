"""`walletpush users`: import users from files, look them up, remove them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.failure import BAD_RESULT, CommandFailed
from gateway.commands.output import as_json, say
from gateway.commands.spread import spread
from gateway.commands.target import App

if TYPE_CHECKING:
    from gateway.client import Walletpush

app = typer.Typer(name="users", help="Import users from files, look them up, remove them.", no_args_is_help=True)
File = Annotated[
    Path,
    typer.Argument(
        help="JSON lines of the contract's User, or CSV with its fields in line 1: user_id,attributes.city",
        exists=True,
        dir_okay=False,
    ),
]
User = Annotated[str, typer.Argument(help="The user's id.", show_default=False)]


@app.command("import")
@spread
def import_users(
    connection: Connection,
    file: File,
    app: App,
    from_line: Annotated[int, typer.Option(help="Go on at this line of the file.", min=1)] = 1,
    faults: Annotated[Path | None, typer.Option(help="Write every line that was not taken here: number, why.")] = None,
) -> None:
    """Store the users of a file, every field that is named; lines that are wrong are told and left out."""
    from gateway.commands.user_import import FileImport

    with FileImport(file, app, from_line, faults) as run:
        connection.run(run.work)
    say(f"stored {run.stored:,}, not taken {run.faulty:,}")
    if run.faulty:
        raise CommandFailed(f"{run.faulty:,} lines were not taken", BAD_RESULT)


@app.command("get")
@spread
def get(
    connection: Connection,
    app: App,
    user: User = "",
    external_id: Annotated[str, typer.Option(help="The id in another system instead: SYSTEM=ID.")] = "",
) -> None:
    """Print a user as JSON."""
    system, equals, other = external_id.partition("=")
    if bool(user) == bool(external_id) or (external_id and not equals):
        raise typer.BadParameter("give a user's id, or --external-id SYSTEM=ID")

    async def work(client: Walletpush) -> None:
        say(as_json(await (client.users.find(app, system, other) if external_id else client.users.get(app, user))))

    connection.run(work)


@app.command("merge")
@spread
def merge(
    connection: Connection,
    app: App,
    user: User,
    into: Annotated[str, typer.Option(help="The user who stays.")],
) -> None:
    """Make two users one; of two answers about consent the more careful one stays."""

    async def work(client: Walletpush) -> None:
        say(as_json(await client.users.merge(app, user, into)))

    connection.run(work)


@app.command("delete")
@spread
def delete(connection: Connection, app: App, user: User) -> None:
    """Remove a user with devices and preferences; the history of consents stays."""

    async def work(client: Walletpush) -> None:
        say("removed" if await client.users.delete(app, user) else "the user was not known")

    connection.run(work)
