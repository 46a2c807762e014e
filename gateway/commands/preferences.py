"""`walletpush preferences`: what is in force for a user, what they said, and recording it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.output import as_json, say, table
from gateway.commands.spread import spread
from gateway.commands.target import App

if TYPE_CHECKING:
    from gateway.client import Walletpush
    from protos.walletpush.v1 import preference_pb2

app = typer.Typer(name="preferences", help="What users want to hear of, and the proof of it.", no_args_is_help=True)
User = Annotated[str, typer.Argument(help="The user's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("get")
@spread
def get(connection: Connection, app: App, user: User, json: Json = False) -> None:
    """Show what is in force, category by category."""

    async def work(client: Walletpush) -> None:
        show(await client.preferences.get(app, user), json)

    connection.run(work)


@app.command("set")
@spread
def set_preference(
    connection: Connection,
    app: App,
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="The user wants it.")] = False,
    no: Annotated[bool, typer.Option("--no", help="The user does not.")] = False,
    category: Annotated[str, typer.Option(help="Empty, with --no: all marketing.")] = "",
    channel: Annotated[str, typer.Option(help="push, sms, email, web_push, in_app; empty, with --no: all.")] = "",
    wording: Annotated[str, typer.Option(help="Which wording the user saw; needed with --yes.")] = "",
    evidence: Annotated[str, typer.Option(help="Where the record may be found, for instance a ticket.")] = "",
    json: Json = False,
) -> None:
    """Record what a user told customer care."""
    from protos.walletpush.v1 import preference_pb2 as pb

    if yes == no:
        raise typer.BadParameter("say --yes or --no")
    consent = pb.Consent(
        category=category, channel=_channel(channel), granted=yes, method=pb.CONSENT_METHOD_CUSTOMER_CARE,
        wording_version=wording, evidence=evidence,
    )  # fmt: skip

    async def work(client: Walletpush) -> None:
        show(await client.preferences.update(app, user, [consent]), json)

    connection.run(work)


@app.command("history")
@spread
def history(connection: Connection, app: App, user: User) -> None:
    """Print what a user said, newest first, as JSON lines."""

    async def work(client: Walletpush) -> None:
        async for consent in client.preferences.history(app, user):
            say(as_json(consent, {"granted": consent.granted}))

    connection.run(work)


@app.command("links")
@spread
def links(
    connection: Connection,
    app: App,
    user: User,
    category: Annotated[str, typer.Option(help="What one click ends; empty: all marketing.")] = "",
    channel: Annotated[str, typer.Option(help="push, sms, email, web_push, in_app; empty: all.")] = "",
    json: Json = False,
) -> None:
    """Make the links to unsubscribe and to the preference centre that a message carries."""

    async def work(client: Walletpush) -> None:
        made = await client.preferences.links(app, user, category, _channel(channel))
        if json:
            say(as_json(made))
        else:
            say(f"unsubscribe: {made.unsubscribe_url}")
            say(f"preferences: {made.preference_centre_url}")
            say(f"until {made.expire_time.ToJsonString()}")

    connection.run(work)


def show(preferences: preference_pb2.GetPreferencesResponse, json: bool) -> None:
    """Print what is in force."""
    from protos.walletpush.v1 import preference_pb2 as pb

    if json:
        say(as_json(preferences))
        return
    rows = [
        (one.category, pb.Channel.Name(one.channel).removeprefix("CHANNEL_").lower(),
         "yes" if one.allowed else "no", one.reason)
        for one in preferences.preferences
    ]  # fmt: skip
    table(("category", "channel", "sent", "because"), rows)
    for window in preferences.quiet_windows:
        say(f"quiet: {as_json(window)}")
    for suppression in preferences.suppressions:
        say(f"suppressed: {as_json(suppression)}")


def _channel(name: str) -> preference_pb2.Channel:
    from protos.walletpush.v1 import preference_pb2 as pb

    found: preference_pb2.Channel | None = getattr(pb, f"CHANNEL_{name.upper() or 'UNSPECIFIED'}", None)
    if found is None:
        raise typer.BadParameter(f"{name} is no channel: push, sms, email, web_push or in_app")
    return found
