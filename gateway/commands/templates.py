"""`walletpush templates`: publish templates from files, list, preview and retire them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.failure import BAD_USAGE, CommandFailed
from gateway.commands.output import say, table
from gateway.commands.spread import spread
from gateway.commands.target import App
from gateway.commands.variables import Variables, to_values

if TYPE_CHECKING:
    from gateway.client import Walletpush
    from protos.walletpush.v1 import template_pb2 as pb

app = typer.Typer(name="templates", help="What notifications say: publish, preview, retire.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="TOML: the fields of Template in the contract.", show_default=False)]
Id = Annotated[str, typer.Argument(help="The template.", show_default=False)]
# In files the words of these fields stand without the contract's prefix: class = "marketing".
_PREFIXES = {"notification_class": "NOTIFICATION_CLASS_", "channel": "CHANNEL_", "type": "VARIABLE_TYPE_"}


@app.command("publish")
@spread
def publish(
    connection: Connection,
    file: File,
    check: Annotated[bool, typer.Option("--check", help="Only check it.")] = False,
) -> None:
    """Check a template and make it the current version."""
    template = read_template(file)

    async def work(client: Walletpush) -> None:
        stored = await client.templates.publish(template, validate_only=check)
        say(f"{stored.template_id} is well" if check else f"{stored.template_id} version {stored.version} is current")

    connection.run(work)


@app.command("list")
@spread
def list_templates(connection: Connection, app: App) -> None:
    """List an app's templates."""

    async def work(client: Walletpush) -> None:
        rows = [_row(one) async for one in client.templates.list(app)]
        if rows:
            table(("template", "version", "class", "category", "published", "by", ""), rows)
        else:
            say(f"{app} has no templates")

    connection.run(work)


@app.command("retire")
@spread
def retire(connection: Connection, app: App, template: Id) -> None:
    """Take no more notifications for a template."""

    async def work(client: Walletpush) -> None:
        await client.templates.retire(app, template)
        say(f"{template} is retired")

    connection.run(work)


@app.command("preview")
@spread
def preview(
    connection: Connection,
    app: App,
    template: Annotated[str, typer.Argument(help="A published template, or a TOML file.", show_default=False)],
    channel: Annotated[str, typer.Option(help="push, sms, email, web_push or in_app.")] = "push",
    user: Annotated[str, typer.Option(help="Whose locale, zone and attributes to take.")] = "",
    locale: Annotated[str, typer.Option(help="BCP 47 tag.")] = "",
    variables: Variables = None,
    masked: Annotated[bool, typer.Option("--masked", help="As on a locked screen.")] = False,
) -> None:
    """Show what a user would see."""
    from protos.walletpush.v1 import template_pb2 as pb
    from protos.walletpush.v1.preference_pb2 import Channel

    names = {value.name for value in Channel.DESCRIPTOR.values}
    if f"CHANNEL_{channel.upper()}" not in names:
        raise CommandFailed(f"no channel is called {channel}", BAD_USAGE)
    request = pb.PreviewTemplateRequest(
        app=app, channel=f"CHANNEL_{channel.upper()}", user_id=user, locale=locale, masked=masked
    )
    if template.endswith(".toml"):
        request.template.CopyFrom(read_template(Path(template)))
    else:
        request.template_id = template

    async def work(client: Walletpush) -> None:
        if variables:
            known = request.template if request.HasField("template") else await client.templates.get(app, template)
            for name, value in to_values(variables, known).items():
                request.variables[name].CopyFrom(value)
        _show(await client.templates.preview(request))

    connection.run(work)


def read_template(path: Path) -> pb.Template:
    """Read a template from TOML. Raises CommandFailed naming what is wrong."""
    from google.protobuf.json_format import ParseDict, ParseError

    from protos.walletpush.v1 import template_pb2 as pb

    try:
        return ParseDict(_fields(tomllib.loads(path.read_text("utf-8"))), pb.Template())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ParseError) as error:
        raise CommandFailed(f"{path}: {error}", BAD_USAGE) from error


def _fields(told: Mapping[str, object]) -> dict[str, object]:
    return {name: _worded(value, name) for name, value in told.items()}


def _worded(told: object, key: str = "") -> object:
    if isinstance(told, dict):
        return _fields(told)
    if isinstance(told, list):
        return [_worded(value) for value in told]
    if isinstance(told, str) and key in _PREFIXES and told.islower():
        return _PREFIXES[key] + told.upper()
    return told


def _row(one: pb.Template) -> tuple[str, ...]:
    from protos.walletpush.v1.notification_pb2 import NotificationClass

    klass = NotificationClass.Name(one.notification_class).removeprefix("NOTIFICATION_CLASS_").lower()
    when = one.publish_time.ToJsonString()
    retired = "retired" if one.retired else ""
    return (one.template_id, str(one.version), klass, one.category, when, one.publisher, retired)


def _show(shown: pb.PreviewTemplateResponse) -> None:
    texts = (
        ("locale", shown.locale), ("title", shown.title), ("subtitle", shown.subtitle), ("body", shown.body),
        ("image", shown.image_url), ("link", shown.deep_link), ("html", shown.html),
        *(("button", f"{one.label} -> {one.link}") for one in shown.buttons),
        *(("warning", text) for text in shown.warnings),
    )  # fmt: skip
    table(("", ""), [(name, text) for name, text in texts if text])
