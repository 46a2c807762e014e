"""A template's variables as they are typed on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.client import Notification, Walletpush
    from protos.walletpush.v1 import template_pb2, value_pb2

Template = Annotated[str, typer.Option(help="A published template: its class, category and texts.")]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help='Of the template; an amount as JSON: {"money": {"currency": "EUR", "minor_units": 1250}}.',
    ),
]
Category = Annotated[str, typer.Option(help="Default: the template's, or the app's first of the class.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="What caps may count; repeatable.")]


async def use(client: Walletpush, notification: Notification, template_id: str, typed: Iterable[str]) -> None:
    """Let a notification say what a published template says, in the template's class. Raises BadParameter."""
    template = await client.templates.get(notification.app, template_id)
    notification.notification_class = template.notification_class
    notification.template.template_id = template_id
    for name, value in to_values(typed, template).items():
        notification.template.variables[name].CopyFrom(value)


def to_values(typed: Iterable[str], template: template_pb2.Template) -> Mapping[str, value_pb2.Value]:
    """Read NAME=VALUE by the types that a template declares; amounts and lists are JSON of the contract's Value.

    Raises BadParameter for what is no such value.
    """
    types = {one.name: one.type for one in template.variables}
    values: dict[str, value_pb2.Value] = {}
    for one in typed:
        name, equals, text = one.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{one} is not NAME=VALUE")
        values[name] = _value(name, text, types.get(name, 0))
    return values


def _value(name: str, text: str, kind: int) -> value_pb2.Value:
    import json

    from google.protobuf.json_format import ParseDict, ParseError

    from protos.walletpush.v1 import template_pb2, value_pb2

    shapes: dict[int, str] = {
        template_pb2.VARIABLE_TYPE_MONEY: '{"money": {"currency": "EUR", "minor_units": 1250}}',
        template_pb2.VARIABLE_TYPE_LIST: '{"list": {"values": [{"text": "tea"}]}}',
    }
    fields = {
        template_pb2.VARIABLE_TYPE_INTEGER: "integer", template_pb2.VARIABLE_TYPE_NUMBER: "number",
        template_pb2.VARIABLE_TYPE_TIME: "time", template_pb2.VARIABLE_TYPE_DATE: "date",
    }  # fmt: skip
    try:
        if kind in {template_pb2.VARIABLE_TYPE_MONEY, template_pb2.VARIABLE_TYPE_LIST}:
            return ParseDict(json.loads(text), value_pb2.Value())
        if kind == template_pb2.VARIABLE_TYPE_FLAG:
            return value_pb2.Value(flag=json.loads(text) is True)
        return ParseDict({fields.get(kind, "text"): text}, value_pb2.Value())  # type: ignore[call-overload]
    except (ValueError, ParseError, TypeError) as error:
        why = str(error).strip().partition("\n")[0]
        wanted = f"; it wants JSON such as {shapes[kind]}" if kind in shapes else ""
        raise typer.BadParameter(f"{name}: {text!r} does not fit its type ({why}){wanted}") from None
